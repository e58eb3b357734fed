"""Names of genres, and the genres among the tags of an artist."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.transforms.genres import SAME_GENRE, genre_name, genre_tags

GENRES = ("hip hop", "indie hip hop", "rock", "r&b", "post-punk")


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("hip-hop", "hip hop"),
        ("Hip Hop", "hip hop"),
        ("hiphop", "hip hop"),
        ("German Hip-Hop", "german hip hop"),
        ("rnb", "r&b"),
        ("R&B", "r&b"),
        ("R & B", "r&b"),
        ("drum 'n' bass", "drum and bass"),
        ("Drum & Bass", "drum and bass"),
        ("Post Punk", "post-punk"),
        ("K Pop", "k-pop"),
        ("Rock", "rock"),
        ("indie rock", "indie rock"),
        ("  art   pop ", "art pop"),
        ("$", "$"),
        ("flat.beat", "flat.beat"),
    ],
)
def test_all_spellings_of_a_genre_have_one_name(spelled: str, name: str) -> None:
    assert genre_name(spelled) == name


def test_the_table_joins_no_two_genres_and_every_name_of_it_is_its_own() -> None:
    assert {genre_name(name) for name in SAME_GENRE} == set(SAME_GENRE)
    for name, others in SAME_GENRE.items():
        assert {genre_name(other) for other in others} <= {name}


@given(st.text(max_size=20))
def test_a_name_is_stable(text: str) -> None:
    assert genre_name(genre_name(text)) == genre_name(text)


def test_of_tags_only_genres_stay_the_strongest_first_and_noise_goes() -> None:
    votes = [("seen live", 100.0), ("Hip-Hop", 80.0), ("rock", 40.0), ("hip hop", 20.0), ("2010s", 9.0), ("R&B", 9.0)]
    tags = genre_tags(votes, GENRES)
    assert [(tag.name, tag.weight) for tag in tags] == [("hip hop", 1.0), ("rock", 0.5)]


@pytest.mark.parametrize("votes", [[], [("rock", 0.0)], [("rock", -2.0)], [("seen live", 5.0)]])
def test_without_votes_for_a_genre_there_is_none(votes: list[tuple[str, float]]) -> None:
    assert genre_tags(votes, GENRES) == []
