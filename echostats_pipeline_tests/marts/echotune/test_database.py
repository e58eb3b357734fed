"""EchoTune's database has the collections, indexes, expiry times and validators of its documents, and keeps to them."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient
from pymongo.errors import DuplicateKeyError, WriteError

from echostats_pipeline.errors import SettingsError
from echostats_pipeline.marts.echotune.database import database
from echostats_pipeline.model.collections import CORE, declared
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.indexes import ensure_indexes, index_problems
from echostats_pipeline.storage.installed import databases_of
from echostats_pipeline.storage.validators import ensure_validators, validator_problems
from echostats_pipeline_tests.marts.echotune.conftest import Installed
from echostats_pipeline_tests.marts.echotune.mart_oracle import COLLECTIONS

UNIQUE, SPARSE = {"unique": True}, {"unique": True, "sparse": True}
SEED_INDEXES: dict[str, dict[str, dict[str, Any]]] = {
    "users": {"spotifyId_1": SPARSE, "email_1": SPARSE, "createdAt_1": {}, "lastActive_1": {}},
    "listening_history": {
        "userId_1_playedAt_-1": {},
        "trackId_1": {},
        "artist_1": {},
        "playedAt_-1": {},
        "userId_1_trackId_1": {},
    },
    "recommendations": {"userId_1_createdAt_-1": {}, "trackId_1": {}, "expiresAt_1": {"expireAfterSeconds": 0}},
    "playlists": {
        "userId_1_createdAt_-1": {},
        "spotifyPlaylistId_1": SPARSE,
        "name_text_description_text": {"weights": {"name": 1, "description": 1}},
    },
    "user_preferences": {"userId_1": UNIQUE},
    "analytics_events": {
        "userId_1_eventType_1_timestamp_-1": {},
        "eventType_1_timestamp_-1": {},
        "createdAt_1": {"expireAfterSeconds": 7_776_000},
    },
    "chat_sessions": {
        "sessionId_1": UNIQUE,
        "userId_1_lastActivity_-1": {},
        "createdAt_1": {"expireAfterSeconds": 2_592_000},
    },
    "track_metadata": {
        "spotifyId_1": UNIQUE,
        "audioFeatures.energy_1": {},
        "audioFeatures.valence_1": {},
        "audioFeatures.danceability_1": {},
        "genres_1": {},
    },
}
"""The 27 indexes that EchoTune's description of its documents names."""
BEYOND_THE_SEED = {
    "listening_history": {"artistName_1": {}, "userId_1_trackId_1_playedAt_1": UNIQUE},
    "recommendations": {"tracks.trackId_1": {}},
    "track_metadata": {"listedOnly_1": {"sparse": True}},
}
"""Indexes on the fields that the documents really have, one that keeps plays unique, and one to find what may go."""
ACTIONS = {**dict.fromkeys(COLLECTIONS, "error"), "user_preferences": "warn", "chat_sessions": "warn"}
USER = ObjectId()
LATELY = datetime.now(UTC).replace(microsecond=0)
PLAY = {
    "userId": USER,
    "trackId": "4iV5W9uYEdYUVa79Axb7Rh",
    "trackName": "Back in Black",
    "artistName": "AC/DC",
    "albumName": "Back in Black",
    "playedAt": LATELY,
    "durationMs": 255493.0,
    "createdAt": LATELY,
}


def test_its_collections_have_the_indexes_of_the_seed(echotune: Installed) -> None:
    assert sum(map(len, SEED_INDEXES.values())) == 27
    for name in COLLECTIONS:
        found = echotune.collection(name).index_information()
        options = {
            index: {
                option: value
                for option, value in known.items()
                if option in ("unique", "sparse", "expireAfterSeconds", "weights")
            }
            for index, known in found.items()
            if index != "_id_"
        }
        assert options == SEED_INDEXES[name] | BEYOND_THE_SEED.get(name, {})


def test_a_second_start_changes_nothing_and_a_lost_validator_comes_back(echotune: Installed) -> None:
    db, databases = echotune.store.db, echotune.store.databases
    users = echotune.collection("users")
    users.database.command({"collMod": users.name, "validator": {}})
    assert validator_problems(db, databases) == [f"{echotune.settings.echotune_db}.{users.name}"]
    for _ in range(2):
        ensure_indexes(db, databases)
        ensure_validators(db, databases)
    assert (validator_problems(db, databases), index_problems(db, databases)) == ([], [])


@pytest.mark.parametrize("name", COLLECTIONS)
def test_the_server_refuses_wrong_documents_only_where_the_pipeline_writes(name: str, echotune: Installed) -> None:
    collection = echotune.collection(name)
    assert collection.options()["validationAction"] == ACTIONS[name]
    wrong = {"sessionId": 1, "userId": "a text", "spotifyId": 1}
    if ACTIONS[name] == "warn":
        collection.insert_one(wrong)
    else:
        with pytest.raises(WriteError, match="failed validation"):
            collection.insert_one(wrong)


