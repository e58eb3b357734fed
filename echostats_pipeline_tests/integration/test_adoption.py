"""A database that EchoStats has created and filled is adopted, synced and built, and EchoStats can still read it."""

import json
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from bson import ObjectId

from echostats_pipeline.accounts.connecting import token_cipher
from echostats_pipeline.model.collections import COLLECTIONS, ECHOSTATS_COLLECTIONS
from echostats_pipeline.model.users import User
from echostats_pipeline.storage.adoption import adopt_users, mend_nulls
from echostats_pipeline.storage.conformity import CHECKED
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.indexes import ensure_indexes, index_problems
from echostats_pipeline.transforms.history.identity import stable_id
from echostats_pipeline_tests.cli.conftest import Echostats, echostats
from echostats_pipeline_tests.conftest import NOW, Installation, Pipeline
from echostats_pipeline_tests.fake_echostats import THEIRS, catalogue, decrypted, echostats_starts, encrypted, listener
from echostats_pipeline_tests.integration.test_documents import SEED, violations

__all__ = ["echostats"]


def refresh_token_of(installation: Installation, number: int) -> tuple[str, str]:
    """Spotify's id of a simulated person, and a refresh token of theirs."""
    user = installation.connect(number)
    stored = installation.store.users.tokens(user.user_id)
    return user.spotify_id, token_cipher(installation.settings).decrypt(stored.refresh_token_encrypted, user.user_id)


@pytest.fixture
def adoptable(pipeline: Pipeline) -> list[str]:
    """Ids of the users of EchoStats, in a database that only EchoStats has used."""
    tokens = [refresh_token_of(pipeline.installation, number) for number in range(2)]
    db = pipeline.store.db
    for name in db.list_collection_names():
        db.drop_collection(name)
    echostats_starts(db)
    catalogue(db)
    return [listener(db, spotify_id, token) for spotify_id, token in tokens]


def found(echostats: Echostats, area: str, **settings: str) -> list[dict[str, Any]]:
    report = json.loads(echostats("doctor", "--json", **settings).stdout)
    return [each for each in report["findings"] if each["area"] == area]


def read_strictly(pipeline: Pipeline) -> list[str]:
    """List where documents of this pipeline have other types than EchoStats'; absent fields do not count."""
    return [
        each
        for name, shape in SEED.items()
        for document in pipeline.store.db[name].find()
        for each in violations(document, shape, name, set())
        if not ("missing" in each and "note" in document)
    ]


