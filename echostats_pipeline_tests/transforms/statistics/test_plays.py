from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.transforms.statistics.plays import with_listening_time, with_local_day
from echostats_pipeline_tests.transforms import oracle
from echostats_pipeline_tests.transforms.listening_factories import plays_frame, zoned_histories
from echostats_pipeline_tests.transforms.oracle import OraclePlay

AT = datetime(2024, 5, 1, tzinfo=UTC)


def one_listener(plays: Sequence[OraclePlay]) -> pl.LazyFrame:
    return plays_frame(plays).lazy().with_columns(listener=pl.lit(0))


def timed(*plays: OraclePlay, min_play_ms: int = 30_000) -> list[tuple[str, bool, bool, int]]:
    frame = with_listening_time(one_listener(plays), min_play_ms).collect()
    return frame.select("track_id", "counted", "left_early", "ms").rows()


@given(history=zoned_histories(), min_play_ms=st.sampled_from((0, 30_000)))
def test_worth_and_local_time_are_what_brute_force_finds(
    history: tuple[str, list[OraclePlay]], min_play_ms: int
) -> None:
    zone, plays = history
    frame = with_local_day(with_listening_time(one_listener(plays), min_play_ms), zone).collect()
    expected = oracle.heard(plays, zone, min_play_ms)
    assert frame.select("played_at", "track_id", "counted", "left_early", "ms", "date", "hour").rows() == [
        (item.play.played_at, item.play.track_id, item.counts, item.left_early, item.ms, item.day, item.local.hour)
        for item in expected
    ]


def test_a_play_counts_from_the_threshold_on_and_when_its_length_is_unknown() -> None:
    lengths = (None, 29_999, 30_000, 0)
    plays = [OraclePlay(AT + timedelta(hours=n), f"t{n}", ms_played=ms) for n, ms in enumerate(lengths)]
    assert [counted for _, counted, _, _ in timed(*plays)] == [True, False, True, False]
    assert all(counted for _, counted, _, _ in timed(*plays, min_play_ms=0))


def test_of_two_plays_at_one_instant_the_second_has_no_time_to_last() -> None:
    assert timed(OraclePlay(AT, "b"), OraclePlay(AT, "a")) == [("a", True, False, 200_000), ("b", True, False, 0)]


def test_a_reported_time_is_believed_even_where_it_overlaps() -> None:
    plays = OraclePlay(AT, "a"), OraclePlay(AT + timedelta(seconds=1), "b", ms_played=90_000)
    assert timed(*plays)[1] == ("b", True, False, 90_000)


def test_whoever_leaves_by_a_button_leaves_early() -> None:
    plays = [
        OraclePlay(AT, "a", skipped=None, reason_end=None),
        OraclePlay(AT, "b", skipped=True, reason_end="trackdone"),
        OraclePlay(AT, "c", skipped=False, reason_end="fwdbtn"),
        OraclePlay(AT, "d", skipped=None, reason_end="backbtn"),
        OraclePlay(AT, "e", skipped=False, reason_end="endplay"),
    ]
    assert [left_early for _, _, left_early, _ in timed(*plays)] == [False, True, True, True, False]
