"""Databases with the tables of the warehouse, and users whose plays are loaded into them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import polars as pl
import psycopg
import pytest
from bson import ObjectId

from echostats_pipeline.marts.warehouse import loading, upserts
from echostats_pipeline.marts.warehouse.connection import Connection, connected
from echostats_pipeline.marts.warehouse.database import user_uuid
from echostats_pipeline.marts.warehouse.migrations import migrate
from echostats_pipeline.marts.warehouse.plays import READ_SCHEMA, play_rows
from echostats_pipeline.marts.warehouse.profile import user_row
from echostats_pipeline.model.users import User
from echostats_pipeline_tests.postgres_server import PASSWORD, PostgresServer

BEGIN = datetime(2025, 1, 1, 8, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def template(postgres: PostgresServer) -> str:
    """A database with all tables and no rows, which each test gets a copy of."""
    name = postgres.create()
    with connected(postgres.url(name, "loader")) as connection:
        migrate(connection)
    return name


@dataclass(frozen=True)
class TestedWarehouse:
    """A database of a test.

    Attributes:
        url: Its address as the owner of the tables, who is no superuser.
    """

    __test__ = False
    server: PostgresServer
    name: str

    @property
    def url(self) -> str:
        return self.server.url(self.name, "loader")

    @contextmanager
    def opened(self) -> Iterator[Connection]:
        with connected(self.url) as connection:
            yield connection

    @contextmanager
    def as_role(self, role: str) -> "Iterator[psycopg.Connection[tuple[object, ...]]]":
        """A connection of the superuser who has become `role`."""
        with psycopg.connect(self.server.url(self.name), autocommit=True) as connection:
            connection.execute(f'SET SESSION AUTHORIZATION "{role}"'.encode())
            connection.execute(b"SET search_path = public")
            yield connection

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """Rows as the superuser sees them: all."""
        return self.server.execute(sql, self.name)

    def password(self) -> str:
        return PASSWORD


@pytest.fixture
def warehouse(postgres: PostgresServer, template: str) -> Iterator[TestedWarehouse]:
    name = postgres.create(template)
    yield TestedWarehouse(postgres, name)
    postgres.drop(name)
    for (role,) in postgres.execute(
        r"SELECT rolname FROM pg_roles WHERE rolname LIKE 'echostats\_%' "
        "AND rolname NOT IN ('echostats_reader', 'echostats_application')"
    ):
        postgres.execute(f'DROP ROLE "{role}"')


def person(name: str, number: int, timezone: str = "UTC") -> User:
    user_id = ObjectId(f"{number:024x}")
    return User(
        _id=user_id,
        spotify_id=f"spotify-{name}",
        display_name=name,
        timezone=timezone,
        partition_key=f"{name}-{str(user_id)[-6:]}",
        simulated=True,
    )


def played(*plays: tuple[datetime, str], ms_played: int | None = 200_000, artist: str = "Artist") -> pl.DataFrame:
    """Plays of tracks that ended at some instants, as `READ_SCHEMA`."""
    rows = [
        {
            "played_at": at,
            "track_id": track,
            "track_name": f"Song {track}",
            "artist_name": artist,
            "album_name": "Album",
            "duration_ms": 210_000,
            "ms_played": ms_played,
            "source": "import",
        }
        for at, track in plays
    ]
    return pl.DataFrame(rows, schema=READ_SCHEMA)


def hourly(count: int, *, begin: datetime = BEGIN, tracks: Sequence[str] = ("a", "b", "c")) -> pl.DataFrame:
    return played(*((begin + timedelta(hours=number), tracks[number % len(tracks)]) for number in range(count)))


def load_of(user: User) -> loading.Load:
    return loading.Load(user_uuid(user.user_id), user.timezone, 30_000)


def rows_of(user: User, plays: pl.DataFrame, dates: Sequence[date] | None = None) -> pl.DataFrame:
    return play_rows(plays, timezone=user.timezone, rules=[], min_play_ms=30_000, dates=dates)


@pytest.fixture
def loaded(warehouse: TestedWarehouse) -> Callable[..., UUID]:
    """Loads all plays of a user; returns their id in the warehouse."""

    def load(user: User, plays: pl.DataFrame) -> UUID:
        with warehouse.opened() as connection:
            upserts.put_user(connection, user_row(user))
            loading.load_whole(connection, load_of(user), [rows_of(user, plays)])
        return user_uuid(user.user_id)

    return load
