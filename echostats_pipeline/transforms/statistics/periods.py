"""The spans of dates that have statistics: rolling periods, calendar periods, finished years."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import polars as pl

from echostats_pipeline.model.statistics import PERIOD_DAYS, PERIODS, CalendarPeriod, Period
from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline.transforms.statistics.frames import collected

WEEK_DAYS = 7
Rows = Mapping[int, list[dict[str, Any]]]
"""Documents by the position of their span."""


def rolling_spans(today: date, earliest: date) -> dict[Period, DayWindow]:
    """The periods that end today. All time begins with the earliest date, or today if that is earlier."""
    return {
        period: DayWindow(min(earliest, today) if (first := first_date(period, today)) is None else first, today)
        for period in PERIODS
    }


def first_date(period: Period, today: date) -> date | None:
    """The first date of a rolling period; None for all time."""
    days = PERIOD_DAYS[period]
    return None if days is None else today - timedelta(days=days - 1)


def calendar_spans(today: date) -> dict[CalendarPeriod, DayWindow]:
    """This and the last week, month and year, whole; weeks begin on Monday (ISO 8601)."""
    monday = today - timedelta(days=today.weekday())
    month, year = today.replace(day=1), today.replace(month=1, day=1)
    eve_of_month, eve_of_year = month - timedelta(days=1), year - timedelta(days=1)
    next_month = (month + timedelta(days=31)).replace(day=1)
    return {
        "this_week": DayWindow(monday, monday + timedelta(days=WEEK_DAYS - 1)),
        "last_week": DayWindow(monday - timedelta(days=WEEK_DAYS), monday - timedelta(days=1)),
        "this_month": DayWindow(month, next_month - timedelta(days=1)),
        "last_month": DayWindow(eve_of_month.replace(day=1), eve_of_month),
        "this_year": year_span(year.year),
        "last_year": year_span(eve_of_year.year),
    }


def year_span(year: int) -> DayWindow:
    """A calendar year."""
    return DayWindow(date(year, 1, 1), date(year, 12, 31))


def within_spans(
    frame: pl.DataFrame, spans: Sequence[DayWindow], **columns: Callable[[DayWindow], pl.Expr]
) -> pl.DataFrame:
    """The rows whose ``date`` lies in each span, in order, span after span.

    Args:
        frame: With ``date``.
        spans: Spans of any length; they may overlap.
        columns: More columns, which depend on the span.

    Returns:
        The rows with ``span``, the position of their span, and the other columns.
    """
    within = (
        frame.lazy()
        .filter(pl.col("date").is_between(span.first, span.last))
        .with_columns(span=pl.lit(number, pl.UInt32), **{name: column(span) for name, column in columns.items()})
        for number, span in enumerate(spans)
    )
    return collected(pl.concat(within), frame.height)


def by_span(frame: pl.DataFrame) -> Rows:
    """Rows by their ``span``, without that column."""
    rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in frame.to_dicts():
        rows[row.pop("span")].append(row)
    return rows
