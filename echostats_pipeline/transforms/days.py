"""Local calendar days of a user: the instants they span, and the days that a change affects."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl

LOOK_BACK = timedelta(hours=24)
"""How far before a day a play can end and still shorten the day's first play: no track lasts longer."""
CLOCK_SLACK = timedelta(hours=3)
"""How far after a day its plays can lie: where clocks go back across midnight, a day is not one interval."""


@dataclass(frozen=True)
class DayWindow:
    """A closed range of local dates."""

    first: date
    last: date

    @property
    def following(self) -> date:
        """The first date after the window."""
        return self.last + timedelta(days=1)

    @property
    def length(self) -> int:
        """The number of dates."""
        return (self.last - self.first).days + 1

    def dates(self) -> Iterator[date]:
        """Every date of the window, in order."""
        for offset in range(self.length):
            yield self.first + timedelta(days=offset)

    def overlap(self, other: "DayWindow") -> "DayWindow":
        """The dates that both windows have; its length is 0 or negative if there are none."""
        return DayWindow(max(self.first, other.first), min(self.last, other.last))

    def pieces(self, most: int) -> Iterator["DayWindow"]:
        """The window cut into windows of at most `most` days, in order."""
        for offset in range(0, self.length, most):
            first = self.first + timedelta(days=offset)
            yield DayWindow(first, min(first + timedelta(days=most - 1), self.last))

    def instants(self, zone: ZoneInfo) -> tuple[datetime, datetime]:
        """The half-open UTC interval that holds every play needed to build these days."""
        start = local_midnight(self.first, zone) - LOOK_BACK
        return start, local_midnight(self.following, zone) + CLOCK_SLACK


def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """The instant a local date begins, in UTC.

    Where the clock skips midnight, this is the instant after the skip; where midnight happens twice, the first.
    """
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def local_date(instant: datetime, zone: ZoneInfo) -> date:
    """The calendar date of an instant in a zone."""
    return instant.astimezone(zone).date()


def windows(days: Iterable[date]) -> list[DayWindow]:
    """The given dates as the fewest contiguous windows, in order."""
    found: list[DayWindow] = []
    for day in sorted(set(days)):
        if found and day - found[-1].last == timedelta(days=1):
            found[-1] = DayWindow(found[-1].first, day)
        else:
            found.append(DayWindow(day, day))
    return found


def touched_days(stamps: pl.Series, newest_play: datetime | None, zone: ZoneInfo) -> set[date]:
    """The days whose rollup depends on plays that ended at `stamps` (UTC).

    Those are the local date of each stamp and the date after it: a play of unknown length lasts at most since the play
    before it. The date after is left out if no play is that late. It need not be the next in the calendar: Samoa had no
    30 December 2011, and until 2011 Newfoundland's clocks went back at 00:01.
    """
    own = set(stamps.dt.convert_time_zone(zone.key).dt.date().unique())
    if newest_play is None:
        return own
    newest = local_date(newest_play, zone)
    reached = {local_midnight(day + timedelta(days=1), zone) for day in own}
    reached |= {local_midnight(day, zone) + timedelta(minutes=1) for day in own}
    return own | {day for instant in reached if (day := local_date(instant, zone)) <= newest}


def streaks(days_with_plays: Sequence[date], today: date) -> tuple[int, int]:
    """Current and longest run of consecutive dates.

    The current run ends today or yesterday, so that a streak is not broken before the day is over.
    """
    runs = windows(day for day in days_with_plays if day <= today)
    lengths = [(run.last - run.first).days + 1 for run in runs]
    current = lengths[-1] if runs and runs[-1].last >= today - timedelta(days=1) else 0
    return current, max(lengths, default=0)
