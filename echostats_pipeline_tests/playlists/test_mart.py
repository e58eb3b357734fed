"""Playlists in Playlist Generator's database: what it holds, and what applications ask there."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from bson import ObjectId
from pymongo.errors import WriteError

from echostats_pipeline.marts.playlist_generator.build import PlaylistGeneratorMart, waiting_users
from echostats_pipeline.marts.playlist_generator.database import OWNED, database, track_object_id, user_object_id
from echostats_pipeline.model.playlists import GeneratedPlaylist
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.automation.mart_sensors import unanswered_queries
from echostats_pipeline.playlists.building import PlaylistBuilder, Request
from echostats_pipeline.settings import load_settings
from echostats_pipeline.storage.indexes import ensure_indexes, index_problems
from echostats_pipeline.storage.installed import databases_of
from echostats_pipeline.storage.plays import PlayStore
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.validators import ensure_validators, validator_problems
from echostats_pipeline_tests.accounts.test_data_export import exported
from echostats_pipeline_tests.conftest import NOW, Pipeline
from echostats_pipeline_tests.databases import limited_uri
from echostats_pipeline_tests.playlists.conftest import CALM, builder, ids, play


def with_mart(pipeline: Pipeline, name: str) -> Pipeline:
    """The installation with Playlist Generator's database."""
    environ = {
        **pipeline.installation.environ,
        "ECHOSTATS_MARTS": "playlist_generator",
        "ECHOSTATS_PLAYLIST_GENERATOR_DB": name,
        "MONGO_URI": limited_uri(pipeline.store.db.client, pipeline.store.db.name, name),
    }
    settings = load_settings(environ, env_file=None)
    databases = databases_of(settings)
    ensure_indexes(pipeline.store.db, databases)
    ensure_validators(pipeline.store.db, databases)
    store = Store.of(pipeline.store.db, databases)
    return replace(
        pipeline, installation=replace(pipeline.installation, environ=environ, settings=settings, store=store)
    )


@pytest.fixture
def mart(pipeline: Pipeline) -> Iterator[Pipeline]:
    name = f"playlists_{ObjectId()}"
    yield with_mart(pipeline, name)
    pipeline.store.db.client.drop_database(name)


def contents(pipeline: Pipeline) -> dict[str, list[dict[str, Any]]]:
    """All documents of Playlist Generator's database but for the stamps of runs."""
    at = PlaylistGeneratorMart(pipeline.store, pipeline.installation.settings, NOW, "")
    stamps = {"runId": 0, "updatedAt": 0, "activatedAt": 0}
    return {
        each.name: list(at.collection(each.name).find({}, stamps).sort("_id"))
        for each in database(pipeline.installation.settings).collections
    }


def watched_sessions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The states in which applications see sessions before the answer is there, as they come."""
    shown: list[str] = []
    show = PlaylistGeneratorMart.show

    def watched(mart: PlaylistGeneratorMart, user: User, made: GeneratedPlaylist, status: Any) -> None:
        show(mart, user, made, status)
        (session,) = mart.collection("generationsessions").find({"moodQueryId": made.query_id})
        shown.append(session["status"])

    monkeypatch.setattr(PlaylistGeneratorMart, "show", watched)
    return shown


def later_likes_count(at: PlaylistGeneratorMart, listener: User, said: dict[str, Any]) -> None:
    """Assert that the library says what was said last of a track, and wakes for it."""
    of_track = {"userId": said["userId"], "trackId": said["trackId"]}
    track = at.collection("userlibraries").find_one(of_track) or {}
    assert (track["like"], at.has_said_more(listener)) == (False, False)
    later = {**said, "_id": ObjectId(), "event": "like", "createdAt": NOW + timedelta(days=1)}
    at.collection("feedbackevents").insert_one(later)
    assert at.has_said_more(listener)
    at.update(listener)
    track = at.collection("userlibraries").find_one(of_track) or {}
    assert (track["like"], at.has_said_more(listener)) == (True, False)
    at.collection("feedbackevents").delete_one({"_id": later["_id"]})


def refuses_empty_parts(at: PlaylistGeneratorMart) -> None:
    """Assert that the server refuses candidates and rows without their tracks."""
    for name, part in (("generationsessions", "candidates"), ("playlists", "tracks")):
        whole = at.collection(name).find_one({f"{part}.0": {"$exists": True}}) or {}
        with pytest.raises(WriteError, match="failed validation"):
            at.collection(name).insert_one({**whole, "_id": ObjectId(), part: [{}]})


AS_MONGOOSE = {"tempoRange": [], "energyRange": [], "brightnessRange": [], "instrumentalOnly": False}
"""What Playlist Generator's own schema stores in a text that nothing has read."""


