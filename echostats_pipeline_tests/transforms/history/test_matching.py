from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.transforms.history import matching
from echostats_pipeline.transforms.history.matching import (
    API_TOLERANCE_MS,
    EXPORT_TOLERANCE_MS,
    MINUTE_MS,
    lay_out,
    match_api_rows,
    match_export_rows,
    match_named_rows,
    one_to_one,
    without_repeats,
)
from echostats_pipeline.transforms.history.name_keys import compared
from echostats_pipeline.transforms.statistics.plays import UTC_MS
from echostats_pipeline_tests.transforms.row_factories import at

LAY_OUT_SCHEMA = {
    "import_ts": UTC_MS,
    "offline_at": UTC_MS,
    "import_key": pl.String(),
    "ms_played": pl.Int64(),
    "track_id": pl.String(),
}
PAIRS_SCHEMA = {"distance": pl.Int64(), "left": pl.UInt32(), "right": pl.UInt32()}
MS = timedelta(milliseconds=1)

Raw = tuple[int, int | None, int | None, str]
offline = st.one_of(st.none(), st.integers(-9, 0))
raw_rows = st.lists(
    st.tuples(st.integers(0, 3), offline, st.sampled_from((0, 0, 1, 700, 200_000, None)), st.sampled_from("abc")),
    max_size=12,
)
crowds = st.lists(
    st.tuples(st.integers(0, 3), offline, st.sampled_from((0, 1, 998, 999, 1_000, 2_000)), st.sampled_from("aab")),
    max_size=30,
)
"""Uploads a second apart of plays of nearly equal length, so that many would end at the same instant."""


def raw_frame(rows: Sequence[Raw]) -> pl.DataFrame:
    records = [
        (at(ts), None if began is None else at(began), f"key{number:02}", ms, track)
        for number, (ts, began, ms, track) in enumerate(rows)
    ]
    return pl.DataFrame(records, schema=LAY_OUT_SCHEMA, orient="row")


def of_many_tracks(rows: Sequence[Raw]) -> list[Raw]:
    """The same rows, each of another track."""
    return [(ts, began, ms, f"track{number}") for number, (ts, began, ms, _) in enumerate(rows)]


@given(rows=raw_rows)
def test_laid_out_rows_lie_one_before_the_other_and_never_after_ts(rows: list[Raw]) -> None:
    frame = lay_out(raw_frame(of_many_tracks(rows)))
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
            end = played_at - timedelta(milliseconds=max(ms_played or 0, 1))


@given(rows=raw_rows)
def test_a_stamp_is_an_estimate_exactly_when_rows_share_it(rows: list[Raw]) -> None:
    shared = Counter(at(ts) for ts, *_ in rows)
    laid_out = lay_out(raw_frame(rows))
    for ts, played_at, estimated in laid_out.select("import_ts", "played_at", "played_at_estimated").iter_rows():
        assert estimated is (shared[ts] > 1)
        assert estimated or played_at == ts


@given(rows=st.one_of(raw_rows, crowds), seed=st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[Raw], seed: Any) -> None:
    frame = raw_frame(rows)
    shuffled = frame[seed.sample(range(len(rows)), k=len(rows))]
    assert lay_out(shuffled).equals(lay_out(frame))


