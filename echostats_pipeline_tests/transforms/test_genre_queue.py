"""Which artists a source is asked about, and whose genres an artist gets."""

from datetime import UTC, datetime, timedelta

import pytest

from echostats_pipeline.transforms.genre_queue import (
    ArtistGenres,
    Expiry,
    TagAnswer,
    chosen,
    is_settled,
    next_due,
    open_artists,
)

NOW = datetime(2026, 11, 29, tzinfo=UTC)
EXPIRY = Expiry(negative=timedelta(days=30), positive=timedelta(days=365))
ORDER = ("spotify", "musicbrainz", "lastfm")


def wanted(artist: ArtistGenres, source: str, order: tuple[str, ...] = ORDER) -> bool:
    return bool(list(open_artists([artist], source, order, NOW, EXPIRY)))


def heard(days_ago: float, *genres: str, mbid: str = "") -> TagAnswer:
    return TagAnswer(mbid, NOW - timedelta(days=days_ago), genres)


@pytest.mark.parametrize(
    ("artist", "musicbrainz", "lastfm"),
    [
        (ArtistGenres("a"), True, True),
        (ArtistGenres("a", ("rock",), "spotify"), False, False),
        (ArtistGenres("a", ("rock",), "musicbrainz", {"musicbrainz": heard(1, "rock")}), False, False),
        (ArtistGenres("a", ("rock",), "musicbrainz", {"musicbrainz": heard(366, "rock")}), True, False),
        (ArtistGenres("a", ("rock",), "lastfm", {"lastfm": heard(1, "rock")}), True, False),
        (ArtistGenres("a", answers={"musicbrainz": heard(29)}), False, True),
        (ArtistGenres("a", answers={"musicbrainz": heard(31)}), True, True),
        (ArtistGenres("a", answers={"musicbrainz": TagAnswer("mbid")}), True, True),
    ],
)
def test_a_source_is_asked_where_none_before_it_knows_and_its_answer_is_not_fresh(
    artist: ArtistGenres, musicbrainz: bool, lastfm: bool
) -> None:
    assert (wanted(artist, "musicbrainz"), wanted(artist, "lastfm")) == (musicbrainz, lastfm)
    due = next_due([artist], ORDER[1:], ORDER, EXPIRY)
    assert (due is not None and due < NOW) == (musicbrainz or lastfm)


def test_a_source_before_spotify_is_asked_also_where_spotify_knows() -> None:
    artist = ArtistGenres("a", ("rock",), "spotify")
    assert wanted(artist, "musicbrainz", ("musicbrainz", "spotify"))
    assert not wanted(artist, "musicbrainz", ("spotify", "musicbrainz"))


@pytest.mark.parametrize(
    ("order", "source"),
    [
        (("spotify", "musicbrainz"), "spotify"),
        (("musicbrainz", "spotify"), "musicbrainz"),
        (("lastfm",), "musicbrainz"),  # neither is in the order: known genres stay all the same
        ((), "musicbrainz"),
    ],
)
def test_the_first_source_of_the_order_decides(order: tuple[str, ...], source: str) -> None:
    artist = ArtistGenres("a", ("pop",), "spotify", {"musicbrainz": heard(1, "rock")})
    genres = {"spotify": ("pop",), "musicbrainz": ("rock",)}
    assert chosen(artist, order) == (source, genres[source])


def test_an_empty_answer_replaces_nothing() -> None:
    artist = ArtistGenres("a", ("pop",), "spotify", {"musicbrainz": heard(1)})
    assert chosen(artist, ("musicbrainz", "spotify")) == ("spotify", ("pop",))
    assert chosen(ArtistGenres("a", answers={"musicbrainz": heard(1)}), ORDER) == ("", ())


def test_an_artist_is_settled_when_known_or_when_every_source_has_answered() -> None:
    negative = {"musicbrainz": heard(1)}
    assert is_settled(ArtistGenres("a", ("pop",), "spotify"), ORDER, NOW, EXPIRY)
    assert not is_settled(ArtistGenres("a", answers=negative), ORDER, NOW, EXPIRY)
    assert is_settled(ArtistGenres("a", answers={**negative, "lastfm": heard(2)}), ORDER, NOW, EXPIRY)
    assert is_settled(ArtistGenres("a", answers=negative), ("spotify", "musicbrainz"), NOW, EXPIRY)