def test_users_of_echostats_are_adopted_synced_and_built_and_echostats_reads_on(
    pipeline: Pipeline, adoptable: list[str], echostats: Echostats
) -> None:
    db = pipeline.store.db
    before = {name: db[name].index_information() for name in db.list_collection_names()}
    assert "2 users of EchoStats are not adopted yet" in found(echostats, "EchoStats")[0]["text"]
    assert echostats("users").returncode == 0
    first, stale = found(echostats, "EchoStats")
    assert "2 users were adopted from EchoStats: atul-" in first["text"]
    assert "overwrites" in stale["text"]
    assert "ECHOSTATS_MIN_PLAY_MS" in stale["fix"]
    assert {each["level"] for each in found(echostats, "EchoStats", ECHOSTATS_MIN_PLAY_MS="0")} == {"ok"}
    assert {each["level"] for each in found(echostats, "values")} == {"ok"}

    users = pipeline.store.users.all()
    assert [user.user_id for user in users] == adoptable
    days = pipeline.store.marks.pending("daily_rollups")
    for user in users:
        pipeline.instance.add_dynamic_partitions("users", [user.partition_key])
        assert user.user_id not in pipeline.store.jobs.busy_users(), "a job of a worker that is gone blocks no run"
        assert pipeline.run("user_sync", partition_key=today(pipeline, user)).success
    assert pipeline.run("library_sync", partition_key=users[0].partition_key).success
    assert pipeline.run("catalog_enrichment").success
    for user in users:
        assert set(days[user.user_id]) >= {"2025-06-10", "2024-05-11"}, "those of plays and those of EchoStats' rollups"
    assert echostats("backfill").returncode == 0

    for user in users:
        tokens = db["spotify_tokens"].find_one({"user_id": user.user_id})
        assert tokens is not None
        assert decrypted(tokens["refresh_token_encrypted"])
        assert decrypted(tokens["access_token_encrypted"]) != "gone"
        mine = {"user_id": user.user_id}
        assert db["listening_history"].count_documents({**mine, "note": {"$exists": False}}) > 20, "synced"
        assert db["daily_rollups"].count_documents({**mine, "total_plays": 99}) == 0
        assert db["daily_rollups"].count_documents({**mine, "date": "2024-05-11"}) == 0
        rollup = db["daily_rollups"].find_one({**mine, "date": "2025-06-13"})
        assert rollup is not None
        assert (rollup["artist_plays"]["Radiohead"], rollup["note"]) == (2, "theirs")
        snapshot = db["analytics_snapshots"].find_one({**mine, "period": "all_time"})
        assert snapshot is not None
        assert snapshot["total_tracks_played"] == db["listening_history"].count_documents(mine) - 1, "one is short"
        assert snapshot["note"] == "theirs"
    kept = {name: db[name].count_documents(THEIRS) for name in SEED}
    assert kept == kept | dict.fromkeys(("users", "spotify_tokens", "sync_jobs", "api_logs"), 2)
    assert kept["listening_history"] == 24
    assert (kept["tracks"], kept["artists"], kept["albums"]) == (2, 1, 1)
    assert db["users"].count_documents({"email": "atul@example.org"}) == 2
    assert read_strictly(pipeline) == []

    echostats_starts(db)
    assert index_problems(db) == []
    for name, indexes in before.items():
        assert indexes.items() <= db[name].index_information().items(), name
    assert found(echostats, "indexes")[0]["level"] == "ok"


def today(pipeline: Pipeline, user: User) -> dg.MultiPartitionKey:
    return dg.MultiPartitionKey({"date": pipeline.installation.now().date().isoformat(), "user": user.partition_key})


def test_a_value_that_cannot_be_read_is_told_with_document_and_field_and_stops_nobody_else(
    pipeline: Pipeline, adoptable: list[str], echostats: Echostats
) -> None:
    db = pipeline.store.db
    ill = listener(db, "ill", "gone", "Ill")
    db["users"].update_one({"_id": ObjectId(ill)}, {"$set": {"display_name": None, "timezone": "Mars/Base"}})
    assert any(f"users {ill}: display_name" in each["text"] for each in found(echostats, "values"))
    assert any("'Mars/Base'" in each["text"] and each["level"] == "problem" for each in found(echostats, "clock"))
    assert echostats("users").returncode == 0
    user = pipeline.store.users.all()[0]
    assert [each.user_id for each in pipeline.store.users.all()] == adoptable
    mine = {"user_id": user.user_id}
    odd = list(db["listening_history"].find(mine).sort("played_at").limit(2))
    db["listening_history"].update_one({"_id": odd[0]["_id"]}, {"$set": {"ms_played": "long"}})
    db["listening_history"].update_one({"_id": odd[1]["_id"]}, {"$set": {"track.duration_ms": {}}})
    db["tracks"].update_one({"popularity": {"$exists": False}}, {"$set": {"popularity": "high", "artists": "nobody"}})
    db["artists"].update_one({}, {"$set": {"genres": "art rock"}})
    reported = " ".join(each["text"] for each in found(echostats, "values"))
    assert f"users {ill}: display_name" in reported
    assert f"listening_history {odd[0]['_id']}: ms_played" in reported
    assert f"listening_history {odd[1]['_id']}: track.duration_ms" in reported
    assert "popularity" in reported
    assert "genres" in reported
    assert echostats("backfill").returncode == 0
    snapshot = db["analytics_snapshots"].find_one({**mine, "period": "all_time"})
    assert snapshot is not None
    assert snapshot["total_tracks_played"] == 11, "twelve, of which one is short; of two it is unknown"


