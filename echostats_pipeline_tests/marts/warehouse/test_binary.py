"""Rows laid out by numpy arrive in PostgreSQL as psycopg's own would."""

from datetime import UTC, date, datetime
from uuid import UUID

import polars as pl
import psycopg
from hypothesis import given, settings
from hypothesis import strategies as st

from echostats_pipeline.marts.warehouse.binary import HEADER, TRAILER, binary_rows
from echostats_pipeline.transforms.statistics.plays import UTC_MS
from echostats_pipeline_tests.postgres_server import PostgresServer

TYPES = {"t": "text", "b": "bool", "s": "int2", "i": "int4", "f": "float8", "d": "date", "at": "timestamptz"}
SCHEMA = {
    "t": pl.String,
    "b": pl.Boolean,
    "s": pl.Int16,
    "i": pl.Int64,
    "f": pl.Float64,
    "d": pl.Date,
    "at": UTC_MS,
}
USER = UUID(int=9)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
ROWS = st.tuples(
    *(
        st.none() | each
        for each in (
            TEXTS,
            st.booleans(),
            st.integers(-(2**15), 2**15 - 1),
            st.integers(-(2**31), 2**31 - 1),
            st.floats(allow_nan=False),
            st.dates(date(1900, 1, 1), date(2200, 1, 1)),
            st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(
                lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
            ),
        )
    )
)


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(ROWS, max_size=8))
def test_what_is_copied_is_what_is_read(postgres: PostgresServer, rows: list[tuple[object, ...]]) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    columns = ", ".join(f"{name} {kind}" for name, kind in TYPES.items())
    with psycopg.connect(postgres.url()) as connection:
        connection.execute(f"CREATE TEMPORARY TABLE arriving (n serial, u uuid, {columns})".encode())
        names = ", ".join(("u", *TYPES))
        with connection.cursor().copy(f"COPY arriving ({names}) FROM STDIN (FORMAT binary)".encode()) as copy:
            copy.write(HEADER + binary_rows(frame, USER, TYPES) + TRAILER)
        found = connection.execute(f"SELECT {names} FROM arriving ORDER BY n".encode()).fetchall()
        connection.rollback()
    assert found == [(USER, *row) for row in rows]
