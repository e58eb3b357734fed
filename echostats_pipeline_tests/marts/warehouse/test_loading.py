"""Loads of plays: whole ones beside and swapped, some days in place, and what a reader sees meanwhile."""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from threading import Event, Thread
from uuid import UUID

import polars as pl
import psycopg
import pytest

from echostats_pipeline.errors import WarehouseError
from echostats_pipeline.marts.warehouse import loading, upserts
from echostats_pipeline.marts.warehouse.connection import connected
from echostats_pipeline.marts.warehouse.profile import user_row
from echostats_pipeline.marts.warehouse.removal import known_users, remove_user
from echostats_pipeline.marts.warehouse.removal import rows_of as rows_of_user
from echostats_pipeline_tests.marts.warehouse.conftest import (
    BEGIN,
    TestedWarehouse,
    hourly,
    load_of,
    person,
    played,
    rows_of,
)

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CONTENT = {
    "plays": "SELECT * FROM plays ORDER BY user_id, played_at, track_id",
    "days": "SELECT * FROM days ORDER BY user_id, local_date",
    "sessions": "SELECT * FROM sessions ORDER BY user_id, first_played_at",
    "tracks": "SELECT * FROM tracks ORDER BY user_id, track_id",
}
Loads = Callable[..., UUID]


def content(warehouse: TestedWarehouse) -> dict[str, list[tuple[object, ...]]]:
    return {name: warehouse.rows(sql) for name, sql in CONTENT.items()}


def test_a_whole_load_fills_plays_days_sessions_and_names(warehouse: TestedWarehouse, loaded: Loads) -> None:
    ann = person("ann", 1, "Europe/Berlin")
    late = datetime(2025, 1, 1, 23, 30, tzinfo=BEGIN.tzinfo)
    loaded(ann, played((BEGIN, "a"), (BEGIN + timedelta(minutes=5), "b"), (late, "a")))
    assert warehouse.rows("SELECT track_id, local_date, local_hour, local_weekday, listened_ms, counts FROM plays") == [
        ("a", date(2025, 1, 1), 9, 2, 200_000, True),
        ("b", date(2025, 1, 1), 9, 2, 200_000, True),
        ("a", date(2025, 1, 2), 0, 3, 200_000, True),
    ]
    assert warehouse.rows("SELECT local_date, plays, listened_ms, row_count, track_count FROM days ORDER BY 1") == [
        (date(2025, 1, 1), 2, 400_000, 2, 2),
        (date(2025, 1, 2), 1, 200_000, 1, 1),
    ]
    assert warehouse.rows("SELECT first_played_at, started_at, ended_at, plays FROM sessions ORDER BY 1") == [
        (BEGIN, BEGIN - timedelta(seconds=200), BEGIN + timedelta(minutes=5), 2),
        (late, late - timedelta(seconds=200), late, 1),
    ]
    assert warehouse.rows("SELECT track_id, name, artist_name FROM tracks ORDER BY 1") == [
        ("a", "Song a", "Artist"),
        ("b", "Song b", "Artist"),
    ]


def test_days_in_place_are_the_same_as_a_whole_load(warehouse: TestedWarehouse, loaded: Loads) -> None:
    """A session that a change joins, splits or ends; a day that becomes empty; a track that is gone."""
    ann = person("ann", 1)
    before = hourly(100).vstack(played((BEGIN + 2 * DAY, "only here"))).vstack(hourly(3, begin=BEGIN + 9 * DAY))
    joined = played(*((BEGIN + DAY + timedelta(minutes=10 * number), "d") for number in range(200)))
    after = hourly(20).vstack(joined).vstack(hourly(3, begin=BEGIN + 9 * DAY))
    loaded(ann, after)
    wanted = content(warehouse)
    loaded(ann, before)
    assert content(warehouse) != wanted
    dates = [(BEGIN + number * DAY).date() for number in range(7)]
    with warehouse.opened() as connection:
        loading.load_days(connection, load_of(ann), dates, rows_of(ann, after, dates))
    assert content(warehouse) == wanted
    with warehouse.opened() as connection:
        loading.load_days(connection, load_of(ann), dates, rows_of(ann, before, dates))
        loading.load_days(connection, load_of(ann), dates[2:], rows_of(ann, after, dates[2:]))
        loading.load_days(connection, load_of(ann), dates[:3], rows_of(ann, after, dates[:3]))
    assert content(warehouse) == wanted


