"""Joined spans, and the time between them: unknown time is neither silence nor the end of a span."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from echostats_pipeline.transforms.coverage import NEIGHBOURS, Stretch, UnknownDays, joined, uncovered, unknown_days
from echostats_pipeline_tests.transforms.oracle import OraclePlay
from echostats_pipeline_tests.transforms.statistics.test_snapshots import build

DAY = timedelta(days=1)
BEGIN = datetime(2024, 1, 1, 12, tzinfo=UTC)
UTC_ZONE = ZoneInfo("UTC")


def stretch(first: float, last: float) -> Stretch:
    return Stretch(BEGIN + first * DAY, BEGIN + last * DAY)


def test_spans_that_touch_are_one_and_neighbours_where_they_may_be() -> None:
    spans = [stretch(5, 9), stretch(0, 2), stretch(2, 3), stretch(10, 11)]
    assert joined(spans) == [stretch(0, 3), stretch(5, 9), stretch(10, 11)]
    assert joined(spans, NEIGHBOURS) == [stretch(0, 11)]


def test_a_sync_that_is_hours_old_leaves_nothing_unknown_and_one_of_days_ago_does() -> None:
    assert uncovered([stretch(0, 3)], BEGIN + 4 * DAY) == []
    assert uncovered([stretch(0, 3)], BEGIN + 9 * DAY) == [stretch(3, 9)]
    assert uncovered([], BEGIN) == []


def test_days_are_unknown_as_a_whole_or_in_part() -> None:
    found = unknown_days([stretch(0, 1), stretch(3, 9)], date(2024, 1, 11), UTC_ZONE)
    assert found.whole == {date(2024, 1, 3)}
    assert found.touched == {date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4)}


def test_nothing_is_concluded_from_what_nobody_has_told_of() -> None:
    plays = [OraclePlay(BEGIN + day * DAY, "t", ms_played=60_000) for day in (0, 1, 2, 300, 301, 302, 303)]
    today = (BEGIN + 303 * DAY).date()
    for spans, comebacks, at_least in (
        ([stretch(0, 303)], [(298, 4)], False),
        ([stretch(0, 2), stretch(300, 303)], [], True),
    ):
        found = build(plays, today=today, covered=spans)["all_time"]
        assert [(each["away_days"], each["play_count"]) for each in found["comebacks"]] == comebacks
        assert (found["longest_streak_days"], found["longest_streak_at_least"]) == (4, at_least)
        assert (found["listening_streak_days"], found["listening_streak_at_least"]) == (4, at_least)
    assert UnknownDays() == unknown_days([], today, UTC_ZONE)


def test_a_streak_that_nobody_saw_end_is_not_broken() -> None:
    plays = [OraclePlay(BEGIN + day * DAY, "t", ms_played=60_000) for day in (0, 1, 2)]
    found = build(plays, today=date(2024, 1, 9), covered=[stretch(-1, 2)])["all_time"]
    assert (found["listening_streak_days"], found["listening_streak_at_least"]) == (3, True)
