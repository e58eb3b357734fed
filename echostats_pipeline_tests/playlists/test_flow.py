"""Playlists from the database to Spotify, to Playlist Generator's database, and back as feedback."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import spotipy
from bson import ObjectId
from pymongo.errors import WriteError

from echostats_pipeline.errors import InsufficientScope, SpotifyUnavailable, WaitRequired
from echostats_pipeline.marts.playlist_generator.build import PlaylistGeneratorMart, waiting_users
from echostats_pipeline.marts.playlist_generator.database import OWNED, database, track_object_id, user_object_id
from echostats_pipeline.model.playlists import GeneratedPlaylist
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.automation.mart_sensors import unanswered_queries
from echostats_pipeline.orchestration.automation.run_requests import weekly_requests
from echostats_pipeline.playlists.building import PlaylistBuilder, Request
from echostats_pipeline.playlists.covers import MOST_BYTES, cover, drawn
from echostats_pipeline.playlists.rule_playlists import RulePlaylist
from echostats_pipeline.playlists.spotify_copies import make_and_write, read_edits, write_to_spotify
from echostats_pipeline.settings import load_settings
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.storage.indexes import ensure_indexes, index_problems
from echostats_pipeline.storage.installed import databases_of
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.validators import ensure_validators, validator_problems
from echostats_pipeline_tests.accounts.test_data_export import exported
from echostats_pipeline_tests.conftest import NOW, Pipeline
from echostats_pipeline_tests.databases import limited_uri

SONGS = 400
SCOPE = "playlist-read-private playlist-modify-private user-read-private"
CALM = "calm, energy below 0.6"
GIVEN = (Request("mostly new music", discover=0.0), Request(CALM))


@pytest.fixture
def listener(pipeline: Pipeline) -> User:
    """A user who has played many songs of the simulated catalogue, all of them with audio features."""
    user = pipeline.connect()
    world = pipeline.installation.simulator.world
    tracks, plays = [], []
    for number, track in enumerate(list(world.releases.tracks.values())[:SONGS]):
        features = world.releases.audio_features.get(track.id)
        tracks.append(
            {
                "spotify_id": track.id,
                "name": track.name,
                "artists": [{"spotify_id": each.id, "name": each.name} for each in track.artists],
                "album": {"spotify_id": track.album.id, "name": track.album.name, "release_date": "1999-01-01"},
                "duration_ms": track.duration_ms,
                "genres": list(track.artists[0].genres),
                "enriched_at": NOW,
                "changed_at": NOW,
                "fetched_at": NOW,
                "audio_features": None if features is None else asdict(features),
            }
        )
        plays.append(play(user, track.id, NOW - timedelta(days=1 + number % 200, minutes=number)))
    pipeline.store.db["tracks"].insert_many(tracks)
    pipeline.store.db["listening_history"].insert_many(plays)
    pipeline.store.marks.mark(user.user_id, "listening_history", ["2025-06-01"])
    return user


def play(user: User, track_id: str, at: datetime, **more: Any) -> dict[str, Any]:
    """A play as the core stores it."""
    track = {"spotify_id": track_id, "name": track_id, "artist_name": "", "album_name": "", "duration_ms": 200_000}
    context = {"context_type": "", "context_uri": "", "ms_played": None, "source": "api"}
    return {"user_id": user.user_id, "track": track, "played_at": at, **context, **more}


def builder(pipeline: Pipeline) -> PlaylistBuilder:
    return PlaylistBuilder(pipeline.store, pipeline.installation.settings, pipeline.installation.now())


def written(pipeline: Pipeline, user: User, text: str = CALM, **how: Any) -> GeneratedPlaylist:
    """A playlist at Spotify, made after reading what the user has changed there."""
    now = pipeline.installation.now()
    with pipeline.installation.client(user) as client:
        read_edits(pipeline.store, client, user, "words", now)
        made = builder(pipeline).from_words(user, Request(text, over_copy=True, **how))
        return write_to_spotify(pipeline.store, client, user, builder(pipeline).stored(made), now)


@pytest.fixture
def theirs(pipeline: Pipeline, listener: User) -> spotipy.Spotify:
    """Another client of the same user, which does not know of this pipeline."""
    simulator = pipeline.installation.simulator
    code = simulator.consent(listener.spotify_id, client_id="other", redirect_uri="http://127.0.0.1:1/", scope=SCOPE)
    grant = simulator.tokens.redeem(code, "other", "http://127.0.0.1:1/", None)
    client = spotipy.Spotify(auth=simulator.tokens.access_token(grant), retries=0, status_retries=0)
    client.prefix = f"{simulator.base_url}/v1/"
    return client


def rows(theirs: spotipy.Spotify, playlist_id: str) -> list[str]:
    """What the other client reads in a playlist."""
    found, offset = [], 0
    while page := theirs.playlist_items(playlist_id, limit=50, offset=offset)["items"]:
        found += [(row.get("item") or row["track"])["id"] for row in page]
        offset += 50
    return found


def named(theirs: spotipy.Spotify) -> list[str]:
    """Ids of the playlists that this pipeline has made."""
    return [
        each["id"] for each in theirs.current_user_playlists()["items"] if "echostats" in (each["description"] or "")
    ]


def ids(made: GeneratedPlaylist) -> list[str]:
    return [track.spotify_id for track in made.tracks]


def test_one_private_playlist_is_written_and_overwritten_and_edits_are_obeyed(
    pipeline: Pipeline, listener: User, theirs: spotipy.Spotify
) -> None:
    made = written(pipeline, listener, songs=12)
    assert named(theirs) == [made.spotify_id]
    assert rows(theirs, made.spotify_id) == ids(made)
    about = theirs.playlist(made.spotify_id)
    assert (about["public"], about["name"]) == (False, made.name)
    gone, new = ids(made)[2], ids(written(pipeline, listener, "party energy above 0.6", songs=3))[0]
    written(pipeline, listener, songs=12)
    theirs.playlist_remove_all_occurrences_of_items(made.spotify_id, [gone])
    theirs.playlist_add_items(made.spotify_id, [f"spotify:track:{new}"])
    again = written(pipeline, listener, songs=12)
    assert again.spotify_id == made.spotify_id
    assert named(theirs) == [made.spotify_id]
    assert gone not in ids(again)
    assert (new in ids(again), named_reason(again, new).split(".")[0]) == (True, "You added it at Spotify")
    assert new not in ids(written(pipeline, listener, "calm, energy below 0.3", songs=12))
    back = written(pipeline, listener, f" {CALM.upper()}", songs=12)
    assert (new in ids(back), gone in ids(back)) == (True, False)
    edits = {(each.event, each.spotify_id) for each in pipeline.store.playlists.edits(listener.user_id)}
    assert edits == {("remove_from_playlist", gone), ("add_to_playlist", new)}
    long = long_one(pipeline, listener)
    with pipeline.installation.client(listener) as client:
        long = write_to_spotify(pipeline.store, client, listener, long, NOW)
    assert rows(theirs, long.spotify_id) == ids(long)
    assert len(ids(long)) == 230
    logged = pipeline.store.db["api_logs"].distinct("method", {"user_id": listener.user_id})
    assert {"POST", "PUT"} <= set(logged)


def named_reason(made: GeneratedPlaylist, track_id: str) -> str:
    """Why a track is in a playlist."""
    return next(track.reason for track in made.tracks if track.spotify_id == track_id)


def test_a_crash_between_creating_and_storing_leaves_no_second_playlist(
    pipeline: Pipeline, listener: User, theirs: spotipy.Spotify, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = builder(pipeline).stored(builder(pipeline).from_words(listener, Request(CALM, songs=5)))
    with pipeline.installation.client(listener) as client:
        create = client.create_playlist

        def dies(name: str, description: str) -> dict[str, Any]:
            create(name, description)
            raise SpotifyUnavailable("The answer never came.", status_code=503)

        monkeypatch.setattr(client, "create_playlist", dies)
        with pytest.raises(SpotifyUnavailable):
            write_to_spotify(pipeline.store, client, listener, made, NOW)
    (orphan,) = named(theirs)
    done = written(pipeline, listener, songs=5)
    assert done.spotify_id == orphan
    assert named(theirs) == [orphan]
    aged = {"$set": {"created_at": NOW - timedelta(days=401)}}
    pipeline.store.db["generated_playlists"].update_many({}, aged)
    new = builder(pipeline).stored(builder(pipeline).from_words(listener, Request(CALM, songs=5)))
    assert [each.id for each in pipeline.store.playlists.of(listener.user_id)] == [done.id, new.id]


def test_a_write_that_dies_half_way_is_repeated_and_is_no_edit(
    pipeline: Pipeline, listener: User, theirs: spotipy.Spotify, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = long_one(pipeline, listener)
    with pipeline.installation.client(listener) as client:
        monkeypatch.setattr(client, "add_items", _unavailable)
        with pytest.raises(SpotifyUnavailable):
            write_to_spotify(pipeline.store, client, listener, made, NOW)
        monkeypatch.undo()
        assert read_edits(pipeline.store, client, listener, made.generator, NOW) == []
        done = write_to_spotify(pipeline.store, client, listener, made, NOW)
    assert named(theirs) == [done.spotify_id]
    assert rows(theirs, done.spotify_id) == ids(done)
    assert pipeline.store.playlists.edits(listener.user_id) == []


def long_one(pipeline: Pipeline, listener: User) -> GeneratedPlaylist:
    """A playlist that takes three calls to write."""
    rules = RulePlaylist("long", "Long", "", {"all": [{"gt": {"playCount": 0}}], "limit": 230})
    return builder(pipeline).stored(builder(pipeline).by_rules(listener, rules))


def _unavailable(*_: Any) -> str:
    raise SpotifyUnavailable("Not now.", status_code=503)


def test_without_the_consent_nothing_is_written_and_everything_else_works(pipeline: Pipeline, listener: User) -> None:
    pipeline.store.db["spotify_tokens"].update_one(
        {"user_id": listener.user_id}, {"$set": {"scope": "user-read-private"}}
    )
    with pytest.raises(InsufficientScope, match="connect --playlists"):
        written(pipeline, listener, songs=5)
    made = pipeline.store.playlists.of(listener.user_id)[0]
    client = pipeline.installation.client(listener)
    done = make_and_write(pipeline.store, client, listener, "words", lambda: made, NOW)
    assert "not written to Spotify. The consent of " in done.said
    assert done.made == made
    assert (made.status, made.spotify_id, len(made.tracks)) == ("completed", "", 5)
    shares = [builder(pipeline).from_words(listener, each).discover for each in (Request("mostly new music"), *GIVEN)]
    assert shares == [0.7, 0.0, None], "that of the words, if the command names none"


@pytest.mark.parametrize("regime", ["extended", "legacy_dev", "restricted_dev"])
def test_playlists_are_written_in_every_regime(
    pipeline: Pipeline, listener: User, theirs: spotipy.Spotify, regime: str
) -> None:
    pipeline.installation.simulator.behave(regime=regime)
    made = written(pipeline, listener, songs=4)
    assert rows(theirs, made.spotify_id) == ids(made)
    own = pipeline.installation.simulator.controls.own_playlists
    own.unfollowed.add(made.spotify_id)  # as the user deletes it
    assert written(pipeline, listener, songs=4).spotify_id == made.spotify_id, "it may not be listed yet"
    old = {"$set": {"written_at": NOW - timedelta(days=2)}}
    pipeline.store.db["playlist_copies"].update_many({}, old)
    again = written(pipeline, listener, songs=4)
    assert again.spotify_id != made.spotify_id
    assert named(theirs) == [again.spotify_id]


def test_a_cover_is_put_only_with_its_own_permission_and_a_refusal_harms_nothing(
    pipeline: Pipeline, listener: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    covers: list[bytes] = []
    monkeypatch.setattr(SpotifyClient, "put_cover", lambda _self, _id, jpeg: covers.append(jpeg))
    made = written(pipeline, listener, songs=4)
    assert covers == []
    tokens = pipeline.store.db["spotify_tokens"]
    tokens.update_one({"user_id": listener.user_id}, {"$set": {"scope": f"{SCOPE} ugc-image-upload"}})
    made = written(pipeline, listener, songs=4)
    assert covers == [cover(made)]
    assert covers[0].startswith(b"\xff\xd8")
    assert len(covers[0]) < MOST_BYTES
    monkeypatch.undo()
    again = written(pipeline, listener, songs=4)  # the simulator refuses it: the consent there does not cover it
    assert again.written_at is not None
    assert drawn(made).count("<rect") == 5


def test_skips_in_a_week_of_listening_change_the_next_playlist_in_the_right_direction(
    pipeline: Pipeline, listener: User
) -> None:
    history, energies, skipped_ids = pipeline.store.db["listening_history"], [], set[str]()
    for day in range(7):
        made = written(pipeline, listener, "", songs=14)
        energies.append(_energy(made))
        loud = {track.spotify_id for track in made.tracks if (track.energy or 0) > 0.55}
        skipped_ids |= loud
        at = pipeline.installation.now()
        plays = []
        for track in made.tracks:
            heard = 9_000 if track.spotify_id in loud else track.duration_ms
            at += timedelta(milliseconds=heard)
            ended = {"skipped": heard == 9_000, "reason_end": "fwdbtn" if heard == 9_000 else "trackdone"}
            context = {"context_type": "playlist", "context_uri": f"spotify:playlist:{made.spotify_id}"}
            plays.append(play(listener, track.spotify_id, at, ms_played=heard, playback=ended, **context))
        history.insert_many(plays)
        pipeline.installation.clock.advance(timedelta(days=1))
        assert day < 7
    last = builder(pipeline).from_words(listener, Request("", songs=14))
    assert _energy(last) < energies[0] - 0.1
    assert not skipped_ids & set(ids(last))


def _energy(made: GeneratedPlaylist) -> float:
    known = [track.energy for track in made.tracks if track.energy is not None]
    return sum(known) / len(known)


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
    mart: Pipeline, listener: User, tmp_path: Path
) -> None:
    store, settings = mart.store, mart.installation.settings
    track_ids = store.db["tracks"].distinct("spotify_id")
    saved = {"user_id": listener.user_id, "name": "", "artist_name": "", "album_name": "", "duration_ms": 1}
    only_named = "z" * 22
    store.db["saved_tracks"].insert_many(
        [{**saved, "spotify_id": each, "added_at": NOW} for each in (*track_ids[:3], only_named)]
    )
    first = PlaylistGeneratorMart(store, settings, NOW, "first")
    first.update(listener)
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


def owner_field(name: str) -> str:
    """The field of a collection that names the user."""
    return "_id" if name == "users" else "userId"


def without_creation(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """The same without when a user's document was first written."""
    return {
        name: [{**each, "createdAt": None} if name == "users" else each for each in some]
        for name, some in found.items()
    }


