"""Makes rows of tables equal to what the pipeline wants; rows that are equal already are not written."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import polars as pl

from echostats_pipeline.marts.warehouse.connection import Connection, driver
from echostats_pipeline.marts.warehouse.tracks import TABLES

ROWS_AT_ONCE = 50_000
"""Rows that are laid out at a time: memory grows with them."""
UNHEARD = "(SELECT true FROM plays p WHERE p.user_id = t.user_id AND p.track_id = t.track_id LIMIT 1) IS NULL"
"""Whether track `t` has no play. NOT EXISTS would be a join, which reads all plays of a track to find one."""


def load_tracks(connection: Connection, user: UUID, tables: Mapping[str, pl.DataFrame], digest: str) -> int:
    """Make the rows about a user's tracks equal to `tables`, in one transaction; return how many rows changed.

    Args:
        connection: As the owner of the tables.
        user: Id of the user in the warehouse.
        tables: As `tracks.track_tables` returns them.
        digest: Identifies the content of `tables`.
    """
    changed = 0
    with connection.transaction():
        lock(connection, user)
        for table, frame in tables.items():
            columns, keys = TABLES[table]
            changed += _merge(connection, user, table, columns, list(columns)[:keys], frame)
        connection.execute("UPDATE loads SET tracks_digest = %s, loaded_at = now() WHERE user_id = %s", (digest, user))
    return changed


def load_profile(
    connection: Connection,
    user: Mapping[str, Any],
    preferences: Mapping[str, Any],
    tables: Mapping[str, tuple[str, Sequence[Mapping[str, Any]]]],
) -> int:
    """Bring a user's own rows up to date, in one transaction; return how many rows changed.

    Args:
        connection: As the owner of the tables.
        user: As `profile.user_row`.
        preferences: As `profile.preferences_row`.
        tables: The rows of a table, by its name, with the column of its key besides the user.
    """
    with connection.transaction():
        lock(connection, user["id"])
        changed = put_user(connection, user)
        for table, (key, rows) in tables.items():
            changed += _put_rows(connection, user["id"], table, key, rows)
        changed += _put_preferences(connection, preferences)
        connection.execute("UPDATE loads SET loaded_at = now() WHERE user_id = %s", (user["id"],))
    return changed


def put_user(connection: Connection, user: Mapping[str, Any]) -> int:
    """Write the row of a user if it has changed; return how many rows changed."""
    return _upsert(connection, "users", ["id"], user, stamped=True)


def lock(connection: Connection, user: UUID) -> None:
    """Make other loads of the same user wait until the transaction ends.

    The lock is one that no login can take. Applications may still write rows that refer to the user.
    """
    connection.execute("SELECT FROM users WHERE id = %s FOR NO KEY UPDATE", (user,))


def copy_rows(
    connection: Connection, copy_into: str, user: UUID, types: Mapping[str, str], frames: Iterable[pl.DataFrame]
) -> None:
    """Copy rows into a table, each with the user's id before its columns.

    Args:
        connection: As the owner of the tables.
        copy_into: The statement.
        user: Id of the user.
        types: PostgreSQL's types of the columns.
        frames: Rows with these columns in order.
    """
    # Imported late: numpy would slow down every start of Dagster's code.
    from echostats_pipeline.marts.warehouse.binary import HEADER, TRAILER, binary_rows  # noqa: PLC0415

    cursor = connection.cursor()
    # Its writer is a thread: the next rows are laid out while the server takes these.
    with cursor.copy(copy_into, writer=driver().copy.QueuedLibpqWriter(cursor)) as copy:
        copy.write(HEADER)
        for frame in frames:
            for part in frame.iter_slices(ROWS_AT_ONCE):
                copy.write(binary_rows(part, user, types))
        copy.write(TRAILER)


def _merge(
    connection: Connection,
    user: UUID,
    table: str,
    columns: Mapping[str, str],
    keys: Sequence[str],
    frame: pl.DataFrame,
) -> int:
    """Make a user's rows of a table equal to a frame; rows that are equal already are not written."""
    arriving = f"arriving_{table}"
    listed, joined = ", ".join(columns), " AND ".join(f"a.{key} = t.{key}" for key in keys)
    connection.execute(f"CREATE TEMPORARY TABLE {arriving} (LIKE {table}) ON COMMIT DROP")
    copy_into = f"COPY {arriving} (user_id, {listed}) FROM STDIN (FORMAT binary)"
    copy_rows(connection, copy_into, user, columns, [frame])
    connection.execute(f"ANALYZE {arriving}")
    gone = f"DELETE FROM {table} t WHERE t.user_id = %s AND NOT EXISTS (SELECT FROM {arriving} a WHERE {joined})"
    if table == "tracks":  # one that was played since the frame was made keeps the names of its play
        gone += f" AND {UNHEARD}"
    changed: int = connection.execute(gone, (user,)).rowcount
    others = [name for name in columns if name not in keys]
    action, same = "DO NOTHING", ""
    if others:
        ours, theirs = (", ".join(f"{whose}.{name}" for name in others) for whose in ("t", "a"))
        action = f"DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in others)}"
        same = f" AND ({ours}) IS NOT DISTINCT FROM ({theirs})"
    # ON CONFLICT alone would lock every row that is there, which writes to its page.
    put = (
        f"INSERT INTO {table} (user_id, {listed}) SELECT user_id, {listed} FROM {arriving} a WHERE NOT EXISTS "
        f"(SELECT FROM {table} t WHERE t.user_id = a.user_id AND {joined}{same}) "
        f"ON CONFLICT (user_id, {', '.join(keys)}) {action}"
    )
    changed += connection.execute(put).rowcount
    return changed


