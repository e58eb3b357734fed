from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.transforms.days import (
    DayWindow,
    local_date,
    local_midnight,
    streaks,
    touched_days,
    windows,
)
from echostats_pipeline.transforms.statistics.plays import UTC_MS
from echostats_pipeline_tests.transforms.listening_factories import STARTS, daily_rollups, quick, zoned_histories
from echostats_pipeline_tests.transforms.oracle import OraclePlay
from echostats_pipeline_tests.transforms.oracle_periods import first_instant

dates = st.dates(date(2024, 1, 1), date(2024, 3, 1))
A_MILLISECOND = timedelta(milliseconds=1)


def ends(*stamps: datetime) -> pl.Series:
    return pl.Series(stamps, dtype=UTC_MS)


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        (zone, (start + timedelta(days=offset)).date())
        for zone, starts in STARTS.items()
        for start in starts
        for offset in (-1, 0, 1, 2)
    ],
)
def test_midnight_is_the_first_instant_of_a_date(zone: str, day: date) -> None:
    assert local_midnight(day, ZoneInfo(zone)) == first_instant(day, zone)


@given(zone=st.sampled_from(sorted(available_timezones())), day=st.dates(date(2008, 10, 1), date(2037, 12, 31)))
def test_in_every_zone_a_date_begins_where_the_one_before_it_ends(zone: str, day: date) -> None:
    begins = local_midnight(day, ZoneInfo(zone))
    assert begins.tzinfo is UTC
    assert local_date(begins - A_MILLISECOND, ZoneInfo(zone)) < day <= local_date(begins, ZoneInfo(zone))


@given(days=st.lists(dates))
def test_windows_hold_exactly_the_given_dates_and_never_touch(days: list[date]) -> None:
    found = windows(days)
    assert [day for window in found for day in window.dates()] == sorted(set(days))
    assert all(after.first - before.last > timedelta(days=1) for before, after in pairwise(found))


@quick
@given(history=zoned_histories(), data=st.data())
def test_a_window_reads_every_play_its_days_need(history: tuple[str, list[OraclePlay]], data: st.DataObject) -> None:
    zone, plays = history
    days = sorted({local_date(play.played_at, ZoneInfo(zone)) for play in plays})
    first, last = sorted(data.draw(st.tuples(st.sampled_from(days), st.sampled_from(days))))
    window = DayWindow(first, last)
    start, end = window.instants(ZoneInfo(zone))
    within = [play for play in plays if start <= play.played_at < end]

    def build(read: list[OraclePlay]) -> list[dict[str, object]]:
        return daily_rollups(read, zone, days=list(window.dates()))

    assert build(within) == build(plays)


@pytest.mark.parametrize(
    ("zone", "day", "needed"),
    [
        ("UTC", "2024-05-02", "2024-05-01T00:00"),
        ("UTC", "2024-05-02", "2024-05-02T23:59:59.999"),
        # A play that shortens the day's first one.
        ("Asia/Kolkata", "2024-05-02", "2024-05-01T18:29:59"),
        # The second 23:30 of 6 November 2010, after the clocks of St. John's had shown the 7th for a minute.
        ("America/St_Johns", "2010-11-06", "2010-11-07T03:00"),
    ],
)
def test_a_window_reaches_a_day_back_and_to_the_end_of_its_last_date(zone: str, day: str, needed: str) -> None:
    window = DayWindow(date.fromisoformat(day), date.fromisoformat(day))
    start, end = window.instants(ZoneInfo(zone))
    assert start <= datetime.fromisoformat(needed).replace(tzinfo=UTC) < end


@quick
@given(history=zoned_histories(), data=st.data())
def test_only_touched_days_change_when_a_play_appears(
    history: tuple[str, list[OraclePlay]], data: st.DataObject
) -> None:
    zone, plays = history
    new = data.draw(st.sampled_from(plays))

    def build(read: list[OraclePlay]) -> dict[str, dict[str, object]]:
        return {document["date"]: document for document in daily_rollups(read, zone)}

    before, after = build([play for play in plays if play != new]), build(plays)
    changed = {day for day in {*before, *after} if before.get(day) != after.get(day)}
    newest = max(play.played_at for play in plays)
    touched = {day.isoformat() for day in touched_days(ends(new.played_at), newest, ZoneInfo(zone))}
    assert changed <= touched