@given(rows=crowds)
def test_no_two_plays_of_a_track_end_at_one_instant_and_each_moves_as_little_as_it_must(rows: list[Raw]) -> None:
    frame = lay_out(raw_frame(rows))
    ends = set(frame.select("track_id", "played_at").iter_rows())
    assert len(ends) == frame.height == len(rows)
    undisturbed = lay_out(raw_frame(of_many_tracks(rows)))
    wanted: dict[str, datetime] = dict(undisturbed.select("import_key", "played_at").iter_rows())
    for key, ts, track, end in frame.select("import_key", "import_ts", "track_id", "played_at").iter_rows():
        assert end <= wanted[key]
        assert end == ts or wanted[key] != ts, "the newest row of an upload ends with it"
        steps = range(1, (wanted[key] - end) // MS + 1)
        assert all((track, end + step * MS) in ends for step in steps), "a free place lay nearer"


def test_hundreds_that_would_end_at_one_instant_get_a_millisecond_each() -> None:
    # Each upload's first play would end at second 0.
    uploads = [(second, began, second * 1000, "a") for second in range(1, 301) for began in (-2, -1)]
    frame = lay_out(raw_frame(uploads))
    early = frame.filter(pl.col("played_at") != pl.col("import_ts"))["played_at"].sort(descending=True).to_list()
    assert early == [at(0) - number * MS for number in range(300)]


def api_frame(*plays: tuple[str, float], duration_ms: int = 200_000) -> pl.DataFrame:
    """A response of recently-played."""
    rows = [(track, at(seconds), duration_ms) for track, seconds in plays]
    schema = {"track_id": pl.String(), "played_at": UTC_MS, "duration_ms": pl.Int64()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def seen_frame(*plays: tuple[str, float]) -> pl.DataFrame:
    """The plays that the API has reported before."""
    rows = [(track, at(seconds)) for track, seconds in plays]
    return pl.DataFrame(rows, schema={"track_id": pl.String(), "api_played_at": UTC_MS}, orient="row")


def exported_frame(*plays: tuple[str, float, int]) -> pl.DataFrame:
    rows = [(track, at(end), ms, f"key{number:02}") for number, (track, end, ms) in enumerate(plays)]
    schema = {"track_id": pl.String(), "played_at": UTC_MS, "ms_played": pl.Int64(), "import_key": pl.String()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def pairs(frame: pl.DataFrame) -> list[tuple[int, int]]:
    return sorted(frame.select("left", "right").rows())


def greedy(candidates: Sequence[tuple[Any, int, int]]) -> list[tuple[int, int]]:
    """Use each side of (rank, left, right) once, the lowest rank first."""
    chosen: list[tuple[int, int]] = []
    for _, left, right in sorted(candidates):
        if all(left != one and right != other for one, other in chosen):
            chosen.append((left, right))
    return sorted(chosen)


def apart_ms(one: datetime, other: datetime) -> int:
    return abs(one - other) // MS


@given(candidates=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 7), st.integers(0, 7)), max_size=40))
def test_the_first_in_order_are_chosen_first_and_each_side_once(candidates: list[tuple[int, int, int]]) -> None:
    unique = list({(left, right): (rank, left, right) for rank, left, right in candidates}.values())
    frame = pl.DataFrame(unique, schema=PAIRS_SCHEMA, orient="row")
    assert pairs(one_to_one(frame, "distance", "left", "right")) == greedy(unique)


