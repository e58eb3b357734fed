"""What applications write survives updates, users are removed and exported, and an update reads only what changed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson import ObjectId

from echostats_pipeline.accounts.removal import remove_user
from echostats_pipeline.marts.echotune.build import waiting_users
from echostats_pipeline.marts.echotune.database import LAYOUT, user_object_id
from echostats_pipeline.model.playlists import (
    GeneratedPlaylist,
    PlaylistSong,
    SpotifyCopy,
    Understanding,
    UnderstoodWords,
)
from echostats_pipeline.model.users import User
from echostats_pipeline.stages.statistics import rebuild_snapshots
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.installed import databases_of
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.marts.echotune.conftest import Installed
from echostats_pipeline_tests.marts.echotune.mart_oracle import COLLECTIONS
from echostats_pipeline_tests.stages.statistics_oracle import catch_up

NOW = datetime(2025, 6, 15, 12, tzinfo=UTC)
TRACKS = tuple(f"{number:022d}" for number in range(40))


def connect(echotune: Installed, name: str = "ann") -> User:
    profile = {"spotify_id": name, "display_name": name.title(), "product": "premium", "country": "NL"}
    return echotune.store.users.connect(profile, authorized_at=NOW, simulated=False, timezone="Europe/Amsterdam")


def play(user: User, track: str, ended_at: datetime, **fields: Any) -> Document:
    named = {"name": f"Song {int(track)}", "artist_name": f"Artist {int(track) % 5}", "album_name": "Album"}
    return {
        "user_id": user.user_id,
        "track": {"spotify_id": track, **named, "album_image_url": "", "duration_ms": 200_000},
        "played_at": ended_at,
        "ms_played": 200_000,
        "source": "import",
        "context_type": "playlist",
        "context_uri": "spotify:playlist:x",
        "played_at_estimated": False,
        **fields,
    }


def listen(echotune: Installed, user: User, plays: list[Document]) -> None:
    """Store plays with their tracks, and build the statistics."""
    store = echotune.store
    days = {str(each["played_at"].date() + timedelta(days=add)) for each in plays for add in (0, 1)}
    with store.marks.changing(user.user_id, days):
        store.db["listening_history"].insert_many(plays)
    names = {each["track"]["spotify_id"]: each["track"] for each in plays}
    stored = set(store.db["tracks"].distinct("spotify_id"))
    new = [catalogue_track(track, name) for track, name in names.items() if track not in stored]
    if new:
        store.db["tracks"].insert_many(new)
        store.marks.mark(user.user_id, "catalog")
    catch_up(store, NOW)
    rebuild_snapshots(store, user, NOW)


def catalogue_track(track: str, name: Document) -> Document:
    return {
        "spotify_id": track,
        "name": name["name"],
        "artists": [{"spotify_id": f"artist{int(track) % 5}", "name": name["artist_name"]}],
        "album": {"spotify_id": "album", "name": "Album", "image_url": "https://i/x", "release_date": "2001-05"},
        "duration_ms": 200_000,
        "popularity": 50,
        "explicit": False,
        "genres": ["rock"],
        "audio_features": {"energy": 0.5, "valence": 0.25, "danceability": 0.5, "acousticness": 0.0, "tempo": 120.0},
        "enriched_at": NOW,
        "changed_at": NOW,
    }


def history(user: User, days: int, *, before: datetime = NOW) -> list[Document]:
    return [
        play(user, TRACKS[(day * 7 + number) % len(TRACKS)], before - timedelta(days=day, minutes=10 * number))
        for day in range(days)
        for number in range(3)
    ]


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


def playlist(user: User, **fields: Any) -> Document:
    row = {"spotify_id": TRACKS[0], "name": "Song 0", "artist_name": "Artist 0", "album_name": "A", "duration_ms": 1}
    return {
        "user_id": user.user_id,
        "spotify_id": "p1",
        "name": "Rain",
        "description": "for sundays",
        "public": True,
        "collaborative": False,
        "owner_id": "ann",
        "tracks": [{**row, "added_at": NOW - timedelta(days=3)}, {**row, "added_at": None}],
        **fields,
    }


def test_playlists_belong_to_their_owner_and_an_applications_own_is_left_alone(echotune: Installed) -> None:
    ann, bob = connect(echotune), connect(echotune, "bob")
    playlists, theirs = echotune.collection("playlists"), user_object_id(ann.user_id)
    playlists.insert_one({"userId": theirs, "name": "Made", "spotifyPlaylistId": "p2", "tracks": []})
    echotune.store.db["playlists"].insert_many(
        [playlist(ann), playlist(bob), playlist(ann, spotify_id="p2", name="Made on Spotify")]
    )
    for user in (ann, bob):
        echotune.update(user, NOW)
    found = {
        (each["userId"], each.get("spotifyPlaylistId"), each.get("followedPlaylistId")) for each in playlists.find()
    }
    assert found == {(theirs, "p1", None), (theirs, "p2", None), (user_object_id(bob.user_id), None, "p1")}
    (own,) = playlists.find({"spotifyPlaylistId": "p1"})
    assert [each["position"] for each in own["tracks"]] == [0, 1]
    assert (own["trackCount"], own["createdAt"]) == (2, NOW - timedelta(days=3))
    (made,) = echotune.collection("analytics_events").find({"eventType": "playlist.created"})
    assert made["metadata"] == {"playlistId": own["_id"], "trackCount": 2, "inferred": True}
    assert playlists.count_documents({"$text": {"$search": "sunday"}}) == 2
    with echotune.store.marks.changing(ann.user_id, source="playlist_contents"):
        echotune.store.db["playlists"].delete_one({"user_id": ann.user_id, "spotify_id": "p1"})
    echotune.update(ann, NOW)
    assert playlists.count_documents({"userId": theirs}) == 1


def test_generated_playlists_stand_beside_those_of_spotify_and_are_the_same_once_they_are_there(
    echotune: Installed,
) -> None:
    user, store, sets = connect(echotune), echotune.store, echotune.collection("playlists")
    owner = user_object_id(user.user_id)
    songs = [
        PlaylistSong(
            position=number + 1,
            spotify_id=TRACKS[number],
            name=f"Song {number}",
            artist_name="A",
            duration_ms=1,
            score=1.0,
            source="history",
            reason="It fits.",
            is_new=False,
            in_ranges=True,
        )
        for number in range(2)
    ]
    asked = Understanding(
        parser="1",
        moods=["calm"],
        energy=[0, 0.4],
        brightness=[0, 1],
        tempo=[0, 200],
        asks_sound=True,
        genres=["jazz"],
        understood=[UnderstoodWords(words="study", meaning="calm")],
    )
    usual = {
        "user_id": user.user_id,
        "text": "rainy sunday",
        "name": "Rainy Sunday",
        "created_at": NOW - timedelta(days=2),
    }
    made = store.playlists.put(
        GeneratedPlaylist(**usual, generator="words", understanding=asked, status="completed", tracks=songs)
    )
    store.playlists.put(GeneratedPlaylist(**usual, generator="words", status="failed", error="No."))
    store.db["playlists"].insert_one(playlist(user, spotify_id="empty", tracks=[]))
    echotune.update(user, NOW)
    (found,) = sets.find({"playlist_type": "generated"})
    assert [(each["trackId"], each["position"]) for each in found["tracks"]] == [(TRACKS[0], 0), (TRACKS[1], 1)]
    assert (found["name"], found["createdAt"], found["trackCount"]) == ("Rainy Sunday", NOW - timedelta(days=2), 2)
    assert found["generation_parameters"] == {
        "mood": "calm",
        "activity": "study",
        "genres": ["jazz"],
        "audio_features": {"energy": [0, 0.4], "brightness": [0, 1], "tempo": [0, 200]},
        "originalPrompt": "rainy sunday",
    }
    (event,) = echotune.collection("analytics_events").find({"eventType": "playlist.created"})
    assert (event["timestamp"], event["metadata"]) == (
        NOW - timedelta(days=2),
        {"playlistId": found["_id"], "trackCount": 2, "prompt": "rainy sunday"},
    )
    (empty,) = sets.find({"spotifyPlaylistId": "empty"})
    assert "createdAt" not in empty, "nothing says when it was made, so it has no event either"
    store.playlists.put_copy(
        SpotifyCopy(user_id=user.user_id, generator="words", token="t", spotify_id="p1", playlist_id=made.id)
    )
    with store.marks.changing(user.user_id, source="playlist_contents"):
        store.db["playlists"].insert_one(playlist(user, name="Rainy Sunday"))
    for _ in range(2):
        echotune.update(user, NOW)
    (there,) = sets.find({"playlist_type": "generated"})
    assert (there["spotifyPlaylistId"], there["createdAt"]) == ("p1", NOW - timedelta(days=2))
    assert there["generation_parameters"] == found["generation_parameters"]
    (event,) = echotune.collection("analytics_events").find({"eventType": "playlist.created"})
    assert event["metadata"]["playlistId"] == there["_id"]
    assert sets.count_documents({"userId": owner}) == 2


def recommended(user: User, made_at: datetime) -> Document:
    tracks = [
        {
            "rank": number,
            "spotify_id": TRACKS[number],
            "name": f"Song {number}",
            "artist_name": "Artist",
            "album_name": "",
            "audio_features": {},
            "score": 0.9,
            "score_shares": {"basket_knn": 0.75, "content": 0.25},
            "reason": "Others here play it along with “Song 3”, which you play.",
            "reason_kind": "collaborative" if number % 2 else "features",
            "supporting": [{"spotify_id": TRACKS[3], "name": "Song 3", "artist_name": "Artist"}],
        }
        for number in range(10, 16)
    ]
    return {
        "user_id": user.user_id,
        "task": "discover",
        "strategy": "hybrid",
        "model": "hybrid",
        "is_baseline": False,
        "why": "It is surely better than popularity.",
        "confidence": 0.4,
        "created_at": made_at,
        "tracks": tracks,
        "further": [
            {
                "strategy": strategy,
                "mood": "",
                "targets": {},
                "model": model,
                "is_active": False,
                "confidence": 0.2,
                "tracks": [tracks[0], *({**each, "spotify_id": TRACKS[first + each["rank"]]} for each in tracks)],
            }
            for strategy, model, first in (("collaborative", "basket_knn", 6), ("content_based", "content", 12))
        ],
    }


def test_a_list_of_the_recommender_becomes_sets_and_a_played_track_an_inferred_click(echotune: Installed) -> None:
    user = connect(echotune)
    listen(echotune, user, [play(user, track, NOW - timedelta(days=30)) for track in TRACKS[:10]])
    echotune.store.db["recommendations"].insert_one(recommended(user, NOW))
    echotune.update(user, NOW)
    sets = echotune.collection("recommendations")
    assert set(sets.distinct("recommendation_type")) == {"hybrid", "collaborative", "content_based"}
    whole = sets.find_one({"recommendation_type": "hybrid"})
    assert whole is not None
    assert whole["expiresAt"] - whole["createdAt"] == timedelta(days=7)
    assert whole["parameters"]["seed_tracks"] == [TRACKS[3]]
    assert (whole["model"], whole["is_baseline"]) == ("hybrid", False)
    unheard = echotune.collection("track_metadata").find_one({"spotifyId": TRACKS[12]})
    assert unheard is not None, "the catalogue does not have it"
    assert {each["strategy"] for each in whole["tracks"]} == {"collaborative", "content_based"}
    later = NOW + timedelta(days=1)
    listen(echotune, user, [play(user, TRACKS[11], later)])
    echotune.update(user, later + timedelta(hours=1))
    clicks = list(echotune.collection("analytics_events").find({"eventType": "recommendation.clicked"}))
    assert {(each["timestamp"], each["metadata"]["inferred"]) for each in clicks} == {(later, True)}
    assert len(clicks) == 1


def test_no_track_is_recommended_twice_in_a_day_and_sets_with_feedback_stay(echotune: Installed) -> None:
    user, lists = connect(echotune), echotune.store.db["recommendations"]
    sets = echotune.collection("recommendations")
    for hours in (0, 1, 2):
        made = recommended(user, NOW + timedelta(hours=hours))
        with echotune.store.marks.changing(user.user_id, source="recommendations"):
            lists.replace_one({"user_id": user.user_id}, made, upsert=True)
        echotune.update(user, NOW + timedelta(hours=hours))
        if not hours:
            liked = {"user_feedback.liked_tracks": [TRACKS[10]]}
            sets.update_one({"recommendation_type": "hybrid"}, {"$set": liked})
    fresh = [each for each in sets.find() if each["createdAt"] >= NOW + timedelta(hours=2)]
    assert [each["recommendation_type"] for each in fresh] == ["collaborative", "content_based"]
    ids = [track["trackId"] for each in sets.find() for track in each["tracks"]]
    assert (len(ids), len(set(ids))) == (18, 18)
    (kept,) = [each for each in sets.find() if each["createdAt"] < NOW + timedelta(hours=2)]
    assert kept["user_feedback"]["liked_tracks"] == [TRACKS[10]]


def test_metadata_of_tracks_that_only_recommendations_named_goes_with_them(echotune: Installed) -> None:
    user, metadata = connect(echotune), echotune.collection("track_metadata")
    lists = echotune.store.db["recommendations"]
    lists.insert_one(recommended(user, NOW))
    echotune.update(user, NOW)
    named = metadata.count_documents({"listedOnly": True})
    assert named == metadata.count_documents({}) > 6
    # An earlier version did not mark them, and left one whose recommendation has gone.
    metadata.update_many({}, {"$unset": {"listedOnly": 1}})
    metadata.insert_one({"spotifyId": TRACKS[39], "name": "Left", "source": "pipeline"})
    echotune.store.db["mart_states"].update_one({}, {"$set": {"layout": LAYOUT - 1}})
    echotune.update(user, NOW)
    assert metadata.count_documents({"listedOnly": True}) == metadata.count_documents({}) == named
    with echotune.store.marks.changing(user.user_id, source="recommendations"):
        lists.update_one({}, {"$set": {"further": [], "created_at": NOW + timedelta(hours=1)}})
    echotune.update(user, NOW)
    assert metadata.count_documents({}) == 6
    listen(echotune, user, [play(user, TRACKS[10], NOW)])
    with echotune.store.marks.changing(user.user_id, source="recommendations"):
        lists.delete_many({})
    echotune.update(user, NOW, whole=True)
    assert [(each["spotifyId"], "listedOnly" in each) for each in metadata.find()] == [(TRACKS[10], False)]


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


def test_a_dismissal_counts_as_a_dislike_until_a_later_like(echotune: Installed) -> None:
    user = connect(echotune)
    owner, events = user_object_id(user.user_id), echotune.collection("analytics_events")
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    dismissed = {"userId": owner, "eventType": "recommendation.dismissed", "timestamp": an_hour_ago}
    events.insert_many(
        [
            {**dismissed, "metadata": {"trackId": f"spotify:track:{TRACKS[10]}", "position": 0.0}},
            {**dismissed, "metadata": {"trackId": TRACKS[16]}, "createdAt": datetime.now(UTC)},
            {**dismissed, "metadata": None},
            {**dismissed, "metadata": {"trackId": 7}},
        ]
    )
    echotune.store.db["recommendations"].insert_one(recommended(user, NOW))
    assert echotune.mart(NOW).read_feedback(user).disliked == {TRACKS[10], TRACKS[16]}
    echotune.update(user, NOW)
    sets = echotune.collection("recommendations")
    assert not sets.count_documents({"tracks.trackId": {"$in": [TRACKS[10], TRACKS[16]]}})
    sets.update_one({"recommendation_type": "hybrid"}, {"$set": {"user_feedback.liked_tracks": [TRACKS[10]]}})
    for _ in range(2):
        echotune.update(user, NOW)
        sets.delete_many({})
    feedback = echotune.mart(NOW).read_feedback(user)
    assert (feedback.liked, feedback.disliked) == ({TRACKS[10]}, {TRACKS[16]})


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
