"""Writes rows to PostgreSQL: each change of a user in one transaction, so that no reader sees half of it.

A user's plays are a partition of their own. A whole load fills a new partition beside the old one and swaps the two;
the table keeps its identity, so views on it stay. Some days are replaced within the partition.
"""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

import polars as pl

from echostats_pipeline.marts.warehouse.access import end_idle_sessions
from echostats_pipeline.marts.warehouse.connection import LOCK_TIMEOUT, Connection, driver
from echostats_pipeline.marts.warehouse.database import LAYOUT
from echostats_pipeline.marts.warehouse.plays import NAMES, PLAY_COLUMNS, copied
from echostats_pipeline.marts.warehouse.upserts import UNHEARD, copy_rows, lock

SWAP_ATTEMPTS = 3
SWAP_PATIENCE = "20s"
"""How long a swap waits for readers, each time. New readers wait as long."""
NAMED_COLUMNS = ("track_id", *NAMES)
NAMES_AT_ONCE = 16
"""Parts of a load after which the names of their tracks are joined: memory grows with the number of tracks."""

DAYS = """
INSERT INTO days
SELECT user_id, local_date, min(local_weekday),
    count(*) FILTER (WHERE counts), coalesce(sum(listened_ms), 0), count(*),
    count(*) FILTER (WHERE skipped AND NOT excluded), count(skipped) FILTER (WHERE NOT excluded),
    count(DISTINCT track_id) FILTER (WHERE counts),
    count(*) FILTER (WHERE excluded AND (ms_played IS NULL OR ms_played >= %(min_play_ms)s))
FROM plays WHERE user_id = %(user)s AND ({which}) GROUP BY user_id, local_date
"""
SESSIONS = """
INSERT INTO sessions
SELECT user_id, min(played_at), min(played_at - listened_ms * interval '1 millisecond') FILTER (WHERE starts_session),
    max(played_at), min(local_date) FILTER (WHERE starts_session),
    count(*) FILTER (WHERE counts), count(*)
FROM (
    SELECT *, count(*) FILTER (WHERE starts_session) OVER (ORDER BY played_at, track_id) AS number
    FROM plays WHERE user_id = %(user)s AND NOT excluded AND played_at >= %(first)s AND played_at < %(end)s
) AS numbered
GROUP BY user_id, number
"""
NAMED = """
CREATE TEMPORARY TABLE named (user_id uuid, track_id text, track_name text, artist_name text, album_name text)
    ON COMMIT DROP
"""
UNNAMED = """
INSERT INTO tracks (user_id, track_id, song_id, name, artist_name, album_name)
SELECT user_id, track_id, track_id, track_name, artist_name, album_name FROM named
WHERE NOT EXISTS (SELECT FROM tracks t WHERE t.user_id = named.user_id AND t.track_id = named.track_id)
ON CONFLICT DO NOTHING
"""
UNPLAYED = """
DELETE FROM tracks t WHERE t.user_id = %s AND NOT EXISTS (SELECT FROM named WHERE named.track_id = t.track_id)
"""
FORGOTTEN = f"""
DELETE FROM {{table}} t WHERE t.user_id = %(user)s AND t.track_id = ANY(%(ids)s) AND {UNHEARD}
"""


@dataclass(frozen=True)
class Load:
    """A load of a user's plays.

    Attributes:
        user: Id of the user in the warehouse.
        timezone: The zone of local dates and hours.
        min_play_ms: Plays known to be shorter do not count.
        load_id: Identifies the load.
    """

    user: UUID
    timezone: str
    min_play_ms: int
    load_id: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True)
class Loaded:
    """What the warehouse has of a user.

    Attributes:
        layout: Version of the rows.
        last: The last load of plays.
        tracks_digest: Identifies the rows about tracks; None before they are loaded, and if plays have new tracks.
    """

    layout: int
    last: Load
    tracks_digest: str | None


def loaded(connection: Connection, user: UUID) -> Loaded | None:
    """What the warehouse has of a user; None if nothing."""
    sql = "SELECT layout, timezone, min_play_ms, load_id, tracks_digest FROM loads WHERE user_id = %s"
    row = connection.execute(sql, (user,)).fetchone()
    return None if row is None else Loaded(row[0], Load(user, *row[1:4]), row[4])


