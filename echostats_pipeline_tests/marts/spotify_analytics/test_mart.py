"""spotify_analytics follows the core, and gives back the columns of the CSV that a history came from."""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from echostats_pipeline.marts.spotify_analytics.build import AnalyticsMart, waiting_users
from echostats_pipeline.marts.spotify_analytics.database import FLAT, NESTED
from echostats_pipeline.model.collections import TEXT
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.stages.imports import import_export
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.indexes import ensure_indexes
from echostats_pipeline.storage.installed import databases_of
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, Counted
from echostats_pipeline_tests.databases import new_database

SAMPLE = Path(__file__).parents[4] / "shared" / "samples" / "listening_history_57_columns.csv"
PERSONAL = {"username", "ip_addr_decrypted", "user_agent_decrypted", "platform"}
"""Columns that are left out, or stand for less: the user's own key, and the family of the device."""
ROWS = [
    {
        "spotify_track_uri": f"spotify:track:{letter * 22}",
        "ts_x": f"2024-03-0{day} 12:00:00+00:00",
        "username": "user_001",
        "platform": "Android OS 6.0.1 API 23 (samsung, SM-G900F)",
        "ms_played_x": str(100_000 + day),
        "conn_country": "SE",
        "ip_addr_decrypted": "canary-address",
        "user_agent_decrypted": "canary-agent",
        "master_metadata_track_name_x": name,
        "master_metadata_album_artist_name_x": "Dravi Baxiqui",
        "master_metadata_album_album_name_x": "Sterqui",
        "reason_start": "trackdone",
        "reason_end": "",
        "shuffle": "False",
        "skipped": "False",
        "offline": "True",
        "track_id": letter * 22,
        "Track Duration (ms)_releases": "180000.0",
        "Label": "",
    }
    for day, letter, name in ((1, "a", "Rainy Harbour"), (2, "b", "Sunny Meadow"), (3, "a", "Rainy Harbour"))
]


@dataclass(frozen=True)
class Installed:
    """A core and its mart, with a user."""

    store: Store
    mart: AnalyticsMart
    user: User

    def imported(self, path: Path) -> None:
        import_export(self.store, self.user, [path], progress=Counted(), clock=lambda: NOW)
        self.mart.update(self.user)

    def documents(self, name: str) -> list[Document]:
        return list(self.mart.collection(name).find().sort("_id", 1))

    def is_as_from_nothing(self) -> bool:
        before = [self.documents(name) for name in (NESTED, FLAT)]
        for name in (NESTED, FLAT):
            self.mart.collection(name).delete_many({})
        self.mart.update(self.user, whole=True)
        return [self.documents(name) for name in (NESTED, FLAT)] == before


@pytest.fixture
def installed(store: Store, mongo_client: MongoClient[Document]) -> Iterator[Installed]:
    name = new_database(mongo_client, "analytics").name
    settings = Settings(home=Path(), marts=("spotify_analytics",), analytics_db=name, mongo_db=store.db.name)
    databases = databases_of(settings)
    ensure_indexes(store.db, databases[1:])
    core = Store.of(store.db, databases)
    user = core.users.connect({"spotify_id": "ann"}, authorized_at=NOW, simulated=False)
    yield Installed(core, AnalyticsMart(core, settings), user)
    mongo_client.drop_database(name)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "listening_history.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(ROWS[0]))
        writer.writeheader()
        writer.writerows(ROWS)
    return path