def _put_rows(connection: Connection, user: UUID, table: str, key: str, rows: Sequence[Mapping[str, Any]]) -> int:
    ours = " AND source = 'pipeline'" if table == "playlists" else ""
    gone = f"DELETE FROM {table} WHERE user_id = %s AND NOT ({key} = ANY(%s)){ours}"
    changed: int = connection.execute(gone, (user, [row[key] for row in rows])).rowcount
    keys = [key] if table == "playlists" else ["user_id", key]
    return changed + sum(_upsert(connection, table, keys, row, stamped=table == "playlists") for row in rows)


def _upsert(
    connection: Connection, table: str, keys: Sequence[str], row: Mapping[str, Any], *, stamped: bool = False
) -> int:
    others = [name for name in row if name not in keys and not (stamped and name == "created_at")]
    ours, theirs = (", ".join(f"{whose}.{name}" for name in others) for whose in (table, "excluded"))
    sets = ", ".join(f"{name} = excluded.{name}" for name in others) + (", updated_at = now()" if stamped else "")
    put = (
        f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(f'%({name})s' for name in row)}) "
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sets} WHERE ({ours}) IS DISTINCT FROM ({theirs})"
    )
    changed: int = connection.execute(put, row).rowcount
    return changed


def _put_preferences(connection: Connection, row: Mapping[str, Any]) -> int:
    """Write preferences that no application has changed since they were loaded."""
    content = (
        "jsonb_build_array(to_jsonb({0}preferred_genres), {0}audio_feature_weights, {0}recommendation_settings)".format
    )
    put = (
        "INSERT INTO user_preferences AS have (id, user_id, preferred_genres, audio_feature_weights, "
        "recommendation_settings) VALUES (%(id)s, %(user_id)s, %(preferred_genres)s::text[], "
        "%(audio_feature_weights)s::jsonb, %(recommendation_settings)s::jsonb) ON CONFLICT (id) DO UPDATE SET "
        "preferred_genres = excluded.preferred_genres, audio_feature_weights = excluded.audio_feature_weights, "
        "recommendation_settings = excluded.recommendation_settings, updated_at = now() "
        f"WHERE have.loaded = {content('have.')} AND have.loaded IS DISTINCT FROM {content('excluded.')}"
    )
    changed: int = connection.execute(put, row).rowcount
    if changed:
        connection.execute(f"UPDATE user_preferences SET loaded = {content('')} WHERE id = %s", (row["id"],))
    return changed
