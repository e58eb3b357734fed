"""Daily rollups and the catalogue to what is told of periods: snapshots, calendar snapshots, yearly reviews."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from echostats_pipeline.transforms.days import DayWindow, local_midnight, streaks, windows
from echostats_pipeline.transforms.identified import Heard
from echostats_pipeline.transforms.period_statistics import span_statistics
from echostats_pipeline.transforms.spans import calendar_spans, first_date, rolling_spans, year_span

Document = dict[str, Any]


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
    heard: Heard,
    *,
    user_id: str,
    timezone: str,
    today: date,
) -> PeriodDocuments:
    """Build what is told of all periods of one user.

    Args:
        heard: All rollups of the user; later dates than `today` are left out.
        user_id: Owner of the rollups.
        timezone: IANA zone whose midnights bound the periods.
        today: The user's local date, the last day of every rolling period.
    """
    zone = ZoneInfo(timezone)
    heard = heard.until(today)
    played = heard.days.filter(pl.col("plays") > 0)["date"].to_list()
    current, longest = streaks(played, today)
    runs, busiest = windows(played), _busiest_days(heard.days)
    earliest = min(heard.days["date"].to_list(), default=today)
    reviewed = [year for year in heard.days["date"].dt.year().unique().sort().to_list() if year < today.year]
    rolling, calendar = rolling_spans(today, earliest), calendar_spans(today)
    whole = [*rolling.values(), *calendar.values(), *map(year_span, reviewed)]
    # Spans that differ only where nothing was played are alike.
    spans = list(dict.fromkeys(_within(span, earliest, today) for span in whole))
    told = dict(zip(spans, span_statistics(heard, spans), strict=True))

    def document(names: Document, span: DayWindow, bounds: tuple[date | None, date], runs: tuple[int, int]) -> Document:
        first, following = bounds
        return {
            "user_id": user_id,
            **names,
            "period_start": None if first is None else local_midnight(first, zone),
            "period_end": local_midnight(following, zone),
            **told[_within(span, earliest, today)],
            "listening_streak_days": runs[0],
            "longest_streak_days": runs[1],
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
                **document({"year": year}, span, (span.first, span.following), _streaks_within(runs, span)),
                "busiest_day": busiest.get(year),
            }
            for year, span in zip(reviewed, map(year_span, reviewed), strict=True)
        ],
    )


def _within(span: DayWindow, earliest: date, today: date) -> DayWindow:
    """The span as far as there can be plays; what lies outside altogether is empty."""
    within = span.overlap(DayWindow(earliest, today))
    return within if within.length > 0 else DayWindow(date.max, date.min)


def _streaks_within(runs: Sequence[DayWindow], span: DayWindow) -> tuple[int, int]:
    """The run of dates with plays that reaches the last date of a finished span, and the longest one within it."""
    within = [part for run in runs if (part := run.overlap(span)).length > 0]
    current = within[-1].length if within and within[-1].last == span.last else 0
    return current, max((run.length for run in within), default=0)


def _busiest_days(days: pl.DataFrame) -> dict[int, Document]:
    """Of each year the date with most plays, then the longest time, then the first."""
    ordered = days.filter(pl.col("plays") > 0).sort("plays", "ms", "date", descending=[True, True, False])
    busiest = ordered.group_by(year=pl.col("date").dt.year()).first().select("year", "date", "plays", "ms")
    return {
        year: {"date": day.isoformat(), "count": plays, "total_ms": ms} for year, day, plays, ms in busiest.iter_rows()
    }
