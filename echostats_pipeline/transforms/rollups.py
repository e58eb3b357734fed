"""Plays to daily rollups: one document per user and local date that has a play."""

from collections.abc import Collection
from datetime import date
from typing import Any

import polars as pl

from echostats_pipeline.transforms.plays import PLAYS_SCHEMA, with_listening_time, with_local_day

RollupDocument = dict[str, Any]


def build_daily_rollups(
    plays: pl.DataFrame,
    *,
    user_id: str,
    timezone: str,
    min_play_ms: int,
    days: Collection[date] | None = None,
) -> list[RollupDocument]:
    """Build the rollups of one user.

    Args:
        plays: Frame of `PLAYS_SCHEMA` in any order, reaching a day further back than `days`.
        user_id: Owner of the plays.
        timezone: IANA zone in which days begin and hours are told.
        min_play_ms: Plays known to be shorter do not count; their time does.
        days: Local dates to build; None builds every date with a play.

    Returns:
        Documents of ``daily_rollups`` as `model.statistics.DailyRollup` describes them, ordered by date, without
        ``_id``. A date without any play has none. Lists are in a total order, so equal plays give equal documents.
    """
    if not PLAYS_SCHEMA.items() <= dict(plays.schema).items():
        raise TypeError(f"plays must have the columns {dict(PLAYS_SCHEMA)}, got {dict(plays.schema)}")
    timed = with_local_day(with_listening_time(plays.lazy(), min_play_ms), timezone)
    if days is not None:
        timed = timed.filter(pl.col("date").is_in(list(days)))
    totals, hours, artists, albums, tracks = pl.collect_all(
        [_totals(timed), _hours(timed), _names(timed, "artist_name"), _names(timed, "album_name"), _tracks(timed)]
    )
    hourly = dict(hours.iter_rows())
    artist_plays = {day: dict(zip(names, counts, strict=True)) for day, names, counts in artists.iter_rows()}
    album_plays = {day: dict(zip(names, counts, strict=True)) for day, names, counts in albums.iter_rows()}
    track_plays = {(day, counted): rows for day, counted, rows in tracks.iter_rows()}
    return [
        {
            "user_id": user_id,
            "date": day.isoformat(),
            "day_of_week": day.weekday(),
            "total_plays": total_plays,
            "total_ms": total_ms,
            "hourly": hourly[day],
            "artist_plays": artist_plays.get(day, {}),
            "album_plays": album_plays.get(day, {}),
            "track_plays": track_plays.get((day, True), []),
            "total_rows": total_rows,
            "total_skips": total_skips,
            "uncounted_tracks": track_plays.get((day, False), []),
        }
        for day, total_plays, total_ms, total_rows, total_skips in totals.iter_rows()
    ]


def _totals(timed: pl.LazyFrame) -> pl.LazyFrame:
    return (
        timed.group_by("date")
        .agg(pl.col("counted").sum(), pl.col("ms").sum(), pl.len(), pl.col("left_early").sum())
        .sort("date")
    )


def _hours(timed: pl.LazyFrame) -> pl.LazyFrame:
    return (
        timed.group_by("date", "hour")
        .agg(count=pl.col("counted").sum(), ms=pl.col("ms").sum())
        .sort("date", "hour")
        .group_by("date", maintain_order=True)
        .agg(pl.struct("hour", "count", "ms"))
    )


def _names(timed: pl.LazyFrame, column: str) -> pl.LazyFrame:
    """Counted plays per name: ``date``, names, counts; most played first, then by name."""
    return (
        timed.filter("counted")
        .group_by("date", column)
        .len("count")
        .sort(["date", "count", column], descending=[False, True, False])
        .group_by("date", maintain_order=True)
        .agg(column, "count")
    )


def _tracks(timed: pl.LazyFrame) -> pl.LazyFrame:
    """Tracks of a day: ``date``, whether anything of them counted, documents; most played first, then by time and id.

    A track goes by the names of its last play of the day.
    """
    return (
        timed.group_by("date", "track_id", maintain_order=True)
        .agg(
            name=pl.col("track_name").last(),
            artist_name=pl.col("artist_name").last(),
            count=pl.col("counted").sum(),
            album_name=pl.col("album_name").last(),
            ms=pl.col("ms").sum(),
        )
        .rename({"track_id": "spotify_id"})
        .sort(["date", "count", "ms", "spotify_id"], descending=[False, True, True, False])
        .group_by("date", pl.col("count").gt(0).alias("counts"), maintain_order=True)
        .agg(pl.struct("spotify_id", "name", "artist_name", "count", "album_name", "ms"))
    )
