"""What applications write survives updates, users are removed and exported, and an update reads only what changed."""

from datetime import timedelta

import bson
import pytest
from bson import ObjectId

from echostats_pipeline.accounts.removal import remove_user
from echostats_pipeline.marts.echotune.build import waiting_users
from echostats_pipeline.marts.echotune.database import LAYOUT, user_object_id
from echostats_pipeline.storage.installed import databases_of
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.marts.echotune.conftest import Installed
from echostats_pipeline_tests.marts.echotune.mart_oracle import COLLECTIONS
from echostats_pipeline_tests.marts.echotune.stored import NOW, TRACKS, connect, history, listen, play


def test_a_user_has_documents_of_every_kind_that_can_be_derived(echotune: Installed) -> None:
    user = connect(echotune)
    listen(echotune, user, history(user, 10))
    echotune.update(user, NOW)
    owner = user_object_id(user.user_id)
    stored = echotune.collection("users").find_one({"_id": owner})
    assert stored is not None
    assert stored["listening_stats"] == {
        "total_listening_time": 30 * 200_000,
        "most_played_artist": stored["listening_stats"]["most_played_artist"],
        "average_session_length": 600_000,
    }
    assert {name: stored[name] for name in ("spotifyId", "displayName", "premium", "country", "tier", "isActive")} == {
        "spotifyId": "ann",
        "displayName": "Ann",
        "premium": True,
        "country": "NL",
        "tier": "free",
        "isActive": True,
    }
    assert not {"accessToken", "refreshToken", "tokenExpiresAt", "jwtSecret", "email"} & stored.keys()
    defaults = echotune.collection("user_preferences").find_one({"userId": owner})
    assert defaults is not None
    assert (defaults["llmProvider"], defaults["explicitContent"], defaults["emailNotifications"]) == (
        "mock",
        True,
        False,
    )
    assert echotune.collection("listening_history").count_documents({"userId": owner, "popularity": 50}) == 30
    assert echotune.collection("analytics_events").count_documents({"userId": owner}) == 30
    track = echotune.collection("track_metadata").find_one({"spotifyId": TRACKS[0]})
    assert track is not None
    assert (track["releaseYear"], track["audioFeatures"]["energy"]) == (2001, 0.5)
    assert waiting_users(echotune.store) == set()


def test_what_applications_write_survives_every_update_byte_for_byte(echotune: Installed) -> None:
    user = connect(echotune)
    owner = user_object_id(user.user_id)
    listen(echotune, user, history(user, 5))
    echotune.update(user, NOW)
    chat = {"sessionId": "s", "userId": owner, "messages": [], "createdAt": NOW, "mine": {"a": 1.5}}
    echotune.collection("chat_sessions").insert_one(chat)
    own = {"userId": owner, "name": "Mine", "playlist_type": "generated", "createdAt": NOW, "tracks": []}
    echotune.collection("playlists").insert_one(own)
    users, settings = echotune.collection("users"), echotune.collection("user_preferences")
    tokens = {"accessToken": "t", "tier": "pro", "email": "a@b.c", "note": [1.5]}
    users.update_one({"_id": owner}, {"$set": {**tokens, "preferences": {"favorite_genres": ["polka"]}}})
    settings.update_one({"userId": owner}, {"$set": {"favoriteGenres": ["polka"], "theme": "light", "seen": 3}})
    rated = echotune.collection("listening_history").find_one_and_update(
        {"userId": owner}, {"$set": {"rating": 5.5}}, sort=[("playedAt", 1)]
    )
    before = {
        name: list(echotune.collection(name).find()) for name in ("chat_sessions", "playlists", "user_preferences")
    }
    echotune.store.db["tracks"].update_many({}, {"$set": {"popularity": 60}})
    listen(echotune, user, [play(user, TRACKS[9], NOW + timedelta(minutes=1))])
    echotune.update(user, NOW, whole=True)
    for name, documents in before.items():
        assert [bson.encode(each) for each in echotune.collection(name).find()] == [bson.encode(d) for d in documents]
    stored = users.find_one({"_id": owner})
    assert stored is not None
    assert {name: stored[name] for name in tokens} == tokens
    assert stored["preferences"] == {"favorite_genres": ["polka"]}
    assert stored["listening_stats"]["total_listening_time"] == 16 * 200_000
    assert rated is not None
    found = echotune.collection("listening_history").find_one({"_id": rated["_id"]})
    assert found is not None
    assert (found["rating"], found["popularity"]) == (5.5, 60)