def load_whole(connection: Connection, load: Load, parts: Iterable[pl.DataFrame]) -> int:
    """Load all plays of a user beside those that are there, and swap; return the number of plays.

    Args:
        connection: As the owner of the tables.
        load: Whose plays.
        parts: Rows as `plays.play_rows` returns them, in order of time.
    """
    user, count = load.user, 0
    beside = f"plays_{user.hex}_{load.load_id[:6]}"
    names = [pl.DataFrame(schema=dict.fromkeys(NAMED_COLUMNS, pl.String))]
    with connection.transaction():
        lock(connection, user)
        connection.execute(f"CREATE TABLE {beside} (LIKE plays INCLUDING DEFAULTS, CHECK (user_id = '{user}'))")

        def arriving() -> Iterator[pl.DataFrame]:
            nonlocal count, names
            for part in parts:
                count += part.height
                names.append(_named(part))
                if len(names) == NAMES_AT_ONCE:
                    names = [_named(pl.concat(names))]
                yield copied(part)

        copy_into = f"COPY {beside} FROM STDIN (FORMAT binary, FREEZE)"
        copy_rows(connection, copy_into, user, PLAY_COLUMNS, arriving())
        connection.execute(f"ALTER TABLE {beside} ADD PRIMARY KEY (user_id, played_at, track_id)")
        connection.execute(f"CREATE INDEX ON {beside} (user_id, local_date)")
        connection.execute(f"CREATE INDEX ON {beside} (user_id, track_id)")
        close_partition(connection, beside)  # after COPY, which row-level security refuses
        connection.execute(f"ANALYZE {beside}")
        _swap(connection, user, beside)
        values = {"user": user, "min_play_ms": load.min_play_ms, "first": "-infinity", "end": "infinity"}
        for table in ("days", "sessions"):
            connection.execute(f"DELETE FROM {table} WHERE user_id = %s", (user,))
        connection.execute(DAYS.format(which="true"), values)
        connection.execute(SESSIONS, values)
        _name_tracks(connection, user, _named(pl.concat(names)))
        connection.execute(UNPLAYED, (user,))
        _record(connection, load, new_tracks=True)
    return count


def load_days(connection: Connection, load: Load, dates: Sequence[date], rows: pl.DataFrame) -> int:
    """Replace all plays of some local dates, in one transaction; return the number of rows deleted and inserted.

    Args:
        connection: As the owner of the tables.
        load: Whose plays.
        dates: Local dates.
        rows: All plays of these dates, as `plays.play_rows` returns them.
    """
    user = load.user
    values: dict[str, Any] = {"user": user, "dates": list(dates), "min_play_ms": load.min_play_ms}
    with connection.transaction():
        lock(connection, user)
        connection.execute("CREATE TEMPORARY TABLE arriving (LIKE plays INCLUDING DEFAULTS) ON COMMIT DROP")
        copy_into = "COPY arriving FROM STDIN (FORMAT binary)"
        copy_rows(connection, copy_into, user, PLAY_COLUMNS, [copied(rows)])
        within = "user_id = %(user)s AND local_date = ANY(%(dates)s)"
        before = connection.execute(
            "SELECT min(played_at), max(played_at), coalesce(array_agg(DISTINCT track_id), '{}') "
            f"FROM plays WHERE {within}",
            values,
        ).fetchone()
        first, last, ids = before or (None, None, [])
        deleted: int = connection.execute(f"DELETE FROM plays WHERE {within}", values).rowcount
        connection.execute("INSERT INTO plays SELECT * FROM arriving")
        connection.execute(f"DELETE FROM days WHERE {within}", values)
        connection.execute(DAYS.format(which="local_date = ANY(%(dates)s)"), values)
        stamps = [each for each in (first, last, *_ends(rows)) if each is not None]
        if stamps:
            _replace_sessions(connection, user, min(stamps), max(stamps))
        new_tracks = _name_tracks(connection, user, _named(rows))
        for table in ("tracks", "track_artists", "track_genres"):
            connection.execute(FORGOTTEN.format(table=table), {"user": user, "ids": list(ids)})
        _record(connection, load, new_tracks=new_tracks)
    return deleted + rows.height


def partitions(connection: Connection, user: UUID) -> list[str]:
    """The partitions of a user: one, or none before the first load."""
    sql = (
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = 'plays'::regclass AND c.relname LIKE %s"
    )
    return [row[0] for row in connection.execute(sql, (f"plays_{user.hex}%",))]


