"""EchoTune's own documents: none is refused, none that was there before is lost, and hindrances are named."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import bson
import pytest
from bson import ObjectId
from pydantic import SecretStr
from pymongo import MongoClient
from pymongo.errors import WriteError

from echostats_pipeline.errors import IndexConflictError, StorageError
from echostats_pipeline.local.database import open_store
from echostats_pipeline.local.mongod import EmbeddedServer
from echostats_pipeline.marts.echotune.audit import dangling_ids, wrong_shares, wrong_sums
from echostats_pipeline.marts.echotune.build import waiting_users
from echostats_pipeline.marts.echotune.database import user_object_id
from echostats_pipeline.settings import Settings
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.indexes import ensure_indexes, index_problems, repair_indexes
from echostats_pipeline.storage.installed import databases_of
from echostats_pipeline.storage.validators import ensure_validators, validator_problems
from echostats_pipeline_tests.marts.echotune.conftest import Installed
from echostats_pipeline_tests.marts.echotune.mart_oracle import COLLECTIONS
from echostats_pipeline_tests.marts.echotune.stored import NOW, TRACKS, connect, history, listen
from echostats_pipeline_tests.marts.echotune.test_database import LATELY

THEIRS = ObjectId()
LEAST: dict[str, Document] = {
    "users": {"spotifyId": "ann", "displayName": "A."},
    "listening_history": {
        "userId": THEIRS,
        "trackId": TRACKS[0],
        "trackName": "Song 0",
        "artistName": "Artist 0",
        "albumName": "Album",
        "playedAt": LATELY,
        "durationMs": 200_000.0,
    },
    "recommendations": {"userId": THEIRS, "recommendation_type": "hybrid"},
    "playlists": {"userId": THEIRS, "name": "Made"},
    "user_preferences": {"userId": THEIRS},
    "analytics_events": {"userId": None, "eventType": "search.performed", "timestamp": LATELY},
    "chat_sessions": {"sessionId": "s", "userId": THEIRS},
    "track_metadata": {"spotifyId": TRACKS[0], "name": "Song 0"},
}
"""The fields that EchoTune's description calls required, and no others."""
FULL: dict[str, Document] = {
    "users": {
        **LEAST["users"],
        "email": "a@b.c",
        "profileImageUrl": None,
        "country": "US",
        "premium": True,
        "followers": 42.0,
        "accessToken": "BQA",
        "refreshToken": "AQD",
        "tokenExpiresAt": LATELY,
        "tier": "pro",
        "isActive": True,
        "preferences": {"favorite_genres": ["rock"], "preferred_artists": [], "audio_features_preferences": None},
        "listening_stats": {"total_listening_time": 18_432_000.0, "most_played_artist": "AC/DC"},
        "createdAt": LATELY,
        "lastActive": LATELY,
    },
    "recommendations": {
        **LEAST["recommendations"],
        "tracks": [{"trackId": TRACKS[1], "score": 0.5}, {"trackId": TRACKS[2], "score": None, "reason": None}],
        "parameters": {"seed_tracks": [TRACKS[0]], "target_features": {"energy": 0.8}, "context": "something calm"},
        "confidence_score": 1.0,
        "user_feedback": {"liked_tracks": [TRACKS[1]]},
        "createdAt": LATELY,
        "expiresAt": LATELY + timedelta(days=7),
    },
    "playlists": {
        **LEAST["playlists"],
        "playlist_type": "generated",
        "tracks": [{"trackId": TRACKS[0], "position": 0.0}],
        "generation_parameters": {"mood": "chill", "originalPrompt": "rain"},
        "trackCount": 1.0,
    },
    "user_preferences": {**LEAST["user_preferences"], "llmProvider": "gemini", "theme": "dark", "energyLevel": 0.4},
    "analytics_events": {
        **LEAST["analytics_events"],
        "userId": THEIRS,
        "metadata": {"query": "rain", "resultCount": 3.0, "type": "track"},
        "sessionId": "browser",
        "createdAt": LATELY,
    },
    "chat_sessions": {
        **LEAST["chat_sessions"],
        "messages": [{"role": "user", "content": "hello", "timestamp": LATELY, "metadata": {"tokens_used": 3.0}}],
        "createdAt": LATELY,
    },
}
"""Documents as EchoTune's program writes them: numbers are doubles, and what is unknown is null or left out."""
FOREIGN: dict[str, Document] = {
    "users": {
        "_id": THEIRS,
        "spotifyId": "ann",
        "email": "a@b.c",
        "createdAt": "2024-01-15",
        "preferences": None,
        "tier": "gold",
    },
    "listening_history": {"userId": THEIRS, "trackId": TRACKS[0], "playedAt": "2024-01-15"},
    "recommendations": {"userId": THEIRS, "recommendation_type": "daily", "tracks": TRACKS[0], "user_feedback": []},
    "playlists": {"userId": THEIRS, "tracks": {}},
    "user_preferences": {"userId": THEIRS, "theme": "blue"},
    "analytics_events": {"userId": THEIRS, "eventType": "page.viewed", "createdAt": "yesterday"},
    "chat_sessions": {"sessionId": "old", "userId": THEIRS, "messages": "hello"},
    "track_metadata": {"spotifyId": TRACKS[0], "durationMs": "200"},
}
"""Documents of an earlier version of the program: they do not fit."""


