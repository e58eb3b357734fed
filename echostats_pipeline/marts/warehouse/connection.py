"""Connects to the PostgreSQL server, and says by cause why that or a statement has failed."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from echostats_pipeline.errors import SettingsError, WarehouseError

APPLICATION = "echostats_pipeline"
CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT = "5min"
"""How long a statement waits for other sessions: longer than any load takes."""
OLDEST_SERVER = 15
"""Views with the rights of their reader (`security_invoker`) came with this version."""
INSTALL = "pip install 'echostats-pipeline[postgres]'"

_UNREACHABLE = (
    (
        r"could not translate host name|name or service not known|nodename nor servname|name resolution|no address",
        "its name cannot be resolved. Check the host in ECHOSTATS_POSTGRES.",
        True,
    ),
    (r"timeout expired|timed out", "it does not answer. Check host, port and firewall.", False),
    (
        r"connection refused|could not connect|no such file or directory|network is unreachable|no route",
        "nothing listens there. Start PostgreSQL, or check host and port in ECHOSTATS_POSTGRES.",
        False,
    ),
    (
        r"password authentication failed|no password supplied|fe_sendauth|scram",
        "it refuses the password. Check user and password in ECHOSTATS_POSTGRES.",
        True,
    ),
    (r"role \".*\" does not exist", "it does not know the user in ECHOSTATS_POSTGRES.", True),
    (r"role \".*\" is not permitted to log in", "the user in ECHOSTATS_POSTGRES may not log in.", True),
    (r"database \".*\" does not exist", "it has no such database. Create it: createdb, or CREATE DATABASE.", True),
    (r"no pg_hba.conf entry", "its pg_hba.conf does not let this user in from here.", True),
    (
        r"ssl|certificate",
        "the encrypted connection failed. Check sslmode and certificates in ECHOSTATS_POSTGRES.",
        True,
    ),
    (r"too many (clients|connections)|remaining connection slots", "it has no connection left.", False),
    (r"starting up|shutting down|in recovery", "it is starting or stopping. Try again in a moment.", False),
)
"""What a refused connection says, what that means, and whether a person has to act."""
_FAILED = {
    "53100": ("its disk is full.", False),
    "53200": ("it is out of memory.", False),
    "55P03": ("another session holds a table for too long. Look for long queries in pg_stat_activity.", False),
    "57P01": ("it was stopped.", False),
    "25006": ("it only reads now. Give the address of the primary server.", True),
    "42P01": ("a table is missing. `echostats warehouse rebuild` creates all tables.", True),
    "57014": ("the statement took longer than statement_timeout allows.", False),
}  # fmt: skip
"""What a failed statement means by SQLSTATE, and whether a person has to act."""


_RIGHTS = (
    (r"(create|alter|drop|grant|revoke) role", "it needs CREATEROLE for the logins: ALTER ROLE ... CREATEROLE."),
    (r"set role", "it is no member of that role, which another owner has made: GRANT the role to it."),
    (r"must be owner", "it must own the tables."),
    (r"for schema", "it needs CREATE and USAGE on the schema."),
    (r"temporary tables", "it needs TEMPORARY on the database."),
)
"""What a refusal says (SQLSTATE 42501), and which right is missing."""


class Connection(Protocol):
    """What the warehouse uses of psycopg's connections."""

    @property
    def broken(self) -> bool:
        """Whether the connection was lost."""

    def execute(self, query: Any, params: Any = None) -> Any:
        """Execute a statement and return its cursor."""

    def cursor(self) -> Any:
        """Make a cursor, which can copy."""

    def transaction(self) -> AbstractContextManager[Any]:
        """Make one transaction of the block, or a savepoint in a transaction."""


def driver() -> Any:
    """The package psycopg.

    Raises:
        SettingsError: it is not installed.
    """
    try:
        import psycopg  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError(f"ECHOSTATS_POSTGRES needs the package psycopg. Install it with: {INSTALL}") from error
    return psycopg


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Open a connection for as long as the block runs; each statement is a transaction, unless the block opens one.

    Raises:
        SettingsError: psycopg is not installed, or `url` is no connection string.
        WarehouseError: the server cannot be used, at the start or later in the block. The message never has a password.
    """
    psycopg = driver()
    where = address(url)
    try:
        given = psycopg.conninfo.conninfo_to_dict(url)
        options = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": APPLICATION}
        connection = psycopg.connect(url, autocommit=True, **{k: v for k, v in options.items() if k not in given})
    except psycopg.Error as error:
        raise _unreachable(error, where) from None
    with explaining(where), connection:
        if connection.info.server_version // 10_000 < OLDEST_SERVER:
            version = connection.info.server_version // 10_000
            raise WarehouseError(
                f"PostgreSQL at {where} has version {version}. The warehouse needs {OLDEST_SERVER} or newer.",
                permanent=True,
            )
        connection.execute("SET client_min_messages = warning")
        connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        yield connection


@contextmanager
def explaining(where: str) -> Iterator[None]:
    """Say what failed statements of the block mean.

    Raises:
        WarehouseError: a statement has failed.
    """
    try:
        yield
    except driver().Error as error:
        raise explained(error, where) from error


def address(url: str) -> str:
    """Host, port and database of a connection string, without user and password.

    Raises:
        SettingsError: it is no connection string.
    """
    psycopg = driver()
    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise SettingsError(
            "ECHOSTATS_POSTGRES is no connection string. Give one like postgresql://user:password@host:5432/database."
        ) from error
    host = parts.get("host") or parts.get("hostaddr") or "the local socket"
    return f"{host}:{parts.get('port') or 5432}/{parts.get('dbname') or parts.get('user') or ''}"


def explained(error: Exception, where: str) -> WarehouseError:
    """The error that says what a failed statement means, and what to do.

    The server's DETAIL, which quotes rows, is left out.
    """
    state = getattr(error, "sqlstate", None)
    said = str(getattr(getattr(error, "diag", None), "message_primary", None) or str(error).split("\n")[0])
    if state == "42501":
        needs = (right for pattern, right in _RIGHTS if re.search(pattern, said))
        right = next(needs, "it must own the tables, and may create tables and roles.")
        return WarehouseError(
            f"PostgreSQL at {where} failed: the user in ECHOSTATS_POSTGRES lacks a right; {right} It said: {said}",
            permanent=True,
        )
    if state in _FAILED:
        meaning, permanent = _FAILED[state]
        return WarehouseError(f"PostgreSQL at {where} failed: {meaning} It said: {said}", permanent=permanent)
    lost = state is None or state.startswith("08") or state in {"57P02", "57P03"}
    if lost:
        return WarehouseError(f"The connection to PostgreSQL at {where} was lost: {said}", permanent=False)
    return WarehouseError(
        f"PostgreSQL at {where} failed: {said} (SQLSTATE {state})", permanent=not _passes(state or "")
    )


def _passes(state: str) -> bool:
    """Whether a failure may pass by itself: deadlocks and the like, lack of resources, an operator's intervention."""
    return state[:2] in {"40", "53", "55", "57"}


def _unreachable(error: Exception, where: str) -> WarehouseError:
    said = " ".join(str(error).split())
    for pattern, meaning, permanent in _UNREACHABLE:
        if re.search(pattern, said, re.IGNORECASE):
            return WarehouseError(f"PostgreSQL at {where} cannot be used: {meaning}", permanent=permanent)
    said = re.sub(r"(password=)\S+|://[^\s/]*@", r"\1***", said)
    return WarehouseError(f"PostgreSQL at {where} cannot be used: {said}", permanent=False)
