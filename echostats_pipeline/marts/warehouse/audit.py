"""Compares the warehouse with the core, and tells how far each user is loaded."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.marts.warehouse.build import Warehouse, users_with_ids, waiting_users
from echostats_pipeline.marts.warehouse.connection import Connection
from echostats_pipeline.marts.warehouse.database import user_uuid
from echostats_pipeline.model.users import User

SUMS = """
SELECT coalesce(sum(row_count), 0), coalesce(sum(plays), 0), coalesce(sum(listened_ms), 0) FROM days WHERE user_id = %s
"""
NAMELESS = """
SELECT count(DISTINCT p.track_id) FROM plays p WHERE p.user_id = %s
    AND NOT EXISTS (SELECT FROM tracks t WHERE t.user_id = p.user_id AND t.track_id = p.track_id)
"""
USERS = """
SELECT u.id, u.user_key, coalesce(d.plays, 0), coalesce(d.days, 0), l.loaded_at, g.role_name
FROM users u
LEFT JOIN loads l ON l.user_id = u.id
LEFT JOIN logins g ON g.user_id = u.id
LEFT JOIN (SELECT user_id, sum(row_count)::bigint AS plays, count(*) AS days FROM days GROUP BY user_id) d
    ON d.user_id = u.id
WHERE u.user_key IS NOT NULL ORDER BY u.user_key
"""


@dataclass(frozen=True)
class WarehouseFault:
    """A number of a user in the warehouse that is not what it should be."""

    user: User
    what: str
    found: int
    expected: int


@dataclass(frozen=True)
class LoadedUser:
    """How far a user is loaded.

    Attributes:
        id: Id of the user in the warehouse.
        user_key: Partition key of the user.
        plays: Rows in ``plays``.
        days: Rows in ``days``.
        loaded_at: When anything was last loaded; None if nothing is.
        login: The name of the user's login; None without one.
        waits: Whether there are changes that are not loaded yet.
        known: Whether the core has this user.
    """

    id: UUID
    user_key: str
    plays: int
    days: int
    loaded_at: datetime | None
    login: str | None
    waits: bool
    known: bool


def wrong_sums(warehouse: Warehouse, users: Iterable[User]) -> Iterator[WarehouseFault]:
    """Numbers of plays, and listening times, that differ from the core's."""
    for user in users:
        rows, plays, ms = _row(warehouse.connection, SUMS, user_uuid(user.user_id))
        expected = {"rows": warehouse.store.db["listening_history"].count_documents({"user_id": user.user_id})}
        try:
            snapshot = warehouse.store.statistics.snapshot(user.user_id, "all_time")
            expected |= {"plays": snapshot.total_tracks_played, "listened_ms": snapshot.total_ms_played}
        except NotFoundError:
            pass
        found = {"rows": int(rows), "plays": int(plays), "listened_ms": int(ms)}
        yield from (
            WarehouseFault(user, what, found[what], number)
            for what, number in expected.items()
            if found[what] != number
        )


def nameless_tracks(warehouse: Warehouse, users: Iterable[User]) -> Iterator[WarehouseFault]:
    """Played tracks without a row in ``tracks``."""
    for user in users:
        (count,) = _row(warehouse.connection, NAMELESS, user_uuid(user.user_id))
        if count:
            yield WarehouseFault(user, "played tracks without a row", count, 0)


def loaded_users(warehouse: Warehouse) -> list[LoadedUser]:
    """How far each user in the warehouse is loaded, in the order of keys."""
    known = users_with_ids(warehouse.store)
    waiting = {user_uuid(user_id) for user_id in waiting_users(warehouse.store)}
    return [
        LoadedUser(user, key, plays, days, loaded_at, login, user in waiting, user in known)
        for user, key, plays, days, loaded_at, login in warehouse.connection.execute(USERS)
    ]


def _row(connection: Connection, sql: str, user: UUID) -> Any:
    return connection.execute(sql, (user,)).fetchone()