def test_a_run_shows_the_playlist_as_a_table_and_a_picture(pipeline: Pipeline, listener: User) -> None:
    config = {"ops": {"generated_playlists": {"config": {"text": CALM, "minutes": 30, "arc": "rise"}}}}
    run = pipeline.run("playlist_build", partition_key=listener.partition_key, run_config=config)
    assert run.success
    (shown,) = run.asset_materializations_for_node("generated_playlists")
    assert {"playlists", "understood", "songs_in_order", "curve"} <= shown.metadata.keys()
    assert "data:image/svg+xml" in str(shown.metadata["curve"].value)
    (made,) = pipeline.store.playlists.of(listener.user_id)
    assert (made.text, made.arc, made.minutes, made.dagster_run_id) == (CALM, "rise", 30, run.run_id)
    assert made.tracks


def test_a_week_is_written_only_if_the_settings_say_so_repeats_nothing_and_obeys_edits(
    pipeline: Pipeline, listener: User, theirs: spotipy.Spotify
) -> None:
    assert pipeline.run("weekly_playlists", partition_key=listener.partition_key).success
    first = pipeline.store.playlists.of(listener.user_id)
    assert len(first) == 10
    assert named(theirs) == []
    pipeline.store.db["generated_playlists"].update_many({}, {"$set": {"created_at": NOW - timedelta(days=7)}})
    by_rule = next(each for each in first if each.generator == "rule:new_this_month")
    with pipeline.installation.client(listener) as client:
        by_rule = write_to_spotify(pipeline.store, client, listener, by_rule, NOW)
    gone, known = ids(by_rule)[0], pipeline.store.db["tracks"].distinct("spotify_id")
    new = next(each for each in known if each not in ids(by_rule))
    theirs.playlist_remove_all_occurrences_of_items(by_rule.spotify_id, [gone])
    theirs.playlist_add_items(by_rule.spotify_id, [f"spotify:track:{new}"])
    environ = {**pipeline.installation.environ, "ECHOSTATS_PLAYLISTS_TO_SPOTIFY": "on"}
    on = replace(pipeline, installation=replace(pipeline.installation, environ=environ))
    assert on.run("weekly_playlists", partition_key=listener.partition_key).success
    second = pipeline.store.playlists.of(listener.user_id)[10:]
    for mood in ("happy", "sad", "energetic", "chill", "focus", "party"):
        of_mood = [set(ids(each)) for each in (*first, *second) if each.generator == f"mood:{mood}"]
        assert of_mood[0] & of_mood[1] == set()
    assert all(len(each.tracks) <= 50 for each in (*first, *second))
    made = [each for each in second if each.tracks]
    assert len(named(theirs)) == len(made) == len({each.spotify_id for each in made})
    last = rows(theirs, by_rule.spotify_id)
    assert (gone in last, last[-1], len(last)) == (False, new, 50)