def test_an_application_asks_and_is_answered_and_its_words_survive(
    mart: Pipeline, listener: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, settings = mart.store, mart.installation.settings
    at = PlaylistGeneratorMart(store, settings, NOW, "")
    owner, theirs = user_object_id(listener.user_id), ObjectId()
    at.collection("users").insert_one(
        {"_id": theirs, "spotifyUserId": listener.spotify_id, "preferences": {"energyRange": [0.0, 0.5]}}
    )
    asked = [
        at.collection("moodqueries").insert_one({"userId": theirs, "rawText": text, **more}).inserted_id
        for text, more in (
            ("happy", {"parsed": AS_MONGOOSE, "__v": 0}),
            ("jazz from 1901", {"createdAt": NOW}),
            (" ", {}),
        )
    ]
    with dg.build_sensor_context(instance=mart.instance, resources=mart.resources()) as context:
        requests: Any = unanswered_queries(context)
    assert [each.partition_key for each in requests] == [listener.partition_key]
    shown = watched_sessions(monkeypatch)
    run = mart.run("playlist_answers", partition_key=listener.partition_key)
    assert run.success
    assert all(check.passed for check in run.get_asset_check_evaluations())
    assert shown == ["pending", "pending", "pending", "processing", "processing", "processing"]
    empty = at.collection("generationsessions").find_one({"moodQueryId": asked.pop()}) or {}
    assert (empty["status"], empty["error"]) == ("failed", "The text is empty.")
    sessions = [at.collection("generationsessions").find_one({"moodQueryId": each}) or {} for each in asked]
    assert [each["status"] for each in sessions] == ["completed", "failed"]
    assert "songs fits: " in sessions[1]["error"]
    assert "0 are from 1901" in sessions[1]["error"]
    (made,) = at.collection("playlists").find({"sourceSessionId": sessions[0]["_id"]})
    assert [each["trackId"] for each in made["tracks"]] == sessions[0]["ordering"]
    query = at.collection("moodqueries").find_one({"_id": asked[0]}) or {}
    assert (query["rawText"], query["userId"], query["modelVersion"]) == ("happy", owner, "rules-1.1")
    assert query["parsed"]["energyRange"] == [0.6, 1.0]
    assert at.preferences(listener) == {"energy": (0.0, 0.5)}
    disliked = made["tracks"][0]["trackId"]
    said = {"userId": owner, "trackId": disliked, "event": "dislike", "createdAt": NOW}
    at.collection("feedbackevents").insert_one({**said, "_id": ObjectId()})
    at.collection("moods").update_one({"key": "happy"}, {"$set": {"label": "Joy"}})
    assert waiting_users(store) == set()
    before = contents(mart)
    at.update(listener, whole=True)
    assert contents(mart) == {**before, "userlibraries": contents(mart)["userlibraries"]}
    later_likes_count(at, listener, said)
    again = PlaylistBuilder(store, settings, NOW, at.said).from_words(listener, Request("happy"))
    assert disliked not in {track_object_id(each) for each in ids(again)}
    assert index_problems(store.db, store.databases) == []
    assert validator_problems(store.db, store.databases) == []
    refuses_empty_parts(at)
    assert not at.has_pending()
    assert at.collection("moodqueries").count_documents({"createdAt": None}) == 0


def test_what_is_built_bit_by_bit_is_what_is_built_at_once_and_is_removed_with_the_user(
    mart: Pipeline, listener: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, settings = mart.store, mart.installation.settings
    track_ids = store.db["tracks"].distinct("spotify_id")
    saved = {"user_id": listener.user_id, "name": "", "artist_name": "", "album_name": "", "duration_ms": 1}
    only_named = "z" * 22
    store.db["saved_tracks"].insert_many(
        [{**saved, "spotify_id": each, "added_at": NOW} for each in (*track_ids[:3], only_named)]
    )
    asked = names_asked(monkeypatch)
    first = PlaylistGeneratorMart(store, settings, NOW, "first")
    first.update(listener)
    assert asked == [], "plays are not read for names that the catalogue or the library has"
    for text in (CALM, "party"):
        made = builder(mart).stored(builder(mart).from_words(listener, Request(text, songs=6)))
        first.update(listener)
    made.spotify_id, made.written_at = "abc", NOW
    store.playlists.put(made)
    at = NOW + timedelta(minutes=30)
    context = {"context_type": "playlist", "context_uri": "spotify:playlist:abc"}
    store.db["listening_history"].insert_many(
        [
            play(listener, made.tracks[0].spotify_id, at, **context),
            play(
                listener,
                made.tracks[2].spotify_id,
                at + timedelta(milliseconds=made.tracks[2].duration_ms + 9000),
                **context,
            ),
        ]
    )
    store.db["saved_tracks"].delete_one({"spotify_id": track_ids[0]})
    store.marks.mark(listener.user_id, "listening_history", ["2025-06-15"])
    store.playlists.put(made)
    assert waiting_users(store) == {listener.user_id}
    first.update(listener)
    assert waiting_users(store) == set()
    assert first.update(listener) == {"moods": 0} or sum(first.update(listener).values()) == 0
    kept = contents(mart)
    events = [(each["event"], each["position"], each["contextJson"]) for each in kept["feedbackevents"]]
    assert sorted(events) == [
        ("play", 0, '{"derived": true}'),
        ("play", 2, '{"derived": true}'),
        ("skip", 1, '{"derived": true, "inferred": true}'),
    ]
    left = [each for each in kept["userlibraries"] if each.get("removedAt")]
    assert [each["trackId"] for each in left] == [track_object_id(track_ids[0])]
    for name in (*OWNED, "users", "tracks", "moods", "modelregistries"):
        first.collection(name).delete_many({})
    PlaylistGeneratorMart(store, settings, NOW, "at once").update(listener, whole=True)
    assert without_creation(contents(mart)) == without_creation(kept)
    assert {label for label in store.owned.counts(listener) if "playlists_" in label} == {
        f"{settings.playlist_generator_db}.{name}"
        for name in ("users", "userlibraries", "moodqueries", "generationsessions", "playlists", "feedbackevents")
    }
    assert first.collection("tracks").find_one({"spotifyTrackId": only_named})
    tokens = {"provider": "spotify", "accessToken": "canary-access", "refreshToken": "canary-refresh"}
    first.collection("authtokens").insert_one({"userId": user_object_id(listener.user_id), **tokens})
    told = exported(store, listener, tmp_path / "export")
    for name in (*OWNED, "users"):
        stored = first.collection(name).find({owner_field(name): user_object_id(listener.user_id)})
        ids_told = sorted(each["_id"] for each in told[f"{settings.playlist_generator_db}.{name}"])
        assert ids_told == sorted(str(each["_id"]) for each in stored)
    assert "canary" not in str(told)
    assert told[f"{settings.playlist_generator_db}.authtokens"][0]["provider"] == "spotify"
    store.removals.remember(listener.user_id, NOW)
    store.removals.sweep()
    assert store.owned.counts(listener) == {}
    assert sorted(first.collection("tracks").distinct("spotifyTrackId")) == sorted(track_ids)


def names_asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tracks whose names are read from plays, as they are asked for."""
    asked: list[str] = []
    read = PlayStore.last_names

    def watched(plays: PlayStore, user_id: str, track_ids: pl.Series) -> pl.DataFrame:
        asked.extend(track_ids)
        return read(plays, user_id, track_ids)

    monkeypatch.setattr(PlayStore, "last_names", watched)
    return asked


def owner_field(name: str) -> str:
    """The field of a collection that names the user."""
    return "_id" if name == "users" else "userId"


def without_creation(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """The same without when a user's document was first written."""
    return {
        name: [{**each, "createdAt": None} if name == "users" else each for each in some]
        for name, some in found.items()
    }
