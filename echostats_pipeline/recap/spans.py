"""The spans of dates of a recap: its year or month, the spans beside it, its parts, and the same day of other years."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, NamedTuple

from echostats_pipeline.report.formatting import span as said
from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline.transforms.statistics.periods import WEEK_DAYS, year_span


@dataclass(frozen=True)
class Period:
    """A calendar year, or a month of it."""

    year: int
    month: int | None = None

    @property
    def kind(self) -> Literal["year", "month"]:
        """What it is."""
        return "year" if self.month is None else "month"

    @property
    def window(self) -> DayWindow:
        """All of its dates."""
        if self.month is None:
            return year_span(self.year)
        first = date(self.year, self.month, 1)
        return DayWindow(first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1))

    @property
    def name(self) -> str:
        """The year, or month and year: ``November 2026``."""
        return str(self.year) if self.month is None else f"{self.window.first:%B} {self.year}"

    @property
    def key(self) -> str:
        """The name in file names: ``2026`` or ``2026-11``."""
        return str(self.year) if self.month is None else f"{self.year}-{self.month:02}"

    @property
    def before(self) -> "Period":
        """The year or month before."""
        if self.month is None:
            return Period(self.year - 1)
        return Period(self.year, self.month - 1) if self.month > 1 else Period(self.year - 1, 12)


def until_today(period: Period, today: date) -> DayWindow:
    """The dates of a period that are not in the future."""
    window = period.window
    return DayWindow(window.first, min(window.last, today))


class Pair(NamedTuple):
    """A span of a period and an earlier one, with their names."""

    name: str
    span: DayWindow
    before_name: str
    before: DayWindow


def compared_spans(period: Period, today: date) -> list[Pair]:
    """The earlier spans with which a period is compared.

    While the period goes on, both sides end with yesterday: today is not over. Nothing is compared on its first day.
    """
    a_year_ago = Period(period.year - 1, period.month)
    others = [a_year_ago] if period.month is None else [a_year_ago, period.before]
    if today > period.window.last:
        return [Pair(period.name, period.window, other.name, other.window) for other in others]
    last = today - timedelta(days=1)
    if last < period.window.first:
        return []
    ends = [_end(other, last, (last - period.window.first).days) for other in others]
    span, until = DayWindow(period.window.first, last), f" until {last.day} {last:%B}"
    return [
        Pair(
            f"{period.name}{until}", span, f"{other.name} until {end.day} {end:%B}", DayWindow(other.window.first, end)
        )
        for other, end in zip(others, ends, strict=True)
    ]


def _end(other: Period, last: date, days: int) -> date:
    """The date of another year or month at which it is cut."""
    if other.month is None:
        return _same_day(last, other.year) or date(other.year, 2, 28)
    return min(other.window.first + timedelta(days=days), other.window.last)


def parts_of(period: Period, today: date) -> dict[str, DayWindow]:
    """The months of a year, or the weeks of a month from Monday on, up to today, by name."""
    window = until_today(period, today)
    found = {}
    for part in _months(window) if period.month is None else _weeks(window):
        found[f"{part.first:%B}" if period.month is None else said(part.first, part.last)] = part
    return found


def same_days(today: date, first: date) -> list[date]:
    """Today's day of the calendar in earlier years, the latest first, back to a date."""
    days = (_same_day(today, year) for year in range(today.year - 1, first.year - 1, -1))
    return [day for day in days if day is not None and day >= first]


def _same_day(day: date, year: int) -> date | None:
    """The same day of another year; None for 29 February in a year without it."""
    try:
        return day.replace(year=year)
    except ValueError:
        return None


def _months(window: DayWindow) -> Iterator[DayWindow]:
    first = window.first
    while first <= window.last:
        following = (first + timedelta(days=31)).replace(day=1)
        yield DayWindow(first, min(following - timedelta(days=1), window.last))
        first = following


def _weeks(window: DayWindow) -> Iterator[DayWindow]:
    first = window.first
    while first <= window.last:
        following = first + timedelta(days=WEEK_DAYS - first.weekday())
        yield DayWindow(first, min(following - timedelta(days=1), window.last))
        first = following
