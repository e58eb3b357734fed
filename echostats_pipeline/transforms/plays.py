"""What a play is worth: which plays count, and how long each lasted."""

import polars as pl

UTC_MS = pl.Datetime("ms", "UTC")
"""Every instant in a frame: UTC with millisecond precision, as BSON keeps it."""

PLAYS_SCHEMA = pl.Schema(
    {
        "played_at": UTC_MS,
        "track_id": pl.String(),
        "track_name": pl.String(),
        "artist_name": pl.String(),
        "album_name": pl.String(),
        "duration_ms": pl.Int64(),
        "ms_played": pl.Int64(),
        "skipped": pl.Boolean(),
        "reason_end": pl.String(),
    }
)
"""One row per stored play of one user. `ms_played`, `skipped` and `reason_end` are null where unknown."""

SKIP_REASONS = ("fwdbtn", "backbtn")
"""``reason_end`` values by which the listener left a track; many exports leave ``skipped`` null or false."""


def with_listening_time(plays: pl.LazyFrame, min_play_ms: int) -> pl.LazyFrame:
    """Add `counted` and `ms`, in the total order of plays (`played_at`, then track id).

    Args:
        plays: Frame of `PLAYS_SCHEMA`, all plays of one user from a day before the first one of interest.
        min_play_ms: Plays known to be shorter do not count.

    Returns:
        The same rows with ``counted: Boolean``, ``left_early: Boolean`` (false where unknown) and ``ms: Int64``: the
        reported time, else the track's length but never more than has passed since the previous play.
    """
    since_previous = pl.col("played_at").diff().dt.total_milliseconds()
    at_most = pl.min_horizontal("duration_ms", since_previous)
    return plays.sort("played_at", "track_id").with_columns(
        counted=pl.col("ms_played").is_null() | (pl.col("ms_played") >= min_play_ms),
        left_early=pl.col("skipped").fill_null(value=False)
        | pl.col("reason_end").is_in(SKIP_REASONS, nulls_equal=True),
        ms=pl.coalesce("ms_played", at_most).cast(pl.Int64),
    )


def with_local_day(plays: pl.LazyFrame, timezone: str) -> pl.LazyFrame:
    """Add ``date: Date`` and ``hour: Int8`` of the play's end in the given zone."""
    local = pl.col("played_at").dt.convert_time_zone(timezone)
    return plays.with_columns(date=local.dt.date(), hour=local.dt.hour())
