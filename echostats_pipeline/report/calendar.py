"""The calendar of a report: listening time of each day, days with gaps, and unknown days."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from echostats_pipeline.model.plays import ListeningGap
from echostats_pipeline.model.statistics import DayTotal, WeekdayHourTotal
from echostats_pipeline.transforms.days import DayWindow, local_date

LEVELS = 4
"""Number of shades for days with listening; level 0 is a day without."""
HALF_YEARS = ((1, 6), (7, 12))

DayState = Literal["known", "gap", "unknown"]


@dataclass(frozen=True)
class Cell:
    """One local date of the calendar.

    Attributes:
        day: The date.
        plays: Number of counted plays.
        ms: Listening time in milliseconds.
        level: 0 without listening, else 1 to `LEVELS`; each level holds a quarter of the days with listening.
        state: ``gap`` if plays of this day may be missing, ``unknown`` if nothing is known of this day.
    """

    day: date
    plays: int
    ms: int
    level: int
    state: DayState


@dataclass(frozen=True)
class CalendarYear:
    """A year in two halves of whole months, each with its cells in order; future days have no cell."""

    year: int
    halves: tuple[Sequence[Cell], ...]


@dataclass(frozen=True)
class Calendar:
    """The years, newest first, and the least minutes of a day for each of the levels 1 to `LEVELS`."""

    years: Sequence[CalendarYear]
    from_minutes: Sequence[int]

    @property
    def has_gaps(self) -> bool:
        """Whether plays of any day may be missing."""
        return any(cell.state == "gap" for cell in self._cells())

    @property
    def has_unknown_days(self) -> bool:
        """Whether any day is unknown."""
        return any(cell.state == "unknown" for cell in self._cells())

    def _cells(self) -> Iterator[Cell]:
        return (cell for year in self.years for half in year.halves for cell in half)


def build_calendar(
    days: Iterable[DayTotal],
    *,
    shown: DayWindow,
    known: DayWindow | None,
    gaps: Collection[date],
    unknown: Collection[date] = (),
) -> Calendar:
    """Build the calendar of the years that `shown` touches.

    Args:
        days: Totals of dates with listening; other dates may be left out.
        shown: The dates of the report; dates before and after it have no cell.
        known: The dates from the first known play to the last sync; None without plays.
        gaps: Dates with plays that may be missing.
        unknown: Dates that are not completely covered: without plays, they are unknown, not silent.
    """
    heard = {date.fromisoformat(day.date): day for day in days if day.total_ms or day.count}
    within = {day: total for day, total in heard.items() if _holds(shown, day)}
    starts = _level_starts([total.total_ms for total in within.values()])

    def cell(day: date) -> Cell:
        total = within.get(day)
        ms, plays = (total.total_ms, total.count) if total else (0, 0)
        level = max(sum(ms >= start for start in starts), 1) if total else 0
        return Cell(day, plays, ms, level, _state(day, known, gaps, unknown, listened=total is not None))

    years = [
        CalendarYear(
            year, tuple([cell(day) for day in _half(year, *months) if _holds(shown, day)] for months in HALF_YEARS)
        )
        for year in range(shown.last.year, shown.first.year - 1, -1)
    ]
    return Calendar(years, [round(start / 60_000) for start in starts])


def days_of_gaps(gaps: Iterable[ListeningGap], shown: DayWindow, zone: ZoneInfo) -> set[date]:
    """Return the local dates of `shown` that open intervals touch; an instant is a single play, and marks no day."""
    found: set[date] = set()
    for gap in gaps:
        if gap.kind == "unseen" and gap.closed_by is None and gap.to > gap.from_:
            first, last = local_date(gap.from_, zone), local_date(gap.to, zone)
            found.update(DayWindow(first, last).overlap(shown).dates())
    return found


@dataclass(frozen=True)
class WeekHour:
    """Plays and time in one local hour of one weekday (0 is Monday), with a level as in `Cell`."""

    day: int
    hour: int
    plays: int
    ms: int
    level: int


def build_week(totals: Iterable[WeekdayHourTotal]) -> list[WeekHour]:
    """Return all 168 hours of the week, beginning with those of Monday."""
    heard = {(total.day, total.hour): total for total in totals if total.count or total.total_ms}
    starts = _level_starts([total.total_ms for total in heard.values()])

    def hour_of_week(day: int, hour: int) -> WeekHour:
        total = heard.get((day, hour))
        if total is None:
            return WeekHour(day, hour, 0, 0, 0)
        level = max(sum(total.total_ms >= start for start in starts), 1)
        return WeekHour(day, hour, total.count, total.total_ms, level)

    return [hour_of_week(day, hour) for day in range(7) for hour in range(24)]


def _level_starts(amounts: Iterable[int]) -> list[int]:
    """Return the least time of each level: the levels divide the days with listening into four quarters."""
    ordered = sorted(amounts)
    return [ordered[len(ordered) * part // LEVELS] for part in range(LEVELS)] if ordered else []


def _state(
    day: date, known: DayWindow | None, gaps: Collection[date], unknown: Collection[date], *, listened: bool
) -> DayState:
    if day in gaps:
        return "gap"
    if day in unknown and not listened:
        return "unknown"
    return "known" if listened or (known is not None and _holds(known, day)) else "unknown"


def _holds(window: DayWindow, day: date) -> bool:
    return window.first <= day <= window.last


def _half(year: int, first_month: int, last_month: int) -> Iterator[date]:
    day = date(year, first_month, 1)
    while day.year == year and day.month <= last_month:
        yield day
        day += timedelta(days=1)
