"""Gives users logins of their own to the warehouse, and takes them back."""

import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from echostats_pipeline.errors import NotFoundError, WarehouseError
from echostats_pipeline.marts.warehouse.connection import Connection, driver
from echostats_pipeline.marts.warehouse.database import user_uuid
from echostats_pipeline.model.users import User

READER = "echostats_reader"
DIGITS = 12
"""Digits of the user's id in the name of the login."""
MOST_SESSIONS = 20
STATEMENT_TIMEOUT = IDLE_TIMEOUT = "60s"
"""How long a statement may last, and a transaction may wait for the next one. A login may set others."""
END_S = 5
"""How long ending a session may take."""
ELSEWHERE = """
SELECT bool_or(other) AND NOT bool_or(NOT other) FROM (
    SELECT d.datname <> current_database() AS other FROM pg_database d, aclexplode(d.datacl) a
    JOIN pg_roles r ON r.oid = a.grantee WHERE r.rolname = %(role)s
    UNION ALL SELECT d.datname <> current_database() FROM pg_db_role_setting s
    JOIN pg_database d ON d.oid = s.setdatabase JOIN pg_roles r ON r.oid = s.setrole WHERE r.rolname = %(role)s
) AS places
"""
"""Whether a role was made for another database only: that of which this one is a copy."""
OF_LOGIN = "FROM pg_stat_activity WHERE usename = %s AND pid <> pg_backend_pid()"
NO_TEMPORARY = """
SELECT FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
WHERE d.datname = current_database() AND r.rolname = current_user AND current_schema() = 'public'
"""
"""Selects a row if the database is the warehouse's own, so that nobody else needs temporary tables in it."""


@dataclass(frozen=True)
class Login:
    """A login of a user.

    Attributes:
        role: Its name.
        password: Its password, which is stored nowhere.
        url: An address with both, for tools that take one.
        is_new: Whether it was made now; else it got a new password.
    """

    role: str
    password: str
    url: str
    is_new: bool


def role_name(user: User) -> str:
    """The name of a user's login. Every login sees the names of all logins, so it does not name the person."""
    return f"echostats_{user_uuid(user.user_id).hex[:DIGITS]}"


def grant(connection: Connection, user: User) -> Login:
    """Make a login that reads the rows of one user and nothing else, or give it a new password.

    Raises:
        NotFoundError: the user is not loaded yet.
        WarehouseError: another role has that name.
    """
    psycopg = driver()
    sql, role, uuid = psycopg.sql, role_name(user), user_uuid(user.user_id)
    if connection.execute("SELECT FROM loads WHERE user_id = %s", (uuid,)).fetchone() is None:
        raise NotFoundError(
            f"{user.partition_key} is not in the warehouse yet. Load it: echostats warehouse rebuild --user "
            f"{user.partition_key}"
        )
    password = secrets.token_urlsafe(24)
    with connection.transaction():
        known = connection.execute("SELECT user_id FROM logins WHERE role_name = %s", (role,)).fetchone()
        exists = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None
        if exists and (known is None or known[0] != uuid or _is_elsewhere(connection, role)):
            raise WarehouseError(
                f"The server has a role {role} already that this warehouse has not made, perhaps for another database "
                f"on the same server. Drop it first: DROP ROLE {role}",
                permanent=True,
            )
        name = sql.Identifier(role)
        # The server gets the password hashed, so that it is in no log.
        hashed = sql.Literal(_hashed(connection, password, role))
        attributes = sql.SQL("LOGIN CONNECTION LIMIT {} PASSWORD {}").format(sql.Literal(MOST_SESSIONS), hashed)
        verb = sql.SQL("ALTER ROLE" if exists else "CREATE ROLE")
        connection.execute(sql.SQL("{} {} {}").format(verb, name, attributes))
        connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(READER), name))
        schema, database = connection.execute("SELECT current_schema(), current_database()").fetchone()
        for setting, value in (
            ("search_path", schema),
            ("default_transaction_read_only", "on"),
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("idle_in_transaction_session_timeout", IDLE_TIMEOUT),
        ):
            connection.execute(
                sql.SQL("ALTER ROLE {} IN DATABASE {} SET {} = {}").format(
                    name, sql.Identifier(database), sql.Identifier(setting), sql.Literal(value)
                )
            )
        if connection.execute(NO_TEMPORARY).fetchone() is not None:
            connection.execute(sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))
        connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(database), name))
        connection.execute(
            "INSERT INTO logins (role_name, user_id) VALUES (%s, %s) "
            "ON CONFLICT (role_name) DO UPDATE SET granted_at = now()",
            (role, uuid),
        )
    return Login(role, password, _url(connection, role, password), not exists)


def revoke(connection: Connection, user: User) -> tuple[str, bool]:
    """Drop the login of a user and end its sessions; return its name, and whether the role is gone (`drop_login`).

    Raises:
        NotFoundError: the user has no login.
    """
    role, uuid = role_name(user), user_uuid(user.user_id)
    known = connection.execute("SELECT FROM logins WHERE role_name = %s AND user_id = %s", (role, uuid)).fetchone()
    if known is None:
        raise NotFoundError(f"{user.partition_key} has no login to the warehouse.")
    return role, drop_login(connection, role)


def drop_login(connection: Connection, role: str) -> bool:
    """Let nobody in by a login any more, end its sessions, and drop its role with all that it has made here.

    Returns:
        Whether the role is gone. It stays, and lets nobody in, if it owns something in another database.
    """
    sql, errors = driver().sql, driver().errors
    elsewhere, name = _is_elsewhere(connection, role), sql.Identifier(role)
    exists = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None
    with connection.transaction():
        connection.execute("DELETE FROM logins WHERE role_name = %s", (role,))
        if elsewhere or not exists:
            return True
        connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(name))
        connection.execute(sql.SQL("REVOKE {} FROM {}").format(sql.Identifier(READER), name))
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(name))
    connection.execute(f"SELECT pg_terminate_backend(pid, {END_S * 1000}) {OF_LOGIN}", (role,))
    try:
        with connection.transaction():
            connection.execute(sql.SQL("DROP OWNED BY {}").format(name))
            connection.execute(sql.SQL("DROP ROLE {}").format(name))
    except errors.DependentObjectsStillExist:
        return False
    return True


def end_idle_sessions(connection: Connection) -> None:
    """End the sessions of logins that hold tables in a transaction in which nothing happens. They only read."""
    sql, errors = driver().sql, driver().errors
    ended = f"SELECT pg_terminate_backend(pid, {END_S * 1000}) {OF_LOGIN} AND state LIKE 'idle in transaction%%'"
    connection.execute("SELECT pg_stat_clear_snapshot()")
    for (role,) in connection.execute("SELECT role_name FROM logins").fetchall():
        with suppress(errors.InsufficientPrivilege, errors.UndefinedObject), connection.transaction():
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))
            connection.execute(ended, (role,))


def _is_elsewhere(connection: Connection, role: str) -> bool:
    row = connection.execute(ELSEWHERE, {"role": role}).fetchone()
    return bool(row and row[0])


def _hashed(connection: Any, password: str, role: str) -> str:
    hashed: bytes = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    return hashed.decode()


def _url(connection: Any, role: str, password: str) -> str:
    info = connection.info
    host = quote(info.host, safe="") if info.host.startswith("/") else info.host
    return f"postgresql://{role}:{quote(password, safe='')}@{host}:{info.port}/{quote(info.dbname, safe='')}"
