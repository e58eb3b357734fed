"""A warehouse with two users, of whom one has a login; canaries stand in the rows of the other."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import psycopg
import pytest

from echostats_pipeline.marts.warehouse.access import Login, grant
from echostats_pipeline_tests.marts.warehouse.conftest import BEGIN, TestedWarehouse, hourly, person, played

CANARY = "canary"
ANN, BOB = person("ann", 1), person(f"{CANARY}-bob", 2)
TABLES = (
    "users",
    "playlists",
    "user_preferences",
    "plays",
    "days",
    "sessions",
    "tracks",
    "artists",
    "track_artists",
    "albums",
    "genres",
    "track_genres",
    "snapshots",
    "gaps",
)
VIEWS = ("listening", "first_plays")
OWNERS = {"users": "id"}
READER, APPLICATION = "echostats_reader", "echostats_application"
Session = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True)
class Shared:
    """A warehouse with all tables filled for two users, and the login of the first."""

    warehouse: TestedWarehouse
    ann: UUID
    bob: UUID
    login: Login

    def session(self) -> Session:
        """A session as the login, with its password, as any tool opens one."""
        return psycopg.connect(self.login.url, autocommit=True)


def fill(warehouse: TestedWarehouse, user: UUID, word: str) -> None:
    """Fill the tables that a load of plays leaves empty with rows that a word marks."""
    texts = {
        "playlists": f"(user_id, name) VALUES ('{user}', '{word}')",
        "user_preferences": f"(user_id, preferred_genres) VALUES ('{user}', ARRAY['{word}'])",
        "artists": f"(user_id, artist_id, name) VALUES ('{user}', '{word}', '{word}')",
        "albums": f"(user_id, album_id, name) VALUES ('{user}', '{word}', '{word}')",
        "track_artists": f"(user_id, track_id, artist_id) VALUES ('{user}', '{word}', '{word}')",
        "genres": f"(user_id, genre) VALUES ('{user}', '{word}')",
        "track_genres": f"(user_id, track_id, genre) VALUES ('{user}', '{word}', '{word}')",
        "snapshots": f"VALUES ('{user}', '{word}', null, null, null, 1, 1, 1, 1, 1, 1, '{{}}')",
        "gaps": f"VALUES ('{user}', now(), now(), '{word}', null)",
    }
    for table, row in texts.items():
        warehouse.rows(f"INSERT INTO {table} {row}")


@pytest.fixture
def shared(warehouse: TestedWarehouse, loaded: Callable[..., UUID]) -> Shared:
    ann = loaded(ANN, hourly(30, tracks=("own",)))
    bob = loaded(BOB, played(*((BEGIN, f"{CANARY}-{number}") for number in range(7)), artist=CANARY))
    fill(warehouse, ann, "own")
    fill(warehouse, bob, CANARY)
    with warehouse.opened() as connection:
        login = grant(connection, ANN)
        grant(connection, BOB)
    warehouse.rows("ANALYZE")
    return Shared(warehouse, ann, bob, login)