def test_a_user_whom_echostats_adds_later_is_adopted_while_everything_runs(pipeline: Pipeline) -> None:
    db = pipeline.store.db
    ensure_indexes(db)
    ids = [listener(db, f"later{number}", "token", "Later") for number in range(2)]
    assert len(adopt_users(db, simulated=False)) == 2, "neither blocks the other for lacking a key"
    assert adopt_users(db, simulated=False) == []
    assert [user.user_id for user in pipeline.store.users.all(simulated=False)] == ids
    pipeline.store.users.set_status(ids[0], "needs_reauth")
    adopt_users(db, simulated=True)
    assert [user.status for user in pipeline.store.users.all(simulated=True)] == ["active", "active"]


def test_a_new_consent_of_an_adopted_user_is_stored_as_echostats_reads_it(pipeline: Pipeline) -> None:
    installation = pipeline.installation
    user = installation.connect()
    tokens = installation.store.db["spotify_tokens"]
    tokens.update_one({}, {"$set": {"refresh_token_encrypted": encrypted("old")}, "$unset": {"updated_at": ""}})
    installation.connect()
    stored = tokens.find_one({"user_id": user.user_id}) or {}
    assert decrypted(stored["refresh_token_encrypted"]) not in ("", "old")
    assert decrypted(stored["access_token_encrypted"])


def test_what_echostats_holds_twice_is_kept_once_and_its_plays_without_an_id_get_one(
    pipeline: Pipeline, echostats: Echostats
) -> None:
    db = pipeline.store.db
    for name in db.list_collection_names():
        db.drop_collection(name)
    echostats_starts(db, former=True)
    db["listening_history"].drop_index("user_id_1_track.spotify_id_1_played_at_1")
    user_id = listener(db, "twice", "token")
    mine = {"user_id": user_id}
    doubled = ("spotify_tokens", "listening_history", "playlists", "daily_rollups", "analytics_snapshots")
    counts = {name: db[name].count_documents(mine) for name in doubled}
    for name in doubled:
        db[name].insert_many([{**each, "_id": ObjectId()} for each in db[name].find(mine)])
    named: Document = {"spotify_id": "", "name": "Idioteque", "artist_name": "Radiohead", "album_name": ""}
    play: Document = {**mine, "track": named, "ms_played": 200_000, "source": "import", "context_type": ""}
    for minute, title in enumerate(("Idioteque", "Idioteque", "Kid A")):
        at = NOW - timedelta(days=9, minutes=minute)
        db["listening_history"].insert_one({**play, "track": {**named, "name": title}, "played_at": at})
    assert echostats("users").returncode == 0
    counts["listening_history"] += 3
    assert {name: db[name].count_documents(mine) for name in doubled} == counts
    ids = db["listening_history"].distinct("track.spotify_id", {"track.album_name": ""})
    assert sorted(ids) == sorted(stable_id("unresolved", "Radiohead", title) for title in ("Idioteque", "Kid A"))
    echostats("remove", "--user", "twice", "--yes")
    assert not [name for name in db.list_collection_names() if db[name].find_one(mine) and name != "removed_users"]


def test_nulls_that_earlier_versions_stored_where_echostats_reads_numbers_are_taken_away(pipeline: Pipeline) -> None:
    tracks = pipeline.store.db["tracks"]
    features: Document = {"tempo": 120.5, "duration_ms": None, "time_signature": None}
    tracks.insert_many([{"spotify_id": "a", "audio_features": features}, {"spotify_id": "b", "audio_features": None}])
    assert mend_nulls(pipeline.store.db) == 2
    assert mend_nulls(pipeline.store.db) == 0
    stored = {each["spotify_id"]: each["audio_features"] for each in tracks.find()}
    assert stored == {"a": {"tempo": 120.5}, "b": None}


def test_every_collection_of_echostats_is_looked_through_for_values_but_those_that_are_replaced() -> None:
    replaced = {"daily_rollups", "analytics_snapshots"}
    assert {*CHECKED, "users", *replaced} == {collection.name for collection in ECHOSTATS_COLLECTIONS}
    assert set(CHECKED) <= COLLECTIONS.keys()
