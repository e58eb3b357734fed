"""Removes users from the warehouse: their rows, their logins, and the partitions of their plays."""

from contextlib import suppress
from uuid import UUID

from echostats_pipeline.marts.warehouse.access import drop_login
from echostats_pipeline.marts.warehouse.connection import Connection, driver
from echostats_pipeline.marts.warehouse.loading import partitions
from echostats_pipeline.marts.warehouse.tracks import TABLES
from echostats_pipeline.marts.warehouse.upserts import lock

OF_USER = ("plays", "days", "sessions", *TABLES, "snapshots", "gaps", "loads")
"""Tables whose rows name their user by `user_id` and that removing a row of ``users`` does not clear."""
WITH_ID = ("playlists", "user_preferences")
"""Tables whose rows go with that row of ``users``."""
DROP_PATIENCE = "1s"
"""How long it waits for readers before it drops a partition. New readers wait as long."""
KNOWN = """
SELECT id FROM users WHERE user_key IS NOT NULL UNION SELECT user_id FROM loads UNION SELECT user_id FROM logins
UNION SELECT substr(c.relname, 7, 32)::uuid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'plays'::regclass AND c.relname ~ '^plays_[0-9a-f]{32}'
"""


def known_users(connection: Connection) -> set[UUID]:
    """The ids of all users of whom the warehouse has anything: rows, a login, or a partition."""
    return {row[0] for row in connection.execute(KNOWN)}


def rows_of(connection: Connection, user: UUID) -> dict[str, int]:
    """The number of a user's rows by table; tables without any are left out."""
    owners = {"users": "id"} | dict.fromkeys((*WITH_ID, *OF_USER, "logins"), "user_id")
    sql = ", ".join(f"(SELECT count(*) FROM {table} WHERE {owner} = %(user)s)" for table, owner in owners.items())
    counts = connection.execute(f"SELECT {sql}", {"user": user}).fetchone()
    return {table: count for table, count in zip(owners, counts, strict=True) if count}


def remove_user(connection: Connection, user: UUID) -> None:
    """Delete all rows of a user, then their login.

    Rows go even while somebody reads them. A partition that is read then stays, without a row, until the next call.
    """
    with connection.transaction():
        lock(connection, user)
        with suppress(driver().errors.LockNotAvailable), connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = '{DROP_PATIENCE}'")
            for partition in partitions(connection, user):
                connection.execute(f"DROP TABLE {partition}")
        for table in OF_USER:
            connection.execute(f"DELETE FROM {table} WHERE user_id = %s", (user,))
        connection.execute("DELETE FROM users WHERE id = %s", (user,))
    for (role,) in connection.execute("SELECT role_name FROM logins WHERE user_id = %s", (user,)).fetchall():
        drop_login(connection, role)
