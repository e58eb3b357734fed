"""Playlists and lists of the recommender as EchoTune's database has them."""

from datetime import UTC, datetime, timedelta

from echostats_pipeline.marts.echotune.database import LAYOUT, user_object_id
from echostats_pipeline.model.playlists import (
    GeneratedPlaylist,
    PlaylistSong,
    SpotifyCopy,
    Understanding,
    UnderstoodWords,
)
from echostats_pipeline_tests.marts.echotune.conftest import Installed
from echostats_pipeline_tests.marts.echotune.stored import NOW, TRACKS, connect, listen, play, playlist, recommended


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