def test_a_reader_never_sees_a_hole_or_half_a_day(warehouse: TestedWarehouse, loaded: Loads) -> None:
    ann, bob = person("ann", 1), person("bob", 2)
    loaded(bob, hourly(10))
    loaded(ann, hourly(240))
    seen, ended = set[tuple[object, ...]](), Event()
    torn = "SELECT (SELECT count(*) FROM plays), (SELECT sum(plays) FROM days), (SELECT sum(row_count) FROM sessions)"

    def read() -> None:
        with psycopg.connect(warehouse.server.url(warehouse.name), autocommit=True) as connection:
            while not ended.is_set():
                seen.add(connection.execute(torn.encode()).fetchone() or ())

    reader = Thread(target=read)
    reader.start()
    try:
        with warehouse.opened() as connection:
            for number in range(4):
                more = hourly(240 + 24 * number)
                loading.load_whole(connection, load_of(ann), [rows_of(ann, more)])
                days = [(BEGIN + timedelta(days=day)).date() for day in range(3)]
                loading.load_days(connection, load_of(ann), days, rows_of(ann, more, days))
    finally:
        ended.set()
        reader.join()
    assert seen <= {(n, n, n) for n in (250, 274, 298, 322)}
    assert len(seen) > 1


def test_a_transaction_that_began_before_a_swap_sees_no_hole(warehouse: TestedWarehouse, loaded: Loads) -> None:
    ann = person("ann", 1)
    loaded(ann, hourly(50))
    with psycopg.connect(warehouse.server.url(warehouse.name)) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT 1")
        loaded(ann, hourly(60))
        assert reader.execute("SELECT count(*) FROM plays").fetchone() == (60,)


def test_views_of_others_on_plays_outlive_a_swap(warehouse: TestedWarehouse, loaded: Loads) -> None:
    ann = person("ann", 1)
    loaded(ann, hourly(5))
    warehouse.rows("CREATE VIEW theirs AS SELECT count(*) AS plays FROM plays")
    loaded(ann, hourly(7))
    assert warehouse.rows("SELECT plays FROM theirs") == [(7,)]
    assert len(warehouse.rows("SELECT FROM pg_inherits WHERE inhparent = 'plays'::regclass")) == 1
    indexes = "SELECT indexdef FROM pg_indexes WHERE tablename LIKE 'plays\\_%'"
    assert len(warehouse.rows(indexes)) == 3, "the parent's indexes are there once, not twice"


def test_a_load_that_fails_changes_nothing(warehouse: TestedWarehouse, loaded: Loads) -> None:
    ann = person("ann", 1)
    loaded(ann, hourly(30))
    before = content(warehouse)
    double = pl.concat([rows_of(ann, hourly(3)), rows_of(ann, hourly(3))])
    with pytest.raises(WarehouseError, match="unique index"), connected(warehouse.url) as connection:
        loading.load_whole(connection, load_of(ann), [double])
    days = [BEGIN.date()]
    with pytest.raises(WarehouseError, match="duplicate key"), connected(warehouse.url) as connection:
        loading.load_days(connection, load_of(ann), days, double)
    assert content(warehouse) == before
    assert len(warehouse.rows("SELECT FROM pg_class WHERE relname LIKE 'plays\\_%' AND relkind = 'r'")) == 1