@pytest.mark.parametrize(
    ("zone", "late", "next_play", "touched"),
    [
        # There was no 30 December 2011 in Samoa.
        ("Pacific/Apia", "2011-12-30T09:00", "2011-12-30T10:01", "2011-12-31"),
        # At 00:01 of 7 November 2010 it was 23:01 of the 6th again in St. John's.
        ("America/St_Johns", "2010-11-07T02:30:30", "2010-11-07T02:31:30", "2010-11-06"),
    ],
)
def test_a_late_play_touches_the_day_of_the_next_play_whatever_the_clocks_do(
    zone: str, late: str, next_play: str, touched: str
) -> None:
    at, after = (datetime.fromisoformat(stamp).replace(tzinfo=UTC) for stamp in (late, next_play))
    assert local_date(after, ZoneInfo(zone)) == date.fromisoformat(touched) != local_date(at, ZoneInfo(zone))
    assert date.fromisoformat(touched) in touched_days(ends(at), after, ZoneInfo(zone))


def test_a_late_play_touches_its_day_and_the_next_but_no_day_without_plays() -> None:
    at, newest = datetime(2024, 5, 1, 12, tzinfo=UTC), datetime(2024, 5, 9, tzinfo=UTC)
    assert touched_days(ends(at), newest, ZoneInfo("UTC")) == {date(2024, 5, 1), date(2024, 5, 2)}
    assert touched_days(ends(at), at, ZoneInfo("UTC")) == {date(2024, 5, 1)}
    assert touched_days(ends(at), None, ZoneInfo("UTC")) == {date(2024, 5, 1)}
    assert touched_days(ends(), newest, ZoneInfo("UTC")) == set()


def test_a_day_is_the_listeners_own() -> None:
    at = datetime(2024, 5, 1, 23, tzinfo=UTC)
    assert touched_days(ends(at), at, ZoneInfo("Asia/Kolkata")) == {date(2024, 5, 2)}


@given(days=st.sets(dates, max_size=12), today=dates)
def test_a_streak_ends_today_or_yesterday(days: set[date], today: date) -> None:
    current, longest = streaks(sorted(days), today)
    past = {day for day in days if day <= today}
    last = today if today in past else today - timedelta(days=1)
    assert all(last - timedelta(days=back) in past for back in range(current))
    assert last - timedelta(days=current) not in past
    lengths = [n for n in range(13) for day in past if all(day - timedelta(days=back) in past for back in range(n))]
    assert longest == max(lengths, default=0)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ((), (0, 0)),
        ((10,), (1, 1)),
        ((9,), (1, 1)),
        ((8,), (0, 1)),
        ((8, 9), (2, 2)),
        ((8, 9, 10), (3, 3)),
        ((1, 2, 3, 4, 10), (1, 4)),
        ((9, 10, 11), (2, 2)),
    ],
)
def test_a_streak_is_not_broken_before_the_day_is_over(days: tuple[int, ...], expected: tuple[int, int]) -> None:
    assert streaks([date(2024, 5, day) for day in days], date(2024, 5, 10)) == expected


@given(first=dates, length=st.integers(1, 800), most=st.integers(1, 400))
def test_the_pieces_of_a_window_are_the_window(first: date, length: int, most: int) -> None:
    window = DayWindow(first, first + timedelta(days=length - 1))
    pieces = list(window.pieces(most))
    assert [day for piece in pieces for day in piece.dates()] == list(window.dates())
    assert window.length == sum(piece.length for piece in pieces) == length
    assert {piece.length for piece in pieces[:-1]} <= {most}
    assert pieces[-1].length <= most
