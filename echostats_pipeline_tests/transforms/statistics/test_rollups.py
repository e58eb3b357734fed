from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import bson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.model.statistics import DailyRollup
from echostats_pipeline.transforms.statistics.plays import PLAYS_SCHEMA
from echostats_pipeline.transforms.statistics.rollups import Listener, RollupDocument, build_daily_rollups
from echostats_pipeline_tests.transforms import oracle
from echostats_pipeline_tests.transforms.listening_factories import (
    catalogues,
    daily_rollups,
    plays_frame,
    quick,
    zoned_histories,
)
from echostats_pipeline_tests.transforms.oracle import Catalogue, OraclePlay

thresholds = st.sampled_from((0, 1, 30_000))


def build(
    plays: Sequence[OraclePlay], zone: str, min_play_ms: int = 30_000, days: Sequence[date] | None = None
) -> list[RollupDocument]:
    return daily_rollups(plays, zone, min_play_ms=min_play_ms, days=days)


def in_order(document: RollupDocument) -> list[tuple[str, Any]]:
    """A form in which the order of dict keys counts, as it does in BSON."""
    return [(name, list(value.items()) if isinstance(value, dict) else value) for name, value in document.items()]


@quick
@given(history=zoned_histories(), catalogue=catalogues(), min_play_ms=thresholds)
def test_rollups_are_what_brute_force_finds(
    history: tuple[str, list[OraclePlay]], catalogue: Catalogue, min_play_ms: int
) -> None:
    zone, plays = history
    expected = oracle.rollups(plays, zone, min_play_ms, catalogue=catalogue).values()
    found = daily_rollups(plays, zone, catalogue, min_play_ms=min_play_ms)
    assert list(map(in_order, found)) == list(map(in_order, expected))