def test_a_mood_that_is_made_again_in_its_week_is_the_same_and_other_moods_repeat_only_what_they_must(
    pipeline: Pipeline, listener: User
) -> None:
    made = {}
    for key in ("happy", "party"):
        made[key] = builder(pipeline).stored(builder(pipeline).of_mood(listener, key))
    assert ids(builder(pipeline).of_mood(listener, "happy")) == ids(made["happy"])
    shared = set(ids(made["happy"])) & set(ids(made["party"]))
    assert not shared or made["party"].widened or made["party"].note or len(ids(made["party"])) == 50
    pipeline.installation.clock.advance(timedelta(days=7))
    assert not set(ids(builder(pipeline).of_mood(listener, "happy"))) & set(ids(made["happy"]))


def test_a_playlist_is_made_and_stored_if_spotify_cannot_be_reached_and_it_is_said(
    pipeline: Pipeline, listener: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make() -> GeneratedPlaylist:
        return builder(pipeline).from_words(listener, Request(CALM, songs=5))

    written(pipeline, listener, songs=5)
    client, waits = pipeline.installation.client(listener), WaitRequired("playlists", NOW, "Spotify said so")
    monkeypatch.setattr(SpotifyClient, "playlist", lambda *_: (_ for _ in ()).throw(waits))
    done = make_and_write(pipeline.store, client, listener, "words", make, NOW)
    assert done.made.spotify_id == ""
    assert pipeline.store.playlists.of(listener.user_id)[-1].id == done.made.id
    assert done.said == (
        "It was made and stored, but not written to Spotify. "
        "No playlists calls before 2025-06-15 12:00:00 UTC: Spotify said so."
    )


def test_a_request_has_words_and_a_name_that_can_be_stored() -> None:
    asked = Request(f"calm \0 {'x' * 2000}", name=" my\n calm\ud800 ")
    assert (asked.text[:8], len(asked.text), asked.name) == ("calm  xx", 1000, "My calm?")
    assert (Request("calm  evening").name, Request("\0").name) == ("Calm evening", "Playlist")
    assert replace(asked, songs=5) == replace(asked, songs=5, text=asked.text), "cleaning twice changes nothing"


def test_the_week_begins_on_monday_in_the_zone_of_each_user() -> None:
    users = [
        User(id=ObjectId(), spotify_id=name, partition_key=f"{name}-123456", timezone=zone)
        for name, zone in (("ann", "Pacific/Auckland"), ("bob", "America/Los_Angeles"))
    ]
    order = [user.partition_key for user in users]
    sunday = datetime(2026, 3, 15, 20, tzinfo=UTC)  # Monday, 09:00, in Auckland

    def keys(now: datetime) -> set[str | None]:
        return {each.run_key for each in weekly_requests(users, now, order=order, batch_size=1)}

    assert keys(sunday) == {f"ann-123456@{date(2026, 3, 16)}", f"bob-123456@{date(2026, 3, 9)}"}
    assert keys(sunday + timedelta(days=1)) == {f"{key}@{date(2026, 3, 16)}" for key in order}
