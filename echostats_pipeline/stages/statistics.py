"""Rollups from the history, snapshots from the rollups."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from echostats_pipeline.model.statistics import Period
from echostats_pipeline.model.users import User
from echostats_pipeline.stages import Progress
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import DayWindow, local_date, windows
from echostats_pipeline.transforms.rollups import build_daily_rollups
from echostats_pipeline.transforms.snapshots import SnapshotDocument, build_snapshots

MOST_DAYS_AT_ONCE = 366
"""Of a long range so many are built at a time: progress is seen to move, and what an interruption leaves is built."""


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild of rollups read and changed."""

    days: int = 0
    plays: int = 0
    rollups: int = 0
    written: int = 0

    def __add__(self, other: "Rebuilt") -> "Rebuilt":
        return Rebuilt(
            self.days + other.days,
            self.plays + other.plays,
            self.rollups + other.rollups,
            self.written + other.written,
        )


def rebuild_rollups(
    store: Store, user: User, days: Collection[date], *, min_play_ms: int, progress: Progress
) -> Rebuilt:
    """Make the rollups of `days` what the history says; the user's snapshots wait for a rebuild if any changed."""
    rebuilt = Rebuilt()
    zone = ZoneInfo(user.timezone)
    progress.expect(len(days))
    for window in (piece for whole in windows(days) for piece in whole.pieces(MOST_DAYS_AT_ONCE)):
        dates = list(window.dates())
        with store.rebuilds.rebuilding(user.user_id, "daily_rollups", [day.isoformat() for day in dates]):
            plays = store.plays.read(user.user_id, *window.instants(zone))
            rollups = build_daily_rollups(
                plays, user_id=user.user_id, timezone=user.timezone, min_play_ms=min_play_ms, days=dates
            )
            written = store.statistics.replace_rollups(user.user_id, dates, rollups)
            if written:
                store.rebuilds.mark(user.user_id, "analytics_snapshots")
        plays_read = sum(rollup["total_rows"] for rollup in rollups)
        rebuilt += Rebuilt(days=len(dates), plays=plays_read, rollups=len(rollups), written=written)
        progress.advance(len(dates))
    return rebuilt


def days_before(store: Store, user: User, day: date) -> set[date]:
    """The days before one that have plays, are between such, or wait for a rebuild."""
    waiting = {early for early in store.rebuilds.pending_days(user.user_id) if early < day}
    span = store.users.history_span(user.user_id)
    if span is None:
        return waiting
    first, last = (local_date(instant, ZoneInfo(user.timezone)) for instant in span)
    return waiting | set(DayWindow(first, min(last, day - timedelta(days=1))).dates())


@dataclass(frozen=True)
class Snapshots:
    """New snapshots of one user, and of what they were made what a picture shows.

    Attributes:
        documents: The snapshots, by period.
        days: Plays per day, as `snapshots.DAYS_SCHEMA`.
        hours: Plays per day and hour, as `snapshots.HOURS_SCHEMA`.
        today: The last date of every period.
    """

    documents: Mapping[Period, SnapshotDocument]
    days: pl.DataFrame
    hours: pl.DataFrame
    today: date


def rebuild_snapshots(store: Store, user: User, now: datetime) -> Snapshots:
    """Make the snapshots of all periods of one user what the rollups and the catalogue say."""
    with store.rebuilds.rebuilding(user.user_id, "analytics_snapshots"):
        rollups = store.statistics.rollup_frames(user.user_id)
        catalog = store.catalog.frames(rollups.tracks["track_id"].unique().to_list())
        today = local_date(now, ZoneInfo(user.timezone))
        snapshots = build_snapshots(rollups, catalog, user_id=user.user_id, timezone=user.timezone, today=today)
        store.statistics.replace_snapshots(snapshots, now)
    return Snapshots({each["period"]: each for each in snapshots}, rollups.days, rollups.hours, today)
