"""Keeps the warehouse's rows of a user up to date: reads what has changed, maps it, loads it."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, get_args
from uuid import UUID
from zoneinfo import ZoneInfo

import polars as pl

from echostats_pipeline.errors import NotFoundError, SettingsError, WarehouseError
from echostats_pipeline.marts.warehouse import loading, upserts
from echostats_pipeline.marts.warehouse.connection import Connection, address, connected, explaining
from echostats_pipeline.marts.warehouse.database import CONSUMERS, LAYOUT, MART, PLAYS, PROFILE, TRACKS, user_uuid
from echostats_pipeline.marts.warehouse.migrations import migrate, version
from echostats_pipeline.marts.warehouse.plays import play_rows
from echostats_pipeline.marts.warehouse.profile import gap_rows, playlist_rows, preferences_row, snapshot_rows, user_row
from echostats_pipeline.marts.warehouse.reading import CoreReader
from echostats_pipeline.marts.warehouse.removal import known_users, remove_user
from echostats_pipeline.marts.warehouse.tracks import digest, track_tables
from echostats_pipeline.model.operations import MartState
from echostats_pipeline.model.statistics import AnalyticsSnapshot
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.stages.statistics import listening_frames
from echostats_pipeline.storage.change_marks import WHOLE
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import DayWindow, local_date, windows
from echostats_pipeline.transforms.statistics.exclusions import exclusions

logger = logging.getLogger(__name__)

DAYS_AT_ONCE = 366
"""Most days that are read at a time: memory grows with the number of plays."""
MOST_DAYS = 366
"""With more days than these to replace, all plays are loaded again."""
DAY = timedelta(days=1)


Part = Literal["plays", "tracks", "profile"]
PARTS: tuple[Part, ...] = get_args(Part)
"""The parts of a user's rows, in the order in which they are loaded."""


@dataclass(frozen=True)
class PartUpdate:
    """What an update of one part of a user's rows did.

    Attributes:
        changed: Rows deleted and inserted; of a whole load of plays, all plays.
        days: Local dates of plays that were replaced; 0 for a whole load.
        whole: Whether all plays were loaded.
    """

    changed: int
    days: int = 0
    whole: bool = False


def url_of(settings: Settings) -> str:
    """The address of the warehouse.

    Raises:
        SettingsError: the settings name none.
    """
    if settings.postgres is None:
        raise SettingsError(
            "ECHOSTATS_POSTGRES is not set. Give the address of a PostgreSQL database, for example "
            "postgresql://user:password@127.0.0.1:5432/echostats."
        )
    return settings.postgres.get_secret_value()


def waiting_users(store: Store) -> set[str]:
    """Ids of the users whose rows are not up to date."""
    marked = {user_id for consumer in CONSUMERS for user_id in store.marks.pending(consumer)}
    return marked | {user.user_id for user in store.users.all()} - set(store.mart_states.built(MART, LAYOUT))


