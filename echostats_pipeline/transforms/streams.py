"""What goes on over midnight: sessions and repeats, joined from their parts on single days."""

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline.transforms.rollups import TWICE


def session_totals(parts: pl.DataFrame, spans: Sequence[DayWindow]) -> list[dict[str, int]]:
    """Number, mean and longest length of the sessions of each span, cut at its ends.

    Args:
        parts: As `frames.SESSIONS_SCHEMA`, in order of time.
        spans: Of any length.

    Returns:
        Documents of `model.statistics.SessionTotals`; a length is from the first play's begin to the last one's end.
    """
    found = []
    for joined in _joined(parts, spans):
        lengths = (
            joined.group_by("whole")
            .agg(ms=(pl.col("ended_at").last() - pl.col("started_at").first()).dt.total_milliseconds())["ms"]
            .to_list()
        )
        count = len(lengths)
        found.append(
            {
                "count": count,
                "mean_ms": sum(lengths) // count if count else 0,
                "longest_ms": max(lengths, default=0),
            }
        )
    return found


def most_replayed(
    repeats: pl.DataFrame, spans: Sequence[DayWindow], known: pl.DataFrame
) -> list[dict[str, Any] | None]:
    """The longest repeat of each span, the first of equals; None if no track was played twice in a row.

    Args:
        repeats: As `frames.REPEATS_SCHEMA`, in order of time.
        spans: Of any length.
        known: As `identified.identified_tracks` returns it.

    Returns:
        Documents of `model.statistics.MostReplayed`.
    """
    longest = [
        joined.group_by("whole")
        .agg(pl.col("plays").sum(), pl.col("track_id", "date").last())
        .filter(pl.col("plays") >= TWICE)
        .sort("plays", "whole", descending=[True, False])
        .head(1)
        .select("track_id", "plays", date=pl.col("date").dt.strftime("%Y-%m-%d"))
        for joined in _joined(repeats, spans)
    ]
    tracks = pl.concat([pl.Series("track_id", [], dtype=pl.String), *(each["track_id"] for each in longest)])
    names = {
        track_id: (name, artist_name)
        for track_id, name, artist_name in known.filter(pl.col("track_id").is_in(tracks.implode()))
        .select("track_id", "name", "artist_name")
        .iter_rows()
    }
    return [
        next(
            (
                {
                    "spotify_id": track_id,
                    "name": names[track_id][0],
                    "artist_name": names[track_id][1],
                    "count": plays,
                    "date": day,
                }
                for track_id, plays, day in each.iter_rows()
            ),
            None,
        )
        for each in longest
    ]


def _joined(parts: pl.DataFrame, spans: Sequence[DayWindow]) -> Iterator[pl.DataFrame]:
    """For each span its parts with ``whole``, a number that parts of one whole share."""
    # Where clocks go back over midnight the part before may lie on a later date, and outside the span.
    before = parts.with_columns(before=pl.col("date").shift())
    for span in spans:
        within = before.filter(pl.col("date").is_between(span.first, span.last))
        goes_on = pl.col("continues") & pl.col("before").is_between(span.first, span.last)
        yield within.with_columns(whole=(~goes_on.fill_null(value=False)).cum_sum())