@quick
@given(history=zoned_histories(), seed=st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(history: tuple[str, list[OraclePlay]], seed: int) -> None:
    zone, plays = history
    shuffled = Random(seed).sample(plays, k=len(plays))
    assert list(map(in_order, build(shuffled, zone))) == list(map(in_order, build(plays, zone)))


@quick
@given(history=zoned_histories(), data=st.data())
def test_some_days_are_those_days_of_all(history: tuple[str, list[OraclePlay]], data: st.DataObject) -> None:
    zone, plays = history
    everything = build(plays, zone)
    dates = [date.fromisoformat(document["date"]) for document in everything]
    wanted = data.draw(st.lists(st.sampled_from([*dates, dates[0] - timedelta(days=1)]), unique=True))
    some = build(plays, zone, days=wanted)
    assert some == [document for document in everything if date.fromisoformat(document["date"]) in wanted]


@quick
@given(history=zoned_histories())
def test_the_days_sum_up_to_the_whole(history: tuple[str, list[OraclePlay]]) -> None:
    zone, plays = history
    documents = build(plays, zone)
    whole = oracle.heard(plays, zone, 30_000)
    plays_counted = sum(item.counts for item in whole)
    listened_ms = sum(item.ms for item in whole)
    assert sum(document["total_rows"] for document in documents) == len(plays)
    assert sum(document["total_plays"] for document in documents) == plays_counted
    assert sum(document["total_ms"] for document in documents) == listened_ms
    for document in documents:
        tracks = document["track_plays"] + document["uncounted_tracks"]
        for parts in (
            [bucket["count"] for bucket in document["hourly"]],
            [track["count"] for track in tracks],
            document["artist_plays"].values(),
            document["album_plays"].values(),
        ):
            assert sum(parts) == document["total_plays"]
        assert sum(bucket["ms"] for bucket in document["hourly"]) == document["total_ms"]
        assert sum(track["ms"] for track in tracks) == document["total_ms"]


@quick
@given(history=zoned_histories())
def test_a_play_of_unknown_length_never_lasts_longer_than_time_passed(history: tuple[str, list[OraclePlay]]) -> None:
    zone, plays = history
    unknown = [OraclePlay(play.played_at, play.track_id, duration_ms=play.duration_ms) for play in plays]
    ends = sorted(play.played_at for play in plays)
    first = min(unknown, key=lambda play: (play.played_at, play.track_id))
    passed = (ends[-1] - ends[0]) // timedelta(milliseconds=1)
    assert sum(document["total_ms"] for document in build(unknown, zone)) <= passed + first.duration_ms


@quick
@given(history=zoned_histories())
def test_every_rollup_is_a_valid_document(history: tuple[str, list[OraclePlay]]) -> None:
    zone, plays = history
    for document in build(plays, zone):
        assert DailyRollup.model_validate(document).to_bson() == document


def test_a_local_day_may_have_23_or_25_hours() -> None:
    def hours_of(day: datetime) -> list[int]:
        plays = [OraclePlay(day + timedelta(hours=number), "t") for number in range(-3, 30)]
        (document,) = build(plays, "America/New_York", days=[(day + timedelta(hours=6)).date()])
        return [bucket["count"] for bucket in document["hourly"]]

    assert sum(hours_of(datetime(2024, 3, 10, tzinfo=UTC))) == 23
    autumn = hours_of(datetime(2024, 11, 3, tzinfo=UTC))
    assert (sum(autumn), autumn[1]) == (25, 2)


def test_a_date_that_never_was_has_no_rollup() -> None:
    ends = [datetime(2011, 12, 30, 9, 59, 59, tzinfo=UTC), datetime(2011, 12, 30, 10, tzinfo=UTC)]
    documents = build([OraclePlay(end, "t") for end in ends], "Pacific/Apia")
    assert [document["date"] for document in documents] == ["2011-12-29", "2011-12-31"]


def test_a_day_on_which_nothing_counts_keeps_its_time() -> None:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    (document,) = build([OraclePlay(at, "t", ms_played=29_999, reason_end="fwdbtn")], "UTC")
    assert (document["total_plays"], document["total_rows"], document["total_skips"]) == (0, 1, 1)
    assert (document["total_ms"], document["hourly"]) == (29_999, [{"hour": 0, "count": 0, "ms": 29_999}])
    assert document["track_plays"] == []
    assert document["artist_plays"] == document["album_plays"] == {}
    assert [track["ms"] for track in document["uncounted_tracks"]] == [29_999]


def test_no_plays_give_no_rollups() -> None:
    assert build([], "UTC") == []


def test_a_frame_without_the_needed_columns_is_refused() -> None:
    with pytest.raises(TypeError, match="plays must have the columns"):
        build_daily_rollups([Listener("u", "UTC", pl.DataFrame({"played_at": []}))], min_play_ms=0)


@quick
@given(listeners=st.lists(zoned_histories(max_plays=12), max_size=4))
def test_many_listeners_in_one_pass_are_each_as_alone(listeners: list[tuple[str, list[OraclePlay]]]) -> None:
    together = build_daily_rollups(
        [Listener(str(number), zone, plays_frame(plays)) for number, (zone, plays) in enumerate(listeners)],
        min_play_ms=30_000,
    )
    assert together == [
        [{**document, "user_id": str(number)} for document in build(plays, zone)]
        for number, (zone, plays) in enumerate(listeners)
    ]


def test_the_document_of_a_day_can_be_stored_however_many_long_names_it_has() -> None:
    names = [f"{number:05}{'x' * 1_990}" for number in range(3_001)]
    ends = [datetime(2024, 5, 2, 12, tzinfo=UTC) - timedelta(seconds=number) for number in range(3_000)]
    columns = {
        "played_at": [*ends, ends[0] - timedelta(days=1)],
        "track_id": [f"unresolved:{number}" for number in range(3_001)],
        **dict.fromkeys(("track_name", "artist_name", "album_name"), names),
        "ms_played": [200_000] * 3_001,
    }
    plays = pl.DataFrame(
        {name: columns.get(name, [None] * 3_001) for name in PLAYS_SCHEMA.names()}, schema=PLAYS_SCHEMA
    )
    ((kept, cut),) = build_daily_rollups([Listener("u", "UTC", plays)], min_play_ms=30_000)
    assert kept["track_plays"][0]["name"] == names[-1]
    assert (cut["total_plays"], len(cut["track_plays"]), len(cut["artist_plays"])) == (3_000, 3_000, 3_000)
    assert {track["name"] for track in cut["track_plays"]} == {name[:500] for name in names[:-1]}
    assert len(bson.encode(cut)) < 16 << 20