def test_feedback_is_read_and_kept_when_the_set_has_expired(echotune: Installed) -> None:
    user = connect(echotune)
    echotune.update(user, NOW)
    owner, sets = user_object_id(user.user_id), echotune.collection("recommendations")
    base = {"userId": owner, "recommendation_type": "hybrid", "tracks": [], "expiresAt": NOW + timedelta(days=7)}
    first = {"liked_tracks": ["a", "spotify:track:b"], "disliked_tracks": ["c"], "saved_tracks": []}
    later = {"liked_tracks": ["c"], "disliked_tracks": ["a"], "saved_tracks": ["d"]}
    for number, said in enumerate((first, later)):
        sets.insert_one({**base, "createdAt": NOW + timedelta(hours=number), "user_feedback": said})
    echotune.update(user, NOW)
    sets.delete_many({})
    feedback = echotune.mart(NOW).read_feedback(user)
    assert (feedback.liked, feedback.disliked, feedback.saved) == ({"b", "c"}, {"a"}, {"d"})
    echotune.store.db["mart_states"].update_one({}, {"$set": {"layout": LAYOUT - 1}})
    echotune.update(user, NOW)
    assert echotune.mart(NOW).read_feedback(user) == feedback, "documents of another layout are built again"


def test_a_user_whom_the_application_added_first_keeps_everything(echotune: Installed) -> None:
    theirs = ObjectId()
    document = {
        "_id": theirs,
        "spotifyId": "ann",
        "displayName": "A.",
        "email": "a@b.c",
        "createdAt": NOW,
        "tier": "pro",
    }
    echotune.collection("users").insert_one(document)
    echotune.collection("chat_sessions").insert_one({"sessionId": "s", "userId": theirs, "createdAt": NOW})
    user = connect(echotune)
    echotune.update(user, NOW)
    (stored,) = echotune.collection("users").find()
    owner = user_object_id(user.user_id)
    assert (stored["_id"], stored["email"], stored["tier"], stored["displayName"]) == (owner, "a@b.c", "pro", "Ann")
    assert echotune.collection("chat_sessions").count_documents({"userId": owner}) == 1


def test_a_removed_user_leaves_nothing_and_an_export_has_no_secrets(echotune: Installed) -> None:
    ann, bob = connect(echotune), connect(echotune, "bob")
    for user in (ann, bob):
        listen(echotune, user, history(user, 2))
        echotune.update(user, NOW)
        owner = user_object_id(user.user_id)
        echotune.collection("users").update_one({"_id": owner}, {"$set": {"accessToken": "t0ken"}})
        echotune.collection("chat_sessions").insert_one(
            {"sessionId": user.spotify_id, "userId": owner, "createdAt": NOW}
        )
    name = echotune.settings.echotune_db
    counts = {label: count for label, count in echotune.store.owned.counts(ann).items() if label.startswith(name)}
    assert {label.split(".echotune_")[1] for label in counts} == {
        "users",
        "listening_history",
        "user_preferences",
        "analytics_events",
        "chat_sessions",
    }
    (profile,) = echotune.store.owned.documents(ann, f"{name}.echotune_users")
    assert "accessToken" not in profile
    remove_user(echotune.store, ann, NOW)
    assert [label for label in echotune.store.owned.counts(ann) if label.startswith(name)] == []
    assert echotune.store.owned.counts(bob)[f"{name}.echotune_chat_sessions"] == 1