@pytest.mark.parametrize("name", COLLECTIONS)
def test_what_the_application_writes_is_not_refused(name: str, echotune: Installed) -> None:
    collection = echotune.collection(name)
    with_warnings = collection.database.get_collection(collection.name)
    for document in (LEAST[name], FULL.get(name, {})):
        if document:
            with_warnings.delete_many({})
            with_warnings.insert_one(dict(document))
    validator = collection.options()["validator"]
    assert collection.count_documents(validator) == 1, "warnings do not refuse, so ask the validator itself"


def test_a_date_by_which_documents_expire_is_a_date_if_it_is_there(echotune: Installed) -> None:
    events = echotune.collection("analytics_events")
    for wrong in ("2024-01-15", None):
        with pytest.raises(WriteError, match="failed validation"):
            events.insert_one({**LEAST["analytics_events"], "createdAt": wrong})


def filled(echotune: Installed) -> dict[str, Document]:
    """EchoTune's database before the mart came: no validators, and documents of any shape."""
    for name in COLLECTIONS:
        collection = echotune.collection(name)
        collection.database.command({"collMod": collection.name, "validator": {}})
        collection.insert_one(dict(FOREIGN[name]))
    ensure_indexes(echotune.store.db, echotune.store.databases)
    ensure_validators(echotune.store.db, echotune.store.databases)
    return {name: echotune.collection(name).find_one() or {} for name in COLLECTIONS}


def test_documents_that_were_there_before_stay_and_the_mart_is_built_beside_them(echotune: Installed) -> None:
    before = filled(echotune)
    assert validator_problems(echotune.store.db, echotune.store.databases) == []
    user = connect(echotune)
    owner = user_object_id(user.user_id)
    listen(echotune, user, history(user, 3))
    for whole in (False, True):
        echotune.update(user, NOW, whole=whole)
    assert echotune.update(user, NOW, whole=True) == dict.fromkeys(echotune.update(user, NOW, whole=True), 0)
    for name, document in before.items():
        if name != "users":
            kept = echotune.collection(name).find_one({"_id": document["_id"]}) or {}
            moved = {**document, **({"userId": owner} if "userId" in document else {})}
            assert bson.encode(kept) == bson.encode(moved), name
    (stored,) = echotune.collection("users").find()
    assert {name: stored[name] for name in ("_id", "email", "tier", "displayName", "createdAt")} == {
        "_id": owner,
        "email": "a@b.c",
        "tier": "gold",
        "displayName": "Ann",
        "createdAt": "2024-01-15",
    }
    mart = echotune.mart(NOW)
    assert [*wrong_sums(mart, [user]), *dangling_ids(mart, [user]), *wrong_shares(mart, [user])] == []
    assert waiting_users(echotune.store) == set()