@dataclass(frozen=True)
class Warehouse:
    """The warehouse, for the updates of one run.

    Attributes:
        connection: To PostgreSQL, as the owner of the tables.
        store: The database of the core.
        settings: What counts as a play and as one song.
        now: The present instant.
    """

    connection: Connection
    store: Store
    settings: Settings
    now: datetime

    @classmethod
    @contextmanager
    def opened(cls, store: Store, settings: Settings, now: datetime) -> Iterator["Warehouse"]:
        """Open the warehouse, bring its tables to the newest version, and remove users whom the core has removed.

        What stands in the way of a removal is logged, and does not hold up other users.

        Raises:
            SettingsError: there is no address, or psycopg is not installed.
            WarehouseError: PostgreSQL cannot be used, or has the users of another installation.
        """
        with cls.looked_at(store, settings, now) as warehouse:
            if version(warehouse.connection):
                warehouse.refuse_others()
            migrate(warehouse.connection, settings.postgres_policies)
            for reason in warehouse.remove_gone():
                logger.warning("A removed user is still in the warehouse: %s", reason)
            yield warehouse

    @classmethod
    @contextmanager
    def looked_at(cls, store: Store, settings: Settings, now: datetime) -> Iterator["Warehouse"]:
        """Open the warehouse and change nothing in it; its tables may be missing, or older than this package.

        Raises:
            SettingsError: there is no address, or psycopg is not installed.
            WarehouseError: PostgreSQL cannot be used.
        """
        with connected(url_of(settings)) as connection:
            yield cls(connection, store, settings, now)

    @property
    def address(self) -> str:
        """Host, port and database."""
        return address(url_of(self.settings))

    def update(self, user: User, part: Part, *, whole: bool = False) -> PartUpdate:
        """Bring the rows of one part of a user up to date.

        Args:
            user: The user.
            part: Which rows.
            whole: Whether to load everything again, even what is marked as read.

        Raises:
            WarehouseError: PostgreSQL cannot be used; nothing of this part was changed.
        """
        with explaining(self.address):
            if part == "plays":
                return self._update_plays(user, whole=whole)
            changed = self._update_tracks(user, whole=whole) if part == "tracks" else self._update_profile(user)
            return PartUpdate(changed)

    def remove_gone(self) -> list[str]:
        """Delete what the warehouse has of users whom the core has removed; return what stands in the way."""
        reasons = []
        for user in sorted(self.gone()):
            try:
                with explaining(self.address):
                    remove_user(self.connection, user)
            except WarehouseError as error:
                reasons.append(str(error))
        return reasons

    def gone(self) -> set[UUID]:
        """Ids of the users whom the core has removed, and of whom the warehouse still has something."""
        return known_users(self.connection) & self._removed()

    def others(self) -> set[UUID]:
        """Ids of the users whom the core has neither now nor removed: of another installation, or of another time."""
        return known_users(self.connection) - self._removed() - users_with_ids(self.store).keys()

    def refuse_others(self) -> None:
        """Refuse a warehouse in which the core knows nobody. Loading it would mix two installations.

        Raises:
            WarehouseError: the warehouse has users, and the core has none of them.
        """
        others = self.others()
        if others and others == known_users(self.connection):
            raise WarehouseError(
                f"PostgreSQL at {self.address} has {len(others)} users, and this installation knows none of them. "
                "Perhaps its database is empty or another one (ECHOSTATS_HOME, MONGO_URI, MONGO_DB), or the warehouse "
                "belongs to another installation: then give this one a PostgreSQL database of its own. "
                "Nothing was changed.",
                permanent=True,
            )

    def _removed(self) -> set[UUID]:
        return {user_uuid(user_id) for user_id in self.store.removals.ids()}

    def _update_plays(self, user: User, *, whole: bool = False) -> PartUpdate:
        """Bring the plays, days and sessions of a user up to date."""
        marks, states = self.store.marks, self.store.mart_states
        waiting = marks.pending(PLAYS).get(user.user_id, [])
        uuid = user_uuid(user.user_id)
        have, state = loading.loaded(self.connection, uuid), states.get(user.user_id, MART, LAYOUT)
        load = loading.Load(uuid, user.timezone, self.settings.min_play_ms)
        whole = whole or WHOLE in waiting or not self._continues(have, state, load)
        marked = [] if whole else [date.fromisoformat(each) for each in waiting]
        # The first play of the next day may last longer, or begin a session, because of the last one of this day.
        dates = sorted({*marked, *(day + DAY for day in marked)})
        whole = whole or len(dates) > MOST_DAYS
        if not whole and not dates:
            return PartUpdate(0)
        begun = marks.begin(user.user_id, PLAYS, [WHOLE] if whole else waiting)
        upserts.put_user(self.connection, user_row(user))
        # Both ids are stored before the load: if this process dies, one of them is right, committed or not.
        loads = [*([have.last.load_id] if have else []), load.load_id]
        states.put(MartState(user_id=user.user_id, mart=MART, layout=LAYOUT, load_ids=loads))
        if whole:
            changed = loading.load_whole(self.connection, load, self._all_rows(user))
        else:
            changed = loading.load_days(self.connection, load, dates, self._rows(user, dates))
        marks.finish(begun)
        return PartUpdate(changed, 0 if whole else len(dates), whole)

    def _update_tracks(self, user: User, *, whole: bool = False) -> int:
        """Bring the rows about a user's tracks up to date; return how many rows changed."""
        uuid = user_uuid(user.user_id)
        have = loading.loaded(self.connection, uuid)
        known = None if have is None or whole else have.tracks_digest
        if known is not None and user.user_id not in self.store.marks.pending(TRACKS):
            return 0
        with self.store.marks.reading(user.user_id, TRACKS):
            heard = listening_frames(self.store, user.user_id, same_recording=self.settings.same_recording)
            facts = self.store.catalog.frames(user.user_id, heard.known["track_id"].unique()).tracks
            tables = track_tables(heard, facts)
            content = digest(tables)
            return 0 if content == known else upserts.load_tracks(self.connection, uuid, tables, content)

    def _update_profile(self, user: User) -> int:
        """Bring the user, playlists, preferences, snapshots and gaps up to date; return how many rows changed."""
        core = CoreReader(self.store.db)
        with self.store.marks.reading(user.user_id, PROFILE):
            return upserts.load_profile(
                self.connection,
                user_row(user),
                preferences_row(user, self._snapshot(user), self.settings),
                {
                    "playlists": ("id", playlist_rows(user, core.playlists(user.user_id), self.now)),
                    "snapshots": ("period", snapshot_rows(user, core.snapshots(user.user_id))),
                    "gaps": ("started_at", gap_rows(user, core.gaps(user.user_id))),
                },
            )

    def _continues(self, have: loading.Loaded | None, state: MartState | None, load: loading.Load) -> bool:
        """Whether some days can be replaced in what is loaded.

        If the database was restored from a backup, its last load is not the one that the core remembers.
        """
        if have is None or state is None or have.layout != LAYOUT:
            return False
        same_rules = (have.last.timezone, have.last.min_play_ms) == (load.timezone, load.min_play_ms)
        return same_rules and have.last.load_id in state.load_ids

    def _snapshot(self, user: User) -> AnalyticsSnapshot | None:
        try:
            return self.store.statistics.snapshot(user.user_id, "all_time")
        except NotFoundError:
            return None

    def _all_rows(self, user: User) -> Iterator[pl.DataFrame]:
        span = self.store.users.history_span(user.user_id)
        if span is None:
            return
        first, last = (local_date(instant, ZoneInfo(user.timezone)) for instant in span)
        for piece in DayWindow(first - DAY, last + DAY).pieces(DAYS_AT_ONCE):
            yield self._rows(user, list(piece.dates()))

    def _rows(self, user: User, dates: Sequence[date]) -> pl.DataFrame:
        """The rows of some local dates, in order."""
        core, zone = CoreReader(self.store.db), ZoneInfo(user.timezone)
        rules = exclusions(self.store.rules.of(user.user_id))
        parts = [
            play_rows(
                core.plays(user.user_id, *window.instants(zone)),
                timezone=user.timezone,
                rules=rules,
                min_play_ms=self.settings.min_play_ms,
                dates=list(window.dates()),
            )
            for window in windows(dates)
        ]
        return pl.concat(parts).sort("played_at", "track_id")


def users_with_ids(store: Store) -> dict[UUID, User]:
    """The users of the core by their id in the warehouse."""
    return {user_uuid(user.user_id): user for user in store.users.all()}
