"""Sums up rollups for charts: plays of each of the last days, and of each hour of the week."""

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl

DAYS_A_WEEK, HOURS_A_DAY = 7, 24


def plays_per_day(days: pl.DataFrame, *, last: date, count: int) -> dict[date, int]:
    """Counted plays of the `count` dates that end with `last`, in order; 0 where there were none.

    Args:
        days: As `frames.DAYS_SCHEMA`.
        last: The last date.
        count: How many dates.
    """
    first = last - timedelta(days=count - 1)
    known = dict(days.filter(pl.col("date").is_between(first, last)).select("date", "plays").iter_rows())
    return {day: known.get(day, 0) for number in range(count) if (day := first + timedelta(days=number))}


def plays_per_weekday_and_hour(hours: pl.DataFrame, *, last: date, count: int) -> Sequence[Sequence[int]]:
    """Counted plays within the `count` dates that end with `last`: 7 rows from Monday, 24 hours each.

    Args:
        hours: As `frames.HOURS_SCHEMA`.
        last: The last date.
        count: How many dates.
    """
    found = (
        hours.filter(pl.col("date").is_between(last - timedelta(days=count - 1), last))
        .group_by(pl.col("date").dt.weekday().cast(pl.Int64).alias("weekday"), "hour")
        .agg(pl.col("plays").sum())
    )
    table = [[0] * HOURS_A_DAY for _ in range(DAYS_A_WEEK)]
    for weekday, hour, plays in found.iter_rows():
        table[weekday - 1][hour] = plays
    return table