@pytest.mark.parametrize("days", [10, 400])
def test_an_update_after_a_sync_reads_the_plays_of_its_day(days: int, echotune: Installed) -> None:
    user, other = connect(echotune), connect(echotune, "bob")
    for each in (user, other):
        listen(echotune, each, history(each, days))
        echotune.update(each, NOW)
    listen(echotune, user, [play(user, TRACKS[5], NOW + timedelta(minutes=9))])
    updated = echotune.mart(NOW, "next").update(user)
    assert updated.plays <= 12
    assert updated.written["listening_history"] == 1
    assert updated.written["analytics_events"] == 1
    assert sum(updated.written.values()) <= 4
    changed = {
        name: echotune.collection(name).count_documents({"runId": "next"})
        for name in ("listening_history", "users", "track_metadata")
    }
    assert changed == {"listening_history": 1, "users": 1, "track_metadata": 0}


def test_a_database_under_another_name_and_a_dropped_one_are_built_as_a_whole(echotune: Installed) -> None:
    user = connect(echotune)
    listen(echotune, user, history(user, 3))
    echotune.update(user, NOW)
    names = {name: echotune.collection(name).count_documents({}) for name in ("users", "listening_history")}
    settings = echotune.settings.model_copy(update={"echotune_prefix": "another_"})
    databases = databases_of(settings)
    other = Installed(Store.of(echotune.store.db, databases), settings)
    assert waiting_users(echotune.store) == set()
    assert waiting_users(other.store) == {user.user_id}
    other.update(user, NOW)
    assert {name: other.collection(name).count_documents({}) for name in names} == names
    assert waiting_users(other.store) == set()
    other.empty()
    other.update(user, NOW)
    assert {name: other.collection(name).count_documents({}) for name in names} == names
    for name in COLLECTIONS:
        other.collection(name).drop()


def test_events_are_counted_by_month_before_they_expire(echotune: Installed) -> None:
    user = connect(echotune)
    owner, events = user_object_id(user.user_id), echotune.collection("analytics_events")
    listen(echotune, user, history(user, 60))
    searched = {"userId": owner, "eventType": "search.performed"}
    events.insert_many([{**searched, "timestamp": NOW - timedelta(days=day)} for day in (20, 21, 40, 100)])

    def counted() -> dict[str, dict[str, int]]:
        state = echotune.store.mart_states.get(user.user_id, "echotune", LAYOUT)
        assert state is not None
        return {month.month: month.events for month in state.event_months}

    echotune.update(user, NOW)
    first = counted()
    assert first == {
        "2025-04": {"track.played": 42},
        "2025-05": {"track.played": 93, "search.performed": 3},
        "2025-06": {"track.played": 45},
    }, "events of March may have expired already"
    events.delete_many({"timestamp": {"$lt": NOW - timedelta(days=20)}})
    echotune.update(user, NOW + timedelta(days=85), whole=True)
    assert counted()["2025-05"] == first["2025-05"]


def test_what_is_no_longer_known_goes_unless_an_application_has_changed_it(echotune: Installed) -> None:
    users, edited = echotune.collection("users"), NOW + timedelta(hours=1)
    ann = connect(echotune)
    for change in ({}, {"lastActive": edited}):
        listen(echotune, ann, [play(ann, TRACKS[0], NOW)])
        echotune.update(ann, NOW)
        if change:
            users.update_one({"_id": user_object_id(ann.user_id)}, {"$set": change})
        with echotune.store.marks.changing(ann.user_id, [NOW.date()]):
            echotune.store.db["listening_history"].delete_many({"user_id": ann.user_id})
        echotune.update(ann, NOW)
        (stored,) = users.find()
        assert stored.get("lastActive") == change.get("lastActive")
        assert "lastActive" not in stored["written"]