def test_a_long_chain_of_rivals_is_settled() -> None:
    # Every pair but the first has a nearer rival on its left.
    chain = [(distance, (distance + 1) // 2, distance // 2) for distance in range(2_000)]
    frame = pl.DataFrame(
        chain, schema={"distance": pl.Int64(), "left": pl.UInt32(), "right": pl.UInt32()}, orient="row"
    )
    assert pairs(one_to_one(frame, "distance")) == [(number, number) for number in range(1_000)]


instants_ms = st.one_of(
    st.none(),
    st.integers(-4, 4).map(lambda multiple: multiple * API_TOLERANCE_MS),
    st.integers(-100_000, 100_000),
)
instants = st.lists(st.tuples(st.sampled_from("ab"), instants_ms, instants_ms), max_size=8)


@given(lefts=instants, rights=instants)
def test_candidates_are_all_pairs_within_the_tolerance(lefts: list[Any], rights: list[Any]) -> None:
    def frame(rows: list[Any], *names: str) -> pl.DataFrame:
        schema = {"track_id": pl.String(), **dict.fromkeys(names, pl.Int64())}
        return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col(names).cast(UTC_MS))

    found = matching._candidates(
        frame(lefts, "end", "start"),
        ("end", "start"),
        frame(rights, "stamp", "other"),
        ("stamp", "other"),
        API_TOLERANCE_MS,
        on="track_id",
    )
    expected = set()
    for left, (one_track, *ones) in enumerate(lefts):
        for right, (other_track, *others) in enumerate(rights):
            distances = [abs(one - other) for one in ones for other in others if None not in (one, other)]
            if one_track == other_track and min(distances, default=API_TOLERANCE_MS + 1) <= API_TOLERANCE_MS:
                expected.add((left, right, min(distances)))
    listed = found.select("left", "right", "distance_ms").rows()
    assert (len(listed), set(listed)) == (len(expected), expected)


@pytest.mark.parametrize(("seconds", "same"), [(0, True), (30, True), (-30, True), (30.001, False), (-30.001, False)])
def test_api_rows_of_one_track_within_thirty_seconds_are_one_play(seconds: float, same: bool) -> None:
    matches = match_api_rows(api_frame(("a", 100 + seconds)), seen_frame(("a", 100)))
    assert pairs(matches) == ([(0, 0)] if same else [])


@pytest.mark.parametrize(
    ("seconds", "same"),
    [(300, True), (390, True), (210, True), (390.001, False), (100, True), (10, True), (9.999, False), (200, False)],
)
def test_an_export_row_from_100_to_300_s_is_the_play_the_api_saw_near_either_end(seconds: float, same: bool) -> None:
    matches = match_export_rows(exported_frame(("a", 300, 200_000)), seen_frame(("a", seconds)))
    assert pairs(matches) == ([(0, 0)] if same else [])


def test_another_track_is_another_play() -> None:
    assert pairs(match_api_rows(api_frame(("b", 100)), seen_frame(("a", 100)))) == []
    assert pairs(match_export_rows(exported_frame(("b", 100, 5)), seen_frame(("a", 100)))) == []


@given(
    lefts=st.lists(st.integers(0, 90), max_size=6, unique=True),
    rights=st.lists(st.integers(0, 90), max_size=6, unique=True),
)
def test_api_rows_are_matched_nearest_first(lefts: list[int], rights: list[int]) -> None:
    found = match_api_rows(api_frame(*(("a", left) for left in lefts)), seen_frame(*(("a", right) for right in rights)))
    every = [((abs(left - right), left, right), i, j) for i, left in enumerate(lefts) for j, right in enumerate(rights)]
    assert pairs(found) == greedy([candidate for candidate in every if candidate[0][0] <= 30])


exported = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 600), st.sampled_from((0, 15_000, 200_000))), max_size=7
)
seen = st.lists(st.tuples(st.sampled_from("ab"), st.integers(-200, 700)), max_size=7, unique=True)


@given(rows=exported, stamps=seen)
def test_export_rows_are_matched_nearest_first_and_ends_before_starts(
    rows: list[tuple[str, int, int]], stamps: list[tuple[str, int]]
) -> None:
    candidates = []
    for i, (track, end, ms) in enumerate(rows):
        for j, (other, stamp) in enumerate(stamps):
            to_end, to_start = apart_ms(at(end), at(stamp)), apart_ms(at(end - ms / 1000), at(stamp))
            if track == other and min(to_end, to_start) <= EXPORT_TOLERANCE_MS:
                candidates.append(((min(to_end, to_start), to_end, i, stamp), i, j))
    assert pairs(match_export_rows(exported_frame(*rows), seen_frame(*stamps))) == greedy(candidates)


SourceRow = tuple[str, int | None, int | None, int | None, int | None]
"""Title, milliseconds, and the seconds at which the play ended, began, and was reported."""


def source_frame(*plays: SourceRow) -> pl.DataFrame:
    rows = [
        (title, ms, f"told{number:02}", *(None if seconds is None else at(seconds) for seconds in seconds_of))
        for number, (title, ms, *seconds_of) in enumerate(plays)
    ]
    columns = {"title": pl.String(), "ms_played": pl.Int64(), "told_by": pl.String()}
    instants = dict.fromkeys(("ended_at", "started_at", "reported_at"), UTC_MS)
    return by_one_artist(pl.DataFrame(rows, schema={**columns, **instants}, orient="row"))


