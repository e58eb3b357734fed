"""Brings the tables of the warehouse to the newest version, by numbered SQL files that only go forward."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from echostats_pipeline.errors import WarehouseError
from echostats_pipeline.marts.warehouse.connection import Connection

VERSIONS = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW()
);
COMMENT ON TABLE schema_migrations IS 'The migrations that were applied: the largest is the version of the tables.';
COMMENT ON COLUMN schema_migrations.version IS 'Number of the file.';
COMMENT ON COLUMN schema_migrations.name IS 'Name of the file.';
COMMENT ON COLUMN schema_migrations.applied_at IS 'When it was applied.';
"""
VIEWS = frozenset({"listening", "first_plays"})
RELATIONS = (
    *("users", "playlists", "user_preferences", "plays", "days", "sessions", "tracks", "artists", "track_artists"),
    *("albums", "genres", "track_genres", "snapshots", "gaps", "loads", "logins", "schema_migrations"),
    *VIEWS,
)
"""All tables and views."""
MISSING = "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NULL"
IS_OURS = (
    "SELECT obj_description(to_regclass('schema_migrations'), 'pg_class') LIKE 'The migrations that were applied%'"
)
"""Whether there is the table of versions, and not the one of the same name that other tools make."""
LOCK = "LOCK TABLE schema_migrations IN SHARE ROW EXCLUSIVE MODE"
"""Which no login can take: it may only read the table."""
FIRST_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('echostats warehouse', 0))"
"""As long as there is no table, and so no login."""
CLOSED = """
DO $$
DECLARE
    name TEXT;
    grantee TEXT;
BEGIN
    FOR name, grantee IN
        SELECT DISTINCT c.oid::regclass::text, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
        FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid, aclexplode(c.relacl) a
        WHERE (c.oid IN (SELECT to_regclass(ours) FROM unnest(ARRAY[{tables}]) AS ours)
            OR i.inhparent = 'plays'::regclass AND c.relkind = 'r')
            AND a.grantee <> c.relowner
            AND a.grantee::regrole::text NOT IN ('echostats_reader', 'echostats_application')
    LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s', name, grantee);
    END LOOP;
END
$$
"""
"""Takes back what default privileges of the schema give to others on new tables by themselves, as Supabase's do."""


class Migration(NamedTuple):
    """A numbered SQL file."""

    version: int
    name: str
    sql: str


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations, in order."""
    files = resources.files(__package__).joinpath("migrations").iterdir()
    return tuple(
        sorted(
            Migration(int(numbered[1]), file.name, file.read_text(encoding="utf-8"))
            for file in files
            if (numbered := re.fullmatch(r"(\d{4})_\w+\.sql", file.name))
        )
    )


def newest() -> int:
    """The version of the tables that this version of the package needs."""
    return migrations()[-1].version


def version(connection: Connection) -> int:
    """The version of the tables in the database; 0 if there are none."""
    if not _value(connection, IS_OURS):
        return 0
    return int(_value(connection, "SELECT coalesce(max(version), 0) FROM schema_migrations"))


def migrate(connection: Connection, policies: str = "logins") -> list[str]:
    """Apply the migrations that are missing, each in a transaction of its own; return their names.

    If a table or view is gone, all migrations are applied again. After the loss of a table, all users are loaded again
    at their next update.
    Processes that do this at the same moment wait for each other.

    Args:
        connection: To the database, as the owner of the tables.
        policies: Whom row-level security knows besides the roles of the warehouse: ``logins`` or ``supabase``.

    Raises:
        WarehouseError: the tables are newer than this package, or belong to another application.
    """
    applied = []
    have = version(connection)
    if have > newest():
        raise WarehouseError(
            f"The tables of the warehouse have version {have}; this version of echostats knows {newest()}. Upgrade it.",
            permanent=True,
        )
    torn = _missing(connection) if have else set()
    if have == newest() and not torn and _policies(connection) == policies:
        return []
    if have == 0:
        _refuse_other_tables(connection)
    for migration in migrations():
        with _locked(connection):
            if not torn and migration.version <= version(connection):
                continue
            run_file(connection, migration.sql)
            connection.execute(
                "INSERT INTO schema_migrations (version, name) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (migration.version, migration.name),
            )
            applied.append(migration.name)
    if torn - VIEWS:
        connection.execute("UPDATE loads SET load_id = '', tracks_digest = NULL")
    if applied:
        with _locked(connection):
            connection.execute(CLOSED.format(tables=", ".join(f"'{name}'" for name in RELATIONS)))
    with _locked(connection):
        if applied or _policies(connection) != policies:
            run_file(connection, resources.files(__package__).joinpath(f"policies/{policies}.sql").read_text("utf-8"))
    return applied


@contextmanager
def _locked(connection: Connection) -> Iterator[None]:
    """Run the block in a transaction, while no other process migrates."""
    with connection.transaction():
        if version(connection) == 0:
            connection.execute(FIRST_LOCK)
            connection.execute(VERSIONS)
        connection.execute(LOCK)
        yield


def run_file(connection: Connection, sql: str) -> None:
    """Execute the statements of a file, in which % has no meaning."""
    connection.execute(sql)


def _policies(connection: Connection) -> str:
    found = _value(
        connection,
        "SELECT EXISTS (SELECT FROM pg_policies "
        "WHERE schemaname = current_schema() AND policyname = 'own_rows_of_account')",
    )
    return "supabase" if found else "logins"


def _refuse_other_tables(connection: Connection) -> None:
    """Refuse a database in which another application has tables or views of the same names.

    Raises:
        WarehouseError: there is one.
    """
    taken = sorted({*RELATIONS} - _missing(connection))
    if taken and version(connection) == 0:  # or else another process has made the first tables meanwhile
        raise WarehouseError(
            f"The database has a table {taken[0]!r} already, which echostats has not made. Give the warehouse a "
            "database of its own, or a schema: ?options=-csearch_path%3Dechostats at the end of ECHOSTATS_POSTGRES.",
            permanent=True,
        )


def _missing(connection: Connection) -> set[str]:
    """The tables and views that there are not."""
    return {row[0] for row in connection.execute(MISSING, ([*RELATIONS],))}


def _value(connection: Connection, sql: str, *values: Any) -> Any:
    row = connection.execute(sql, values or None).fetchone()
    return None if row is None else row[0]
