"""Maps plays to rows of the table ``plays``."""

from collections.abc import Collection, Sequence
from datetime import date

import polars as pl

from echostats_pipeline.model.rules import Rule
from echostats_pipeline.transforms.statistics.exclusions import with_exclusions
from echostats_pipeline.transforms.statistics.plays import (
    PLAYS_SCHEMA,
    goes_on,
    with_listening_time,
    with_local_day,
    without_excluded,
)

READ_SCHEMA = pl.Schema(
    {
        **PLAYS_SCHEMA,
        "source": pl.String(),
        "context_type": pl.String(),
        "reason_start": pl.String(),
        "shuffle": pl.Boolean(),
        "offline": pl.Boolean(),
        "platform": pl.String(),
        "country": pl.String(),
    }
)
"""One row per stored play of one user; null or empty where unknown."""
PLAY_COLUMNS = {
    "user_id": "uuid",
    "played_at": "timestamptz",
    "track_id": "text",
    "local_date": "date",
    "local_hour": "int2",
    "local_weekday": "int2",
    "ms_played": "int4",
    "listened_ms": "int4",
    "counts": "bool",
    "excluded": "bool",
    "skipped": "bool",
    "starts_session": "bool",
    "source": "text",
    "context_type": "text",
    "context_uri": "text",
    "reason_start": "text",
    "reason_end": "text",
    "shuffle": "bool",
    "offline": "bool",
    "private_session": "bool",
    "platform": "text",
    "country": "text",
}
"""The columns of ``plays`` in order, with their types."""
LONGEST_MS = 2**31 - 1
NAMES = ("track_name", "artist_name", "album_name")
UNKNOWN_IF_EMPTY = ("context_type", "context_uri", "reason_start", "reason_end", "platform", "country")


def play_rows(
    plays: pl.DataFrame,
    *,
    timezone: str,
    rules: Sequence[Rule],
    min_play_ms: int,
    dates: Collection[date] | None = None,
) -> pl.DataFrame:
    """The rows of some local dates, with the same numbers as the core's statistics.

    Args:
        plays: As `READ_SCHEMA` in any order, from a day before the dates.
        timezone: Of the user.
        rules: Of the user.
        min_play_ms: Plays known to be shorter do not count.
        dates: Local dates; None for those of all plays.

    Returns:
        The columns of `PLAY_COLUMNS` but the user's id, and `NAMES`, in the order of plays.
    """
    located = with_local_day(plays.lazy(), timezone)
    numbered = with_exclusions(located, rules).with_columns(listener=pl.lit(0))
    timed = with_listening_time(numbered, min_play_ms).collect().lazy()
    kept = without_excluded(timed).with_columns(starts_session=~goes_on(), excluded=pl.lit(value=False))
    left_out = timed.filter(pl.col("rule_ids").is_not_null()).with_columns(
        starts_session=pl.lit(None, pl.Boolean), excluded=pl.lit(value=True)
    )
    rows = pl.concat([kept, left_out], how="vertical") if rules else kept
    if dates is not None:
        rows = rows.filter(pl.col("date").is_in(list(dates)))
    listened = pl.col("ms").fill_null(0).clip(0, LONGEST_MS)
    return (
        rows.sort("played_at", "track_id")
        .select(
            "played_at",
            "track_id",
            pl.col("date").alias("local_date"),
            pl.col("hour").alias("local_hour"),
            (pl.col("date").dt.weekday() - 1).alias("local_weekday"),
            pl.col("ms_played").clip(0, LONGEST_MS),
            pl.when("excluded").then(0).otherwise(listened).alias("listened_ms"),
            (pl.col("counted") & ~pl.col("excluded")).alias("counts"),
            "excluded",
            pl.when("left_known").then("left_early").alias("skipped"),
            "starts_session",
            pl.col("source").fill_null("api"),
            *(pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in UNKNOWN_IF_EMPTY),
            "shuffle",
            "offline",
            "private_session",
            pl.col(NAMES).fill_null(""),
        )
        .collect()
    )


def copied(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of `play_rows` as they are copied: `PLAY_COLUMNS` without the user, and without NUL in any text."""
    texts = [name for name, kind in PLAY_COLUMNS.items() if kind == "text"]
    columns = [name for name in PLAY_COLUMNS if name != "user_id"]
    return rows.select(columns).with_columns(pl.col(texts).str.replace_all("\0", "", literal=True))