def test_a_session_that_is_killed_in_a_load_leaves_what_was_and_a_rerun_loads_it(
    warehouse: TestedWarehouse, loaded: Loads
) -> None:
    ann = person("ann", 1)
    loaded(ann, hourly(60))
    wanted = content(warehouse)
    loaded(ann, hourly(30))
    before = content(warehouse)
    rows = rows_of(ann, hourly(60))

    def killed() -> Iterator[pl.DataFrame]:
        yield rows.head(20)
        warehouse.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'loader'")
        yield from rows.tail(40).iter_slices(1)

    with pytest.raises(WarehouseError) as failed, connected(warehouse.url) as connection:
        loading.load_whole(connection, load_of(ann), killed())
    assert not failed.value.permanent
    assert content(warehouse) == before
    with warehouse.opened() as connection:
        loading.load_whole(connection, load_of(ann), [rows])
    assert content(warehouse) == wanted


def test_texts_that_postgres_refuses_are_cleaned(warehouse: TestedWarehouse, loaded: Loads) -> None:
    ann = person("ann", 1)
    loaded(ann, played((BEGIN, "a\0b"), artist="Nul\0"))
    assert warehouse.rows("SELECT track_id, artist_name FROM tracks") == [("ab", "Nul")]
    assert warehouse.rows("SELECT track_id FROM plays") == [("ab",)]


def test_a_removed_user_leaves_no_row_in_any_table(warehouse: TestedWarehouse, loaded: Loads) -> None:
    ann, bob = person("ann", 1), person("bob", 2)
    gone, kept = loaded(ann, hourly(30)), loaded(bob, hourly(20))
    with warehouse.opened() as connection:
        connection.execute("INSERT INTO playlists (user_id, name) VALUES (%s, 'mine')", (gone,))
        assert known_users(connection) == {gone, kept}
        counts = {"users": 1, "playlists": 1, "plays": 30, "days": 2, "sessions": 30, "tracks": 3, "loads": 1}
        assert rows_of_user(connection, gone) == counts
        remove_user(connection, gone)
        assert rows_of_user(connection, gone) == {}
        assert known_users(connection) == {kept}
    tables = warehouse.rows(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND udt_name = 'uuid' AND table_name NOT LIKE 'plays\\_%'"
    )
    assert len(tables) > 15
    for table, column in tables:
        assert warehouse.rows(f"SELECT FROM {table} WHERE {column} = '{gone}'") == [], table
    assert warehouse.rows("SELECT count(*) FROM plays") == [(20,)]


def test_a_users_row_is_written_only_if_it_changes(warehouse: TestedWarehouse) -> None:
    ann = person("ann", 1)
    with warehouse.opened() as connection:
        written = [upserts.put_user(connection, user_row(ann)) for _ in range(2)]
        written.append(upserts.put_user(connection, user_row(ann.model_copy(update={"status": "paused"}))))
    assert written == [1, 0, 1]


def test_rows_about_tracks_that_are_equal_are_not_even_locked(warehouse: TestedWarehouse, loaded: Loads) -> None:
    user = loaded(person("ann", 1), hourly(3))
    shown = {"artist_id": ["x", "y"], "name": ["X", "Y"], "image_url": [None, "https://example.org/y"]}
    artists = pl.DataFrame(shown, schema=dict.fromkeys(shown, pl.String))
    renamed = artists.with_columns(name=pl.col("name").replace("Y", "Z"))
    with warehouse.opened() as connection:
        changed = [upserts.load_tracks(connection, user, {"artists": each}, "") for each in (artists, artists, renamed)]
        assert changed == [2, 0, 1]
        assert warehouse.rows("SELECT artist_id, name, xmax::text = '0' FROM artists ORDER BY 1")[0] == ("x", "X", True)
        assert upserts.load_tracks(connection, user, {"artists": artists.head(1)}, "") == 1
    assert warehouse.rows("SELECT artist_id, name, image_url FROM artists") == [("x", "X", None)]
