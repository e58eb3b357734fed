import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.transforms.history.identity import IdPrefix, normalised_name, stable_id

names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@given(name=names)
def test_normalising_twice_is_normalising_once(name: str) -> None:
    assert normalised_name(normalised_name(name)) == normalised_name(name)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Beyoncé", "BEYONCE\u0301"),
        ("  Sigur   Rós\t", "sigur rós"),
        ("\uff21\uff22", "ab"),
        ("Straße", "STRASSE"),
        ("a\u00a0b", "a b"),
    ],
)
def test_names_are_compared_without_case_width_composition_and_spacing(one: str, other: str) -> None:
    assert normalised_name(one) == normalised_name(other)


@given(prefix=st.sampled_from(["local", "unresolved"]), artist=names, title=names)
def test_a_stable_id_can_never_be_taken_for_one_of_spotifys(prefix: IdPrefix, artist: str, title: str) -> None:
    assert re.fullmatch(prefix + ":[0-9a-zA-Z]{22}", stable_id(prefix, artist, title))


@given(one=st.tuples(names, names), other=st.tuples(names, names))
def test_ids_are_equal_exactly_when_artist_and_title_are(one: tuple[str, str], other: tuple[str, str]) -> None:
    same = [normalised_name(part) for part in one] == [normalised_name(part) for part in other]
    assert (stable_id("local", *one) == stable_id("local", *other)) is same


def test_an_id_never_changes_between_versions() -> None:
    assert stable_id("unresolved", "Glass Animals", "Heat Waves") == "unresolved:4NSk5Z4ezG2o9t4cYxGHO1"
