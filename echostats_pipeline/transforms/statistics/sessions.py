"""Joins sessions and repeats that cross midnight from their parts on single days."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline.transforms.statistics.periods import within_spans
from echostats_pipeline.transforms.statistics.rollups import TWICE


def session_totals(parts: pl.DataFrame, spans: Sequence[DayWindow]) -> list[dict[str, int]]:
    """Number, mean and longest length of the sessions of each span, cut at its ends.

    Args:
        parts: As `frames.SESSIONS_SCHEMA`, in order of time.
        spans: Of any length.

    Returns:
        Documents of `model.statistics.SessionTotals`; a length is from the start of the first play to the last one's
        end.
    """
    lengths = (
        _joined(parts, spans)
        .group_by("span", "whole")
        .agg(ms=(pl.col("ended_at").last() - pl.col("started_at").first()).dt.total_milliseconds())
        .group_by("span")
        .agg(pl.len().alias("count"), pl.col("ms").sum(), pl.col("ms").max().alias("longest"))
    )
    totals = {span: (count, ms, longest) for span, count, ms, longest in lengths.iter_rows()}
    found = []
    for number in range(len(spans)):
        count, ms, longest = totals.get(number, (0, 0, 0))
        found.append({"count": count, "mean_ms": ms // count if count else 0, "longest_ms": longest})
    return found


def most_replayed(
    repeats: pl.DataFrame, spans: Sequence[DayWindow], names: pl.LazyFrame
) -> list[dict[str, Any] | None]:
    """The longest repeat of each span, the first of equals; None if no track was played twice in a row.

    Args:
        repeats: As `frames.REPEATS_SCHEMA`, in order of time.
        spans: Of any length.
        names: As `listening.ListeningFrames.names`.

    Returns:
        Documents of `model.statistics.MostReplayed`.
    """
    longest = (
        _joined(repeats, spans)
        .group_by("span", "whole")
        .agg(pl.col("plays").sum(), pl.col("track_id", "date").last())
        .filter(pl.col("plays") >= TWICE)
        .sort("span", "plays", "whole", descending=[False, True, False])
        .unique("span", keep="first", maintain_order=True)
    )
    titles = (
        names.filter(pl.col("track_id").is_in(longest["track_id"].unique().implode()))
        .select("track_id", "name", "artist_name")
        .collect()
    )
    rows = longest.join(titles, on="track_id", how="left").select(
        "span",
        pl.col("track_id").alias("spotify_id"),
        "name",
        "artist_name",
        pl.col("plays").alias("count"),
        pl.col("date").dt.strftime("%Y-%m-%d"),
    )
    found = {row.pop("span"): row for row in rows.iter_rows(named=True)}
    return [found.get(number) for number in range(len(spans))]


def _joined(parts: pl.DataFrame, spans: Sequence[DayWindow]) -> pl.DataFrame:
    """The parts in each ``span``, with ``whole``, a number that all parts of one session or repeat share."""
    # Where clocks go back across midnight, the previous part may lie on a later date, outside the span.
    before = parts.with_columns(before=pl.col("date").shift())

    def goes_on(span: DayWindow) -> pl.Expr:
        return (pl.col("continues") & pl.col("before").is_between(span.first, span.last)).fill_null(value=False)

    within = within_spans(before, spans, goes_on=goes_on)
    return within.with_columns(whole=(~pl.col("goes_on")).cum_sum())
