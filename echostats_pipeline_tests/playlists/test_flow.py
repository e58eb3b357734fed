"""Playlists from the database to Spotify, and back as feedback."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import spotipy
from bson import ObjectId

from echostats_pipeline.errors import InsufficientScope, SpotifyUnavailable, WaitRequired
from echostats_pipeline.model.playlists import GeneratedPlaylist
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.automation.run_requests import weekly_requests
from echostats_pipeline.playlists.building import Request
from echostats_pipeline.playlists.covers import MOST_BYTES, cover, drawn
from echostats_pipeline.playlists.rule_playlists import RulePlaylist
from echostats_pipeline.playlists.spotify_copies import make_and_write, read_edits, write_to_spotify
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline_tests.conftest import NOW, Pipeline
from echostats_pipeline_tests.playlists.conftest import CALM, builder, ids, play

SCOPE = "playlist-read-private playlist-modify-private user-read-private"
GIVEN = (Request("mostly new music", discover=0.0), Request(CALM))


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