def close_partition(connection: Connection, table: str) -> None:
    """Make a new table one that only its owner can use, and that the planner knows no values of.

    It is read through its parent. The schema's default privileges may have given it to others.
    """
    columns = ", ".join(f"ALTER COLUMN {name} SET STATISTICS 0" for name in PLAY_COLUMNS)
    connection.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY, {columns}")
    granted = connection.execute(
        "SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END "
        "FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = %s::regclass AND a.grantee <> c.relowner",
        (table,),
    ).fetchall()
    for (grantee,) in granted:
        connection.execute(f"REVOKE ALL ON {table} FROM {grantee}")


def _swap(connection: Connection, user: UUID, beside: str) -> None:
    """Put a loaded table in the place of the user's partition.

    Taking a partition out waits for everyone who reads the table, and lets nobody begin to; so it waits not for long.
    """
    busy = driver().errors.LockNotAvailable
    old = partitions(connection, user)
    for attempt in range(SWAP_ATTEMPTS):
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = '{SWAP_PATIENCE}'")
                for partition in old:
                    connection.execute(f"ALTER TABLE plays DETACH PARTITION {partition}")
                connection.execute(f"ALTER TABLE plays ATTACH PARTITION {beside} FOR VALUES IN ('{user}')")
                connection.execute(f"ALTER TABLE {beside} DROP CONSTRAINT {beside}_user_id_check")
                for partition in old:
                    connection.execute(f"DROP TABLE {partition}")
        except busy:
            if attempt == SWAP_ATTEMPTS - 1:
                raise
            end_idle_sessions(connection)
        else:
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            return


def _ends(rows: pl.DataFrame) -> tuple[datetime | None, datetime | None]:
    stamps = rows["played_at"]
    return (None, None) if rows.is_empty() else (stamps[0], stamps[-1])


def _replace_sessions(connection: Connection, user: UUID, first: datetime, last: datetime) -> None:
    """Replace the sessions that plays between two instants may belong to, before the change or after it."""
    found = connection.execute(
        "SELECT "
        "(SELECT max(played_at) FROM plays WHERE user_id = %(user)s AND starts_session AND played_at < %(first)s), "
        "(SELECT min(played_at) FROM plays WHERE user_id = %(user)s AND starts_session AND played_at > %(last)s)",
        {"user": user, "first": first, "last": last},
    ).fetchone()
    begin, end = found or (None, None)
    values = {"user": user, "first": begin or "-infinity", "end": end or "infinity"}
    connection.execute(
        "DELETE FROM sessions WHERE user_id = %(user)s AND first_played_at >= %(first)s AND first_played_at < %(end)s",
        values,
    )
    connection.execute(SESSIONS, values)


def _named(rows: pl.DataFrame) -> pl.DataFrame:
    """The tracks of some rows with their last names, without NUL."""
    names = rows.select(NAMED_COLUMNS).unique("track_id", keep="last", maintain_order=True)
    return names.with_columns(pl.col(pl.String).str.replace_all("\0", "", literal=True))


def _name_tracks(connection: Connection, user: UUID, names: pl.DataFrame) -> bool:
    """Give tracks that are played for the first time a row, until `load_tracks` knows more; whether there are any."""
    connection.execute(NAMED)
    copy_into = "COPY named FROM STDIN (FORMAT binary)"
    copy_rows(connection, copy_into, user, dict.fromkeys(NAMED_COLUMNS, "text"), [names])
    connection.execute("ANALYZE named")
    return bool(connection.execute(UNNAMED).rowcount)


def _record(connection: Connection, load: Load, *, new_tracks: bool) -> None:
    digest = ", tracks_digest = NULL" if new_tracks else ""
    connection.execute(
        "INSERT INTO loads (user_id, layout, timezone, min_play_ms, load_id, plays_loaded_at, loaded_at) "
        "VALUES (%s, %s, %s, %s, %s, now(), now()) ON CONFLICT (user_id) DO UPDATE SET layout = excluded.layout, "
        "timezone = excluded.timezone, min_play_ms = excluded.min_play_ms, load_id = excluded.load_id, "
        f"plays_loaded_at = now(), loaded_at = now(){digest}",
        (load.user, LAYOUT, load.timezone, load.min_play_ms, load.load_id),
    )