def named_frame(*rows: tuple[str, int, int | None]) -> pl.DataFrame:
    records = [(title, at(seconds), ms, f"key{number:02}") for number, (title, seconds, ms) in enumerate(rows)]
    schema = {"title": pl.String(), "import_ts": UTC_MS, "ms_played": pl.Int64(), "import_key": pl.String()}
    return by_one_artist(pl.DataFrame(records, schema=schema, orient="row"))


def by_one_artist(rows: pl.DataFrame) -> pl.DataFrame:
    names = compared(("Artist", title) for title in rows["title"])
    return rows.with_columns(*names, track_ids=pl.lit([], pl.List(pl.String))).drop("title")


@pytest.mark.parametrize(
    ("play", "same"),
    [
        (("a", None, 300, None, None), True),
        (("a", 200_000, 300, None, None), True),
        (("a", 200_001, 300, None, None), False),
        (("b", 200_000, 300, None, None), False),
        # The minute from 300 on, and the tolerance on both sides.
        (("a", None, 210, None, None), True),
        (("a", None, 209, None, None), False),
        (("a", None, 450, None, None), True),
        (("a", None, 451, None, None), False),
        # It began in that minute.
        (("a", None, 900, 330, None), True),
        (("a", None, 900, 460, None), False),
        # The API reported when it began: 200 seconds before that minute.
        (("a", None, 10, None, 10), True),
        (("a", None, 250, None, 250), True),
        (("a", None, 9, None, 9), False),
        (("a", None, 10, None, None), False),
    ],
)
def test_a_named_row_is_the_play_that_lies_near_its_minute_and_lasted_as_long(play: SourceRow, same: bool) -> None:
    matches = match_named_rows(named_frame(("a", 300, 200_000)), source_frame(play), precision_ms=MINUTE_MS)
    assert pairs(matches) == ([(0, 0)] if same else [])


def test_what_lies_within_the_minute_is_no_further_away_than_its_start() -> None:
    plays = source_frame(("a", None, 299, None, None), ("a", None, 359, None, None))
    assert pairs(match_named_rows(named_frame(("a", 300, None)), plays, precision_ms=MINUTE_MS)) == [(0, 1)]
    assert pairs(match_named_rows(named_frame(("a", 300, None)), plays, precision_ms=0)) == [(0, 0)]


told_plays = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.sampled_from((None, 1, 200_000)),
        st.integers(0, 700),
        st.one_of(st.none(), st.integers(0, 700)),
        st.one_of(st.none(), st.integers(0, 700)),
    ),
    max_size=6,
)
named_rows = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 700), st.sampled_from((None, 1, 200_000))), max_size=6
)


@given(rows=named_rows, plays=told_plays, precision_ms=st.sampled_from((0, MINUTE_MS)))
def test_named_rows_are_matched_nearest_first(
    rows: list[tuple[str, int, int | None]], plays: list[SourceRow], precision_ms: int
) -> None:
    def outside_ms(seconds: int | None, start: datetime | None) -> int:
        if seconds is None or start is None:
            return EXPORT_TOLERANCE_MS + 1
        after = (at(seconds) - start) // MS
        return max(-after, after - precision_ms, 0)

    candidates = []
    for i, (identity, stamp, ms) in enumerate(rows):
        began = None if ms is None else at(stamp - ms / 1000)
        for j, (other, lasted, ended, started, reported) in enumerate(plays):
            distance = min(outside_ms(ended, at(stamp)), outside_ms(started, at(stamp)), outside_ms(reported, began))
            lengths = {ms, lasted} - {None}
            if identity == other and len(lengths) < 2 and distance <= EXPORT_TOLERANCE_MS:
                candidates.append(((distance, i, ended, j), i, j))
    found = match_named_rows(named_frame(*rows), source_frame(*plays), precision_ms=precision_ms)
    assert pairs(found) == greedy(candidates)


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
