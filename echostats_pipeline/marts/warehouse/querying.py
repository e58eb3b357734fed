"""Executes statements of people that only read."""

from typing import Any

from echostats_pipeline.errors import NotFoundError, WarehouseError
from echostats_pipeline.marts.warehouse.connection import Connection, driver
from echostats_pipeline.marts.warehouse.database import user_uuid
from echostats_pipeline.model.users import User

APPLICATION = "echostats_application"


def read(connection: Connection, sql: str, user: User | None = None) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Execute one statement in a transaction that only reads; return the names of its columns and its rows.

    Args:
        connection: As the owner of the tables.
        sql: One statement.
        user: Whose rows it sees, as a login of this user would; None for the rows of all users.

    Raises:
        NotFoundError: the user is not loaded.
        WarehouseError: the statement is wrong, or writes.
    """
    psycopg = driver()
    with connection.transaction():
        connection.execute("SET TRANSACTION READ ONLY")
        if user is not None:
            uuid = user_uuid(user.user_id)
            if connection.execute("SELECT FROM users WHERE id = %s", (uuid,)).fetchone() is None:
                raise NotFoundError(f"{user.partition_key} is not in the warehouse yet.")
            connection.execute("SELECT set_config('echostats.user_id', %s, true)", (str(uuid),))
            connection.execute(f"SET LOCAL ROLE {APPLICATION}")
        try:
            # As a prepared statement, the text is one statement and not several.
            cursor = connection.cursor().execute(sql, prepare=True)
        except (psycopg.errors.SyntaxErrorOrAccessRuleViolation, psycopg.DataError, psycopg.NotSupportedError) as error:
            raise WarehouseError(f"PostgreSQL refuses the statement: {error}".rstrip(), permanent=True) from error
        except psycopg.errors.ReadOnlySqlTransaction as error:
            raise WarehouseError("The statement writes. `warehouse query` only reads.", permanent=True) from error
        if cursor.description is None:
            return [], []
        return [each.name for each in cursor.description], cursor.fetchall()