def test_documents_of_a_javascript_program_fit(echotune: Installed) -> None:
    """Numbers are doubles there, optional fields may be null, and applications have fields of their own."""
    echotune.collection("listening_history").insert_one({**PLAY, "context": {"context_type": None}, "rating": 5.0})
    echotune.collection("users").insert_one(
        {"spotifyId": "a", "displayName": "A", "createdAt": LATELY, "accessToken": None, "followers": 2.0}
    )
    event = {"eventType": "search.performed", "timestamp": LATELY, "createdAt": LATELY}
    echotune.collection("analytics_events").insert_one({**event, "userId": None})
    for field, value in (("durationMs", "255493"), ("popularity", 101), ("playedAt", "2024-01-15"), ("context", [])):
        with pytest.raises(WriteError, match="failed validation"):
            echotune.collection("listening_history").insert_one({**PLAY, field: value})
    with pytest.raises(WriteError, match="failed validation"):
        echotune.collection("analytics_events").insert_one({**event, "userId": USER, "eventType": "track.liked"})


def test_a_missing_address_may_come_twice_and_null_never(echotune: Installed) -> None:
    """A sparse index skips documents without the field, but takes two nulls for equal: the validator refuses them."""
    users = echotune.collection("users")
    users.insert_many([{"spotifyId": name, "displayName": name, "createdAt": LATELY} for name in ("a", "b")])
    with pytest.raises(WriteError, match="failed validation"):
        users.insert_one({"spotifyId": "c", "displayName": "c", "createdAt": LATELY, "email": None})
    with pytest.raises(DuplicateKeyError):
        users.insert_one({"spotifyId": "a", "displayName": "c", "createdAt": LATELY})


def test_old_documents_expire(echotune: Installed, mongo_client: MongoClient[Document]) -> None:
    """The server's own clock and thread decide; the thread is switched off in all other tests."""
    days = timedelta(days=1)
    kept, gone = {"createdAt": LATELY - 29 * days}, {"createdAt": LATELY - 31 * days}
    echotune.collection("chat_sessions").insert_many(
        [{"sessionId": str(number), "userId": USER, **age} for number, age in enumerate((kept, gone))]
    )
    event = {"userId": USER, "eventType": "chat.message", "timestamp": LATELY}
    echotune.collection("analytics_events").insert_many(
        [{**event, "createdAt": LATELY - age * days} for age in (89, 91)]
    )
    echotune.collection("recommendations").insert_many(
        [{"userId": USER, "recommendation_type": "hybrid", "expiresAt": LATELY + age * days} for age in (-1, 1)]
    )
    names = ("chat_sessions", "analytics_events", "recommendations")
    mongo_client.admin.command({"setParameter": 1, "ttlMonitorEnabled": True})
    try:
        until = datetime.now(UTC) + timedelta(seconds=90)
        while any(echotune.collection(name).count_documents({}) > 1 for name in names) and datetime.now(UTC) < until:
            time.sleep(0.2)
    finally:
        mongo_client.admin.command({"setParameter": 1, "ttlMonitorEnabled": False})
    assert [echotune.collection(name).count_documents({}) for name in names] == [1, 1, 1]


def test_a_mart_is_installed_only_if_the_settings_name_it() -> None:
    assert databases_of(Settings(home=Path())) == (CORE,)
    named = load_settings(
        {"ECHOSTATS_MARTS": "echotune", "ECHOSTATS_ECHOTUNE_DB": "mine", "ECHOSTATS_ECHOTUNE_PREFIX": "et_"}, None
    )
    labels = set(declared(databases_of(named))) - set(declared())
    assert labels == {f"mine.et_{name}" for name in COLLECTIONS}
    assert [each.name for each in database(Settings(home=Path())).collections] == [
        f"echotune_{name}" for name in COLLECTIONS
    ]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ECHOSTATS_MARTS": "echotune,spotifly"}, "ECHOSTATS_MARTS names 'spotifly'. There is: echotune."),
        ({"ECHOSTATS_ECHOTUNE_DB": "a.b"}, "ECHOSTATS_ECHOTUNE_DB is 'a.b'."),
        ({"ECHOSTATS_ECHOTUNE_PREFIX": "$"}, "ECHOSTATS_ECHOTUNE_PREFIX is '\\$'."),
        ({"ECHOSTATS_MARTS": "echotune", "MONGO_DB": "echotune"}, "MONGO_DB and the database of a mart are both"),
        ({"ECHOSTATS_REDIS_URL": "localhost:6379"}, "ECHOSTATS_REDIS_URL does not start with redis://"),
    ],
)
def test_a_wrong_name_is_refused_with_the_remedy(variables: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(variables, None)
