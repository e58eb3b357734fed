"""Decides which plays count and how long each lasted."""

import polars as pl

UTC_MS = pl.Datetime("ms", "UTC")
"""The type of every instant in a frame: UTC with millisecond precision, as BSON keeps it."""

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
        "context_uri": pl.String(),
        "private_session": pl.Boolean(),
    }
)
"""One row per stored play of one user. The last five are null where unknown.

`context_uri`, which is what the track was played from, is null or empty where unknown.
"""

SKIP_REASONS = ("fwdbtn", "backbtn")
"""``reason_end`` values of tracks that the user left early; many exports leave ``skipped`` null or false."""


SESSION_GAP_MS = 30 * 60_000
"""A longer pause ends a session, as in web analytics and in research on listening logs (Google Analytics; Last.fm)."""
SAME_SESSION_MS = 23 * 3_600_000
"""Plays whose ends lie further apart are never one session, however long the later one is reported to be. The rebuild
of a day reads only 24 hours back and must decide as the rebuild of the whole history does."""


SINCE_PREVIOUS_MS = pl.when(pl.col("listener") == pl.col("listener").shift()).then(
    pl.col("played_at").diff().dt.total_milliseconds()
)
"""How long after the previous play of the listener a play ended, in rows in the order of plays."""


def with_local_day(plays: pl.LazyFrame, timezone: str) -> pl.LazyFrame:
    """Add ``date: Date`` and ``hour: Int8`` of the play's end in the given zone."""
    local = pl.col("played_at").dt.convert_time_zone(timezone)
    return plays.with_columns(date=local.dt.date(), hour=local.dt.hour())


def with_listening_time(plays: pl.LazyFrame, min_play_ms: int) -> pl.LazyFrame:
    """Add which plays count and how long they lasted, in the total order of plays (`played_at`, then track id).

    Args:
        plays: Frame of `PLAYS_SCHEMA` and ``listener``, a number: all plays of one user or several, from a day before
            the first one of interest.
        min_play_ms: Plays known to be shorter do not count.

    Returns:
        The same rows, in order for each listener, with ``since_previous_ms: Int64`` (null for the first),
        ``counted: Boolean``, ``left_early: Boolean`` (false where unknown), ``left_known: Boolean`` and ``ms: Int64``:
        the reported time, else the track's length but never more than has passed since the previous play.
    """
    ordered = plays.sort("listener", "played_at", "track_id").with_columns(since_previous_ms=SINCE_PREVIOUS_MS)
    return ordered.with_columns(
        counted=pl.col("ms_played").is_null() | (pl.col("ms_played") >= min_play_ms),
        left_early=pl.col("skipped").fill_null(value=False)
        | pl.col("reason_end").is_in(SKIP_REASONS, nulls_equal=True),
        left_known=pl.col("skipped").is_not_null() | (pl.col("reason_end").fill_null("") != ""),
        ms=pl.coalesce("ms_played", pl.min_horizontal("duration_ms", "since_previous_ms")).cast(pl.Int64),
    )


def without_excluded(timed: pl.LazyFrame) -> pl.LazyFrame:
    """The plays that no rule leaves out; the time that each of them lasted stays.

    Args:
        timed: As `with_listening_time` returns it, with ``rule_ids`` as `exclusions.with_exclusions` adds it.

    Returns:
        The rows that stay, with ``since_previous_ms`` counted from the previous one of them.
    """
    return timed.filter(pl.col("rule_ids").is_null()).with_columns(since_previous_ms=SINCE_PREVIOUS_MS)


def goes_on() -> pl.Expr:
    """Whether a play belongs to the session of the play before it, in rows as `with_sessions` takes them."""
    pause_ms = pl.col("since_previous_ms") - pl.col("ms")
    within = (pause_ms <= SESSION_GAP_MS) & (pl.col("since_previous_ms") <= SAME_SESSION_MS)
    return within.fill_null(value=False)


def with_sessions(timed: pl.LazyFrame) -> pl.LazyFrame:
    """Add the session, and the repeat of a track, that a play belongs to; both are cut at the ends of local dates.

    Args:
        timed: As `with_listening_time` returns it, with ``bucket``: one number for each date of each listener.

    Returns:
        The same rows with numbers ``part`` and ``repeat`` (rows with the same number are adjacent). ``part_continues``
        and ``repeat_continues`` are, in the first row of a part or repeat, whether it began on another date.
        ``leaves`` is whether the next play is on another date.
    """
    return (
        timed.with_columns(
            goes_on=goes_on(),
            same_bucket=(pl.col("bucket") == pl.col("bucket").shift()).fill_null(value=False),
            same_track=(pl.col("track_id") == pl.col("track_id").shift()).fill_null(value=False),
            leaves=(pl.col("bucket") != pl.col("bucket").shift(-1)).fill_null(value=True),
        )
        .with_columns(same_part=pl.col("goes_on") & pl.col("same_bucket"))
        .with_columns(
            part=(~pl.col("same_part")).cum_sum(),
            repeat=(~(pl.col("same_part") & pl.col("same_track"))).cum_sum(),
            part_continues=pl.col("goes_on") & ~pl.col("same_bucket"),
            repeat_continues=pl.col("goes_on") & ~pl.col("same_bucket") & pl.col("same_track"),
        )
    )