def as_text(name: str, value: Any) -> str:
    """A stored value as the CSV has it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S+00:00")
    return f"{value}.0" if name.startswith("Track Duration") else str(value)


def by_column(rows: list[Mapping[str, str]], columns: list[str]) -> dict[str, Counter[tuple[str, str]]]:
    """The values of each column, each with the instant of its row."""
    return {name: Counter((row["ts_x"], row.get(name, "")) for row in rows) for name in columns}


def check_columns(installed: Installed, path: Path) -> None:
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["spotify_track_uri"]]
    for row in rows:  # Spotify's word for an unknown country
        row["conn_country"] = row["conn_country"].replace("ZZ", "")
    stored = [{name: as_text(name, value) for name, value in each.items()} for each in installed.documents(FLAT)]
    assert len(stored) == len(rows)
    filled = {name for name in rows[0] if any(row[name] for row in rows)} - PERSONAL
    # The columns with _y come from another row of a joined table, not from the play.
    columns = sorted(name for name in filled if not name.endswith("_y"))
    assert by_column(stored, columns) == by_column(rows, columns)
    known = {name for each in stored for name in each} - {"_id", "user_id", "played_at", "source", *PERSONAL}
    assert known == set(columns), "nothing is told that the CSV does not have"


def test_the_flat_documents_are_the_rows_of_the_csv_without_the_person(installed: Installed, small: Path) -> None:
    installed.imported(small)
    check_columns(installed, small)
    for name in (NESTED, FLAT):
        text = repr(installed.documents(name))
        assert not any(word in text for word in ("canary", "user_001", "SM-G900F"))
        assert len(installed.documents(name)) == 3
        assert {each["username"] for each in installed.documents(name)} == {installed.user.partition_key}
    nested = installed.documents(NESTED)[0]
    assert nested["user"] == {"username": installed.user.partition_key, "platform": "android", "country": "SE"}
    assert nested["track"] == {
        "name": "Rainy Harbour",
        "artist": "Dravi Baxiqui",
        "album": "Sterqui",
        "duration_ms": 180_000,
    }
    assert nested["audio_features"] == {}
    assert nested["metadata"] == {"genres": []}


@pytest.mark.scale
@pytest.mark.skipif(not SAMPLE.is_file(), reason=f"the real sample is not here: {SAMPLE}")
def test_a_published_sample_agrees_column_by_column(installed: Installed) -> None:
    installed.imported(SAMPLE)
    check_columns(installed, SAMPLE)


def test_words_are_searched_in_both_collections_and_both_sets_of_indexes_exist(
    installed: Installed, small: Path
) -> None:
    installed.imported(small)
    for name in (NESTED, FLAT):
        collection = installed.mart.collection(name)
        found = collection.find({"$text": {"$search": "rainy"}})
        assert [each["track"]["name"] if name == NESTED else each["track_id"] for each in found] == (
            ["Rainy Harbour"] * 2 if name == NESTED else ["a" * 22] * 2
        )
        indexes = collection.index_information().values()
        keys = {tuple(each["key"]) for each in indexes if "weights" not in each}
        assert keys >= {
            (("spotify_track_uri", 1),),
            (("ts_x", 1),),
            (("master_metadata_album_artist_name_x", 1),),
            (("username", 1), ("ts_x", -1)),
            (("username", 1), ("ts_x", -1), ("spotify_track_uri", 1)),
            (("Danceability", 1), ("Energy", 1), ("Valence", 1), ("Tempo", 1)),
        }
        (words,) = (each["weights"] for each in indexes if "weights" in each)
        assert len(words) == 3
        assert TEXT in {direction for each in indexes for _, direction in each["key"]}
        assert ((("timestamp", -1),) in keys) is (name == NESTED)
        assert ((("user.username", 1), ("timestamp", -1)) in keys) is (name == NESTED)


def test_changes_of_plays_and_of_the_catalogue_lead_to_the_documents_of_a_build_from_nothing(
    installed: Installed, small: Path
) -> None:
    installed.imported(small)
    store, user = installed.store, installed.user
    assert waiting_users(store) == set()
    assert installed.mart.update(user).written == 0
    features = {"danceability": 0.5, "energy": 0.25, "valence": 0.75, "tempo": 120.0, "key": 3}
    change = {
        "enriched_at": NOW,
        "genres": ["post-rock", "shoegaze"],
        "audio_features": features,
        "popularity": 30,
        "artists": [{"spotify_id": "x", "name": "Dravi"}, {"spotify_id": "y", "name": "Guest"}],
    }
    store.db["tracks"].update_one({"spotify_id": "a" * 22}, [{"$set": {**change, "changed_at": "$$NOW"}}])
    store.marks.mark(user.user_id, "catalog")
    assert waiting_users(store) == {user.user_id}
    assert installed.mart.update(user).written == 4
    flat = installed.mart.collection(FLAT).find_one({"track_id": "a" * 22}) or {}
    assert (flat["Artist Genres"], flat["Energy"], flat["Artist Name(s)_releases"]) == (
        "post-rock, shoegaze",
        0.25,
        "Dravi, Guest",
    )
    nested = installed.mart.collection(NESTED).find_one({"_id": flat["_id"]}) or {}
    assert nested["audio_features"] == features
    assert nested["metadata"]["genres"] == ["post-rock", "shoegaze"]
    assert installed.is_as_from_nothing()
    gone = store.db["listening_history"].find_one({"track.spotify_id": "b" * 22}) or {}
    with store.marks.changing(user.user_id, [gone["played_at"].date()]):
        store.db["listening_history"].delete_one({"_id": gone["_id"]})
    assert installed.mart.update(user).written == 2
    assert installed.is_as_from_nothing()


def test_a_removed_user_is_removed_from_both_collections(installed: Installed, small: Path) -> None:
    installed.imported(small)
    installed.store.removals.remember(installed.user.user_id, NOW)
    removed = installed.store.removals.sweep([installed.user.user_id])
    assert sorted(number for name, number in removed.items() if "." in name) == [3, 3]
    assert [installed.documents(name) for name in (NESTED, FLAT)] == [[], []]


def test_a_database_under_another_name_is_filled(
    installed: Installed, mongo_client: MongoClient[Document], small: Path
) -> None:
    installed.imported(small)
    settings = installed.mart.settings.model_copy(
        update={"analytics_db": new_database(mongo_client, "analytics_other").name}
    )
    renamed = Store.of(installed.store.db, databases_of(settings))
    assert waiting_users(renamed) == {installed.user.user_id}
    other = AnalyticsMart(renamed, settings)
    other.update(installed.user)
    assert list(other.collection(FLAT).find().sort("_id", 1)) == installed.documents(FLAT)
    assert not waiting_users(renamed)
    mongo_client.drop_database(settings.analytics_db)
