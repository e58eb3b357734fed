"""Names of a less exact source: which match a play, and which belong to another."""

from datetime import timedelta

import polars as pl
import pytest

from echostats_pipeline.transforms.history.matching import match_named_rows
from echostats_pipeline.transforms.history.name_keys import compared
from echostats_pipeline.transforms.statistics.plays import UTC_MS
from echostats_pipeline_tests.transforms.row_factories import at

Names = tuple[str, str]
"""Artist and title."""
LENGTH_MS = 200_000

SAME: list[tuple[Names, Names]] = [
    (("Tyler, The Creator", "See You Again (feat. Kali Uchis)"), ("Tyler The Creator", "See You Again (feat. Kali)")),
    (("Tyler, The Creator", "See You Again (feat. Kali Uchis)"), ("Tyler The Creator", "See You Again")),
    (
        ("Tyler, The Creator", "See You Again (feat. Kali Uchis)"),
        ("Tyler The Creator", "See You Again feat Kali Uchis"),
    ),
    (("David Bowie", '"Heroes" - Live'), ("David Bowie", "Heroes - Live")),
    (("Solo", "Duo"), ("Solo feat. Guest", "Duo")),
    (("Solo", "Duo"), ("Solo ft. Guest", "Duo")),
    (("Solo", "Duo (with Guest)"), ("Solo, Guest", "Duo")),
    (("Solo", "Duo (with Guest)"), ("Solo with Guest", "Duo with Guest")),
    (("Solo", "Duo - with Guest"), ("Solo", "Duo")),
    (("Solo", "Duo [ft. Guest] - Live"), ("Solo featuring Guest", "Duo - Live")),
    (("Simon & Garfunkel", "Mrs. Robinson"), ("Simon Garfunkel", "Mrs Robinson")),
    (("Earth, Wind & Fire", "September"), ("Earth Wind and Fire", "September")),
    (("A; B", "Both"), ("A, B", "Both")),
    (("AC/DC", "T.N.T."), ("ACDC", "TNT")),
    (("Guns N' Roses", "Don\u2019t Cry"), ("Guns N Roses", "Dont Cry")),
    (("Bjo\u0308rk", "Jo\u0301ga"), ("BJ\u00d6RK", "J\u00d3GA")),
    (("\uff21\uff22\uff23", "\uff83\uff7d\uff84"), ("abc", "\u30c6\u30b9\u30c8")),
    (("Queen", "Bohemian Rhapsody - 2011 Remaster"), ("Queen", "Bohemian Rhapsody")),
    (("Queen", "Bohemian Rhapsody (Remastered 2011)"), ("Queen", "Bohemian Rhapsody")),
    (("Queen", "Bohemian Rhapsody - Remastered"), ("Queen", "Bohemian Rhapsody 2011 Remaster")),
    (("!!!", "..."), ("!!!", "\u2026")),
]
OTHERS: list[tuple[Names, Names]] = [
    (("!!!", "?"), ("!!!", "...")),
    (("!!!", "One"), ("???", "One")),
    (("XXXTENTACION", "?"), ("XXXTENTACION", "!")),
    (("Solo", "Duo"), ("Guest", "Duo")),
    (("Solo", "Dancing with Myself"), ("Solo", "Dancing")),
    (("Solo", "Part 1"), ("Solo", "Part 2")),
    (("Solo", "Song - Live"), ("Solo", "Song")),
    (("Solo", "Song (Remix)"), ("Solo", "Song")),
]


def reported(*names: Names, at_s: float = 300, ms_played: int | None = LENGTH_MS) -> pl.DataFrame:
    ended_at = at(at_s)
    return compared(names).with_columns(
        pl.lit(ms_played, pl.Int64).alias("ms_played"),
        track_ids=pl.lit([], pl.List(pl.String)),
        told_by=pl.int_range(pl.len()).cast(pl.String),
        import_key=pl.int_range(pl.len()).cast(pl.String),
        import_ts=pl.lit(ended_at, UTC_MS),
        ended_at=pl.lit(ended_at, UTC_MS),
        started_at=pl.lit(ended_at - timedelta(milliseconds=LENGTH_MS), UTC_MS),
        reported_at=pl.lit(None, UTC_MS),
    )


def pairs(rows: pl.DataFrame, plays: pl.DataFrame) -> list[tuple[int, int]]:
    rows = rows.drop("told_by", "ended_at", "started_at", "reported_at")
    return sorted(match_named_rows(rows, plays.drop("import_key", "import_ts"), precision_ms=0).iter_rows())


@pytest.mark.parametrize(("play", "row"), SAME)
def test_lost_punctuation_guests_and_spelling_are_one_play(play: Names, row: Names) -> None:
    assert pairs(reported(row), reported(play)) == [(0, 0)]
    assert pairs(reported(play), reported(row)) == [(0, 0)]


@pytest.mark.parametrize(("play", "row"), OTHERS)
def test_other_songs_stay_other_plays(play: Names, row: Names) -> None:
    assert pairs(reported(row), reported(play)) == []
    assert pairs(reported(play), reported(row)) == []


def test_a_remaster_is_the_same_play_only_where_length_and_time_agree() -> None:
    remaster, song = ("Queen", "Song - 2011 Remaster"), ("Queen", "Song")
    assert pairs(reported(song, ms_played=LENGTH_MS + 1), reported(remaster)) == []
    assert pairs(reported(song, ms_played=None, at_s=330), reported(remaster)) == [(0, 0)]
    assert pairs(reported(song, ms_played=None, at_s=331), reported(remaster)) == []


def test_names_that_are_equal_come_before_names_that_are_alike() -> None:
    one, other = ("Solo", "Song"), ("Solo", "Song (feat. Guest)")
    assert pairs(reported(one, other), reported(other, one)) == [(0, 1), (1, 0)]
    assert pairs(reported(one, one), reported(other)) == [(0, 0)]
