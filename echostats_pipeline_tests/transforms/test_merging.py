from collections import Counter
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.transforms.merging import lay_out, match_api_rows, match_export_rows, without_repeats
from echostats_pipeline.transforms.plays import UTC_MS
from echostats_pipeline_tests.transforms.rows import at

LAY_OUT_SCHEMA = {"import_ts": UTC_MS, "offline_at": UTC_MS, "import_key": pl.String, "ms_played": pl.Int64}

Raw = tuple[int, int | None, int]
raw_rows = st.lists(
    st.tuples(st.integers(0, 3), st.one_of(st.none(), st.integers(-9, 0)), st.sampled_from((0, 0, 1, 700, 200_000))),
    max_size=12,
)


def laid_out(rows: list[Raw]) -> pl.DataFrame:
    records = [
        (at(ts), None if offline is None else at(offline), f"key{number:02}", ms)
        for number, (ts, offline, ms) in enumerate(rows)
    ]
    return lay_out(pl.DataFrame(records, schema=LAY_OUT_SCHEMA, orient="row"))


@given(rows=raw_rows)
def test_laid_out_rows_lie_one_before_the_other_and_never_after_ts(rows: list[Raw]) -> None:
    frame = laid_out(rows)
    assert frame.height == len(rows)
    for _, together in frame.group_by("import_ts"):
        ends = together["played_at"].to_list()
        assert len(set(ends)) == len(ends)
        assert max(ends) == together["import_ts"][0]
        in_order = together.sort("played_at", descending=True)
        assert (
            together.sort("offline_at", "import_key", nulls_last=False)["import_key"].to_list()
            == (in_order["import_key"].to_list()[::-1])
        )
        end = together["import_ts"][0]
        for played_at, ms_played in in_order.select("played_at", "ms_played").iter_rows():
            assert played_at == end
            end = played_at - timedelta(milliseconds=max(ms_played, 1))


@given(rows=raw_rows)
def test_a_stamp_is_an_estimate_exactly_when_rows_share_it(rows: list[Raw]) -> None:
    shared = Counter(at(ts) for ts, _, _ in rows)
    for ts, played_at, estimated in laid_out(rows).select("import_ts", "played_at", "played_at_estimated").iter_rows():
        assert estimated is (shared[ts] > 1)
        assert estimated or played_at == ts


@given(rows=raw_rows, seed=st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[Raw], seed: Any) -> None:
    keyed = [(at(ts), None if off is None else at(off), f"key{n:02}", ms) for n, (ts, off, ms) in enumerate(rows)]
    shuffled = seed.sample(keyed, k=len(keyed))
    frames = [lay_out(pl.DataFrame(listed, schema=LAY_OUT_SCHEMA, orient="row")) for listed in (keyed, shuffled)]
    assert frames[0].equals(frames[1])


def api_frame(*plays: tuple[str, float], duration_ms: int = 200_000) -> pl.DataFrame:
    rows = [(track, at(seconds), duration_ms) for track, seconds in plays]
    return pl.DataFrame(
        rows, schema={"track_id": pl.String, "played_at": UTC_MS, "duration_ms": pl.Int64}, orient="row"
    )


def stored_frame(*plays: tuple[str, float, int | None, float | None]) -> pl.DataFrame:
    rows = [(track, at(end), ms, None if api is None else at(api)) for track, end, ms, api in plays]
    schema = {"track_id": pl.String, "played_at": UTC_MS, "ms_played": pl.Int64, "api_played_at": UTC_MS}
    return pl.DataFrame(rows, schema=schema, orient="row")


def pairs(frame: pl.DataFrame) -> list[tuple[int, int]]:
    return sorted(frame.select("left", "right").rows())


@pytest.mark.parametrize(("seconds", "same"), [(0, True), (30, True), (-30, True), (30.001, False), (-30.001, False)])
def test_api_rows_of_one_track_within_thirty_seconds_are_one_play(seconds: float, same: bool) -> None:
    matches = match_api_rows(api_frame(("a", 100 + seconds)), stored_frame(("a", 100, None, None)))
    assert pairs(matches) == ([(0, 0)] if same else [])


@pytest.mark.parametrize(
    ("seconds", "same"),
    [(300, True), (390, True), (210, True), (390.001, False), (100, True), (10, True), (9.999, False), (200, False)],
)
def test_an_export_row_from_100_to_300_s_is_the_play_the_api_saw_near_either_end(seconds: float, same: bool) -> None:
    exported = pl.DataFrame(
        [("a", at(300), 200_000)],
        schema={"track_id": pl.String, "played_at": UTC_MS, "ms_played": pl.Int64},
        orient="row",
    )
    assert pairs(match_export_rows(exported, api_frame(("a", seconds)))) == ([(0, 0)] if same else [])
    stored = stored_frame(("a", 300, 200_000, None))
    assert pairs(match_api_rows(api_frame(("a", seconds)), stored)) == ([(0, 0)] if same else [])


def test_another_track_is_another_play() -> None:
    assert pairs(match_api_rows(api_frame(("b", 100)), stored_frame(("a", 100, None, None)))) == []


def test_the_stamp_the_api_gave_is_remembered_when_an_export_row_has_replaced_the_play() -> None:
    stored = stored_frame(("a", 1000, 1_000, 2000))
    assert pairs(match_api_rows(api_frame(("a", 2000)), stored)) == [(0, 0)]


@given(
    lefts=st.lists(st.integers(0, 90), max_size=6, unique=True),
    rights=st.lists(st.integers(0, 90), max_size=6, unique=True),
)
def test_matching_is_one_to_one_and_nearest_first(lefts: list[int], rights: list[int]) -> None:
    found = match_api_rows(
        api_frame(*(("a", left) for left in lefts)), stored_frame(*(("a", right, None, None) for right in rights))
    )
    expected, free_left, free_right = [], set(range(len(lefts))), set(range(len(rights)))
    every = sorted((abs(one - two), i, j) for i, one in enumerate(lefts) for j, two in enumerate(rights))
    for seconds, i, j in every:
        if seconds <= 30 and i in free_left and j in free_right:
            expected.append((i, j))
            free_left.remove(i)
            free_right.remove(j)
    assert pairs(found) == sorted(expected)


@pytest.mark.parametrize(
    ("duration_ms", "apart_s", "plays"),
    [
        (15_000, 15, 2),
        (15_000, 8, 2),
        (15_000, 7, 1),
        (200_000, 29, 1),
        (200_000, 30, 2),
        (200_000, 0, 1),
        (0, 0, 1),
        (0, 10, 2),
    ],
)
def test_rows_of_one_answer_that_cannot_both_be_real_are_one(duration_ms: int, apart_s: int, plays: int) -> None:
    frame = api_frame(("a", 100), ("b", 100.5), ("a", 100 + apart_s), duration_ms=duration_ms)
    assert without_repeats(frame).filter(track_id="a").height == plays
