"""Executes statements of people that only read."""

import re
from typing import Any

from echostats_pipeline.errors import NotFoundError, WarehouseError
from echostats_pipeline.marts.warehouse.connection import Connection, driver
from echostats_pipeline.marts.warehouse.database import user_uuid
from echostats_pipeline.model.users import User

APPLICATION = "echostats_application"
_COPY = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*copy\b", re.IGNORECASE | re.DOTALL)
_AS_TEXT = ("date", "time", "timetz", "timestamp", "timestamptz", "interval", "bytea")
"""Types whose values Python cannot all hold, such as ``infinity`` and years before Christ."""
_OF_THE_SERVER = ("08", "53", "55", "57", "58", "XX")
"""Classes of SQLSTATE that say nothing of the statement."""


def read(connection: Connection, sql: str, user: User | None = None) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Execute one statement in a transaction that only reads; return the names of its columns and its rows.

    Numbers are int, float or Decimal, JSON is what it holds, arrays are lists, and times are texts as PostgreSQL
    writes them.

    Args:
        connection: As the owner of the tables.
        sql: One statement.
        user: Whose rows it sees, as a login of this user would; None for the rows of all users.

    Raises:
        NotFoundError: the user is not loaded.
        WarehouseError: the statement is wrong, or writes.
    """
    psycopg = driver()
    if _COPY.match(sql):
        raise _refused("COPY is no query. Write SELECT, and --csv for CSV.")
    with connection.transaction():
        connection.execute("SET TRANSACTION READ ONLY")
        if user is not None:
            uuid = user_uuid(user.user_id)
            if connection.execute("SELECT FROM users WHERE id = %s", (uuid,)).fetchone() is None:
                raise NotFoundError(f"{user.partition_key} is not in the warehouse yet.")
            connection.execute("SELECT set_config('echostats.user_id', %s, true)", (str(uuid),))
            connection.execute(f"SET LOCAL ROLE {APPLICATION}")
        cursor = connection.cursor()
        for name in _AS_TEXT:
            cursor.adapters.register_loader(name, psycopg.types.string.TextLoader)
        try:
            # As a prepared statement, the text is one statement and not several.
            cursor.execute(sql, prepare=True)
            return ([each.name for each in cursor.description], cursor.fetchall()) if cursor.description else ([], [])
        except psycopg.errors.ReadOnlySqlTransaction as error:
            raise _refused("It writes, and `warehouse query` only reads.") from error
        except psycopg.Error as error:
            state = error.sqlstate
            if connection.broken or (state is not None and state.startswith(_OF_THE_SERVER)):
                raise
            raise _refused(_reason(error)) from error


def _refused(reason: str) -> WarehouseError:
    return WarehouseError(f"PostgreSQL refuses the statement: {reason}".rstrip(), permanent=True)


def _reason(error: Any) -> str:
    """What is wrong with a statement: the server's words, the place, and its hint."""
    said = str(error.diag.message_primary or error).strip()
    if "multiple commands" in said:
        return "It is more than one statement. Give one."
    place = f" (at character {error.diag.statement_position})" if error.diag.statement_position else ""
    hint = f" {error.diag.message_hint}" if error.diag.message_hint else ""
    return f"{said}{place}.{hint}"