def test_an_account_that_the_application_makes_again_gets_its_own_settings(echotune: Installed) -> None:
    user = connect(echotune)
    owner = user_object_id(user.user_id)
    echotune.update(user, NOW)
    echotune.collection("users").delete_one({"_id": owner})
    again = ObjectId()
    echotune.collection("users").insert_one({**LEAST["users"], "_id": again})
    echotune.collection("user_preferences").insert_one({"userId": again, "theme": "light"})
    echotune.update(user, NOW, whole=True)
    assert [each["_id"] for each in echotune.collection("users").find()] == [owner]
    (settings,) = echotune.collection("user_preferences").find()
    assert (settings["userId"], settings["theme"], "source" in settings) == (owner, "light", False)


def test_plays_that_are_there_twice_are_named_and_stay(echotune: Installed) -> None:
    db, databases = echotune.store.db, echotune.store.databases
    plays = echotune.collection("listening_history")
    plays.drop_index("userId_1_trackId_1_playedAt_1")
    plays.insert_many([dict(LEAST["listening_history"]) for _ in range(2)])
    with pytest.raises(
        StorageError, match=r"listening_history holds documents that are equal in \['userId', 'trackId'"
    ):
        ensure_indexes(db, databases)
    assert plays.count_documents({}) == 2
    plays.delete_many({})
    ensure_indexes(db, databases)


def test_another_text_index_is_named_and_rebuilt_only_on_request(echotune: Installed) -> None:
    db, databases = echotune.store.db, echotune.store.databases
    playlists = echotune.collection("playlists")
    playlists.drop_index("name_text_description_text")
    playlists.create_index([("name", "text")])
    playlists.insert_one(dict(LEAST["playlists"]))
    with pytest.raises(IndexConflictError, match=r"playlists\.name_text\. Documents are unchanged"):
        ensure_indexes(db, databases)
    assert repair_indexes(db, databases) == [f"{playlists.full_name}.name_text"]
    assert (index_problems(db, databases), playlists.count_documents({})) == ([], 1)


@pytest.fixture
def limited(mongo_server: EmbeddedServer, echotune: Installed) -> Iterator[tuple[MongoClient[Document], Settings]]:
    """A user of the server who may use the core's database only."""
    with MongoClient[Document](mongo_server.uri) as client:
        core = echotune.settings.mongo_db
        roles = [{"role": "readWrite", "db": core}, {"role": "dbAdmin", "db": core}]
        client.admin.command("createUser", "limited", pwd="a", roles=roles)
        uri = SecretStr(f"mongodb://limited:a@127.0.0.1:{mongo_server.port}/?authSource=admin")
        try:
            yield client, echotune.settings.model_copy(update={"mongo_uri": uri, "home": Path("unused")})
        finally:
            with contextlib.suppress(Exception):
                client.admin.command("dropUser", "limited")


def test_a_missing_right_is_named_with_the_role_and_the_way_without_the_mart(
    limited: tuple[MongoClient[Document], Settings], echotune: Installed
) -> None:
    client, settings = limited
    name = settings.echotune_db
    without = f"To do without {name}, leave its mart out of ECHOSTATS_MARTS"
    with pytest.raises(StorageError, match=f"Give them the role readWrite on {name}.*{without}"), _opened(settings):
        pass
    client.admin.command("grantRolesToUser", "limited", roles=[{"role": "readWrite", "db": name}])
    users = echotune.collection("users")
    users.database.command({"collMod": users.name, "validator": {}})
    try:
        with pytest.raises(StorageError, match=f"the roles readWrite and dbAdmin on {name}"), _opened(settings):
            pass
        with _opened(settings.model_copy(update={"marts": ()})):
            pass
    finally:
        ensure_validators(echotune.store.db, databases_of(echotune.settings))


@contextlib.contextmanager
def _opened(settings: Settings) -> Iterator[None]:
    with open_store(settings, indexes=True):
        yield
