"""Builds the documents of all periods from rollups and the catalogue: snapshots, calendar snapshots, yearly reviews."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from echostats_pipeline.transforms.coverage import UnknownDays
from echostats_pipeline.transforms.days import DayWindow, local_midnight, windows
from echostats_pipeline.transforms.statistics.listening import ListeningFrames
from echostats_pipeline.transforms.statistics.period_statistics import span_statistics
from echostats_pipeline.transforms.statistics.periods import calendar_spans, first_date, rolling_spans, year_span

Document = dict[str, Any]
Runs = tuple[DayWindow | None, DayWindow | None]
"""The streak that reaches the end of a period, and the longest one."""
NOTHING_UNKNOWN = UnknownDays()


@dataclass(frozen=True)
class PeriodDocuments:
    """Documents of one user, without ``_id`` and ``computed_at``.

    Attributes:
        snapshots: Of ``analytics_snapshots`` (`model.statistics.AnalyticsSnapshot`), one per period.
        calendar: Of ``calendar_snapshots`` (`model.statistics.CalendarSnapshot`), one per period.
        reviews: Of ``yearly_reviews`` (`model.statistics.YearlyReview`), one per finished year with a rollup.
    """

    snapshots: list[Document]
    calendar: list[Document]
    reviews: list[Document]


def build_snapshots(
    heard: ListeningFrames,
    *,
    user_id: str,
    timezone: str,
    today: date,
    unknown: UnknownDays = NOTHING_UNKNOWN,
) -> PeriodDocuments:
    """Build the documents of all periods of one user.

    Args:
        heard: All rollups of the user; dates after `today` are left out.
        user_id: Owner of the rollups.
        timezone: IANA zone whose midnights bound the periods.
        today: The user's local date, the last day of every rolling period.
        unknown: Dates that no source covers. They count neither as an absence nor as the end of a streak.
    """
    zone = ZoneInfo(timezone)
    heard = heard.until(today)
    played = heard.days.filter(pl.col("plays") > 0)["date"].to_list()
    runs, busiest = windows(played), busiest_days(heard.days)
    current, longest = _current_run(runs, today, unknown), max(runs, key=lambda run: run.length, default=None)
    earliest = min(heard.days["date"].to_list(), default=today)
    reviewed = [year for year in heard.days["date"].dt.year().unique().sort().to_list() if year < today.year]
    rolling, calendar = rolling_spans(today, earliest), calendar_spans(today)
    whole = [*rolling.values(), *calendar.values(), *map(year_span, reviewed)]
    # Spans that differ only in dates without plays are treated as one.
    spans = list(dict.fromkeys(_within(span, earliest, today) for span in whole))
    statistics = dict(zip(spans, span_statistics(heard, spans, unknown.whole), strict=True))

    def document(names: Document, span: DayWindow, bounds: tuple[date | None, date], runs: Runs) -> Document:
        first, following = bounds
        return {
            "user_id": user_id,
            **names,
            "period_start": None if first is None else local_midnight(first, zone),
            "period_end": local_midnight(following, zone),
            **statistics[_within(span, earliest, today)],
            **{
                field: value
                for name, run in zip(("listening_streak", "longest_streak"), runs, strict=True)
                for field, value in (
                    (f"{name}_days", run.length if run else 0),
                    (f"{name}_at_least", run is not None and borders(run, unknown)),
                )
            },
        }

    return PeriodDocuments(
        snapshots=[
            document({"period": period}, span, (first_date(period, today), span.following), (current, longest))
            for period, span in rolling.items()
        ],
        calendar=[
            document({"period": period}, span, (span.first, span.following), (current, longest))
            for period, span in calendar.items()
        ],
        reviews=[
            {
                **document({"year": year}, span, (span.first, span.following), streaks_within(runs, span)),
                "busiest_day": busiest.get(year),
            }
            for year, span in zip(reviewed, map(year_span, reviewed), strict=True)
        ],
    )


def _within(span: DayWindow, earliest: date, today: date) -> DayWindow:
    """The part of the span in which there can be plays; an empty window if there is none."""
    within = span.overlap(DayWindow(earliest, today))
    return within if within.length > 0 else DayWindow(date.max, date.min)


def _current_run(runs: Sequence[DayWindow], today: date, unknown: UnknownDays) -> DayWindow | None:
    """The run of dates with plays that ends today or yesterday, so that a streak is not broken before the day is over.

    An earlier run counts as current if every day since then is unknown: it may have continued.
    """
    if not runs:
        return None
    since = DayWindow(runs[-1].following, today - timedelta(days=1))
    return runs[-1] if all(day in unknown.touched for day in since.dates()) else None


def borders(run: DayWindow, unknown: UnknownDays) -> bool:
    """Whether unknown days adjoin a run, so that it may have been longer."""
    return run.first - timedelta(days=1) in unknown.touched or run.following in unknown.touched


def streaks_within(runs: Sequence[DayWindow], span: DayWindow) -> Runs:
    """The run of dates with plays that reaches the last date of a finished span, and the longest one within it."""
    within = [part for run in runs if (part := run.overlap(span)).length > 0]
    current = within[-1] if within and within[-1].last == span.last else None
    return current, max(within, key=lambda run: run.length, default=None)


def busiest_days(days: pl.DataFrame) -> dict[int, Document]:
    """For each year the date with the most plays, then the longest time, then the earliest."""
    ordered = days.filter(pl.col("plays") > 0).sort("plays", "ms", "date", descending=[True, True, False])
    busiest = ordered.group_by(year=pl.col("date").dt.year()).first().select("year", "date", "plays", "ms")
    return {
        year: {"date": day.isoformat(), "count": plays, "total_ms": ms} for year, day, plays, ms in busiest.iter_rows()
    }
