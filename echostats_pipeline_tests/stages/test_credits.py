"""Credited artists, contexts and full listens through the database: what changes them, and what is built again."""

from datetime import datetime, timedelta

import pytest

from echostats_pipeline.model.catalog import Album, AlbumRef, ArtistRef, Track
from echostats_pipeline.model.library import Playlist
from echostats_pipeline.model.users import User
from echostats_pipeline.stages.credits import storing_tracks
from echostats_pipeline.stages.playlists import marking_renamed
from echostats_pipeline.stages.statistics import rebuild_snapshots
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW
from echostats_pipeline_tests.stages.statistics_oracle import catch_up, check_truth, rebuild_days

MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
DAYS = {(NOW - timedelta(days=back)).date() for back in range(5)}
VARIOUS = "0LyfQWJT6nXafLPZqxe9Of"


@pytest.fixture
def user(store: Store) -> User:
    return store.users.connect({"spotify_id": "ann"}, authorized_at=NOW, simulated=False)


def play(store: Store, user: User, track: str, ended_at: datetime, **more: object) -> None:
    names = {"name": track.upper(), "artist_name": "Various Artists", "album_name": "Hits", "album_image_url": ""}
    store.db["listening_history"].insert_one(
        {
            "user_id": user.user_id,
            "track": {"spotify_id": track, "duration_ms": 60_000, **names},
            "played_at": ended_at,
            "ms_played": 60_000,
            "source": "api",
            "context_type": "",
            "context_uri": "",
            **more,
        }
    )


def learn(store: Store, track: str, *artists: str, album: str = "") -> None:
    refs = [ArtistRef(spotify_id=each, name=f"Artist {each}") for each in artists]
    reference = AlbumRef(spotify_id=album, name="Hits") if album else None
    document = Track(spotify_id=track, name=track, artists=refs, album=reference, enriched_at=NOW)
    with storing_tracks(store) as stored:
        stored.put([document], at=NOW)
    store.mark_all_snapshots()


def all_time(store: Store, user: User) -> Document:
    catch_up(store, NOW)
    found: Document = store.statistics.snapshot(user.user_id, "all_time").to_bson()
    return found


def credited(store: Store, user: User) -> list[tuple[str, int]]:
    return [(line["name"], line["play_count"]) for line in all_time(store, user)["top_artists_credited"]]


def test_everybody_credited_gets_the_play_and_various_artists_nobody(store: Store, scratch: Store, user: User) -> None:
    for hour, track in enumerate("aab"):
        play(store, user, track, MIDNIGHT - timedelta(hours=2 * hour + 1))
    rebuild_days(store, user, DAYS)
    rebuild_snapshots(store, user, NOW)
    assert credited(store, user) == [], "the plays name only Various Artists"
    learn(store, "a", "lead", "guest")
    learn(store, "b", VARIOUS, "guest")
    assert credited(store, user) == [("Artist guest", 3), ("Artist lead", 2)]
    (rollup,) = store.db["daily_rollups"].find()
    assert rollup["credited_artist_plays"] == {"guest": 3, "lead": 2}
    assert rollup["artist_plays"] == {"Various Artists": 3}
    assert all_time(store, user)["top_artists"][0]["name"] == "Artist lead"
    check_truth(store, scratch, NOW)


def test_days_are_marked_only_if_the_artists_of_a_track_change(store: Store, user: User) -> None:
    play(store, user, "a", MIDNIGHT - timedelta(hours=1))
    play(store, user, "a", MIDNIGHT - timedelta(days=2, hours=1))
    play(store, user, "b", MIDNIGHT - timedelta(days=3, hours=1))
    for artists, waiting in (
        (("x", "y"), {1, 3}),
        (("y", "x"), {1, 3}),  # rules leave plays out by the first artist
        (("y", "x", VARIOUS), set()),
        (("x", "z"), {1, 3}),
        (("x", "z"), set()),
    ):
        learn(store, "a", *artists)
        days = {(NOW.date() - day).days for day in store.marks.pending_days(user.user_id)}
        assert days == waiting, artists
        catch_up(store, NOW)


def test_days_wait_even_if_the_process_dies_before_the_track_is_stored(
    store: Store, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(store, user, "a", MIDNIGHT - timedelta(hours=1))
    monkeypatch.setattr(store.marks, "close", lambda _: None)
    learn(store, "a", "x")
    assert store.marks.pending_days(user.user_id) == set(), "for five minutes it may still be at work"
    store.db["change_marks"].update_many({}, [{"$set": {"open_since": {"$subtract": ["$open_since", 400_000]}}}])
    assert store.marks.pending_days(user.user_id) == {MIDNIGHT.date() - timedelta(days=1)}


def test_an_album_is_heard_in_full_within_a_session_that_may_cross_midnight(
    store: Store, scratch: Store, user: User
) -> None:
    for minutes, track in ((-4, "b"), (-2, "a"), (2, "c"), (60, "a"), (62, "b")):  # the last two are another session
        play(store, user, track, MIDNIGHT + timedelta(minutes=minutes))
    for track in "abc":
        learn(store, track, "x", album="hits")
    catch_up(store, NOW)
    rebuild_days(store, user, DAYS)
    assert [line["full_listens"] for line in all_time(store, user)["top_albums"]] == [None]
    store.catalog.put("albums", [Album(spotify_id="hits", name="Hits", total_tracks=3)], missing=(), at=NOW)
    store.mark_all_snapshots()
    assert [line["full_listens"] for line in all_time(store, user)["top_albums"]] == [1]
    play(store, user, "c", MIDNIGHT + timedelta(minutes=64))
    rebuild_days(store, user, DAYS)
    assert [line["full_listens"] for line in all_time(store, user)["top_albums"]] == [2]
    check_truth(store, scratch, NOW)


def test_contexts_are_named_by_the_library_of_their_user(store: Store, scratch: Store, user: User) -> None:
    uris = ("spotify:playlist:p", "spotify:playlist:p", "spotify:playlist:other", "spotify:user:ann:collection")
    for minutes, uri in enumerate(uris):
        play(store, user, "a", MIDNIGHT + timedelta(minutes=minutes), context_uri=uri)
    play(store, user, "a", MIDNIGHT + timedelta(minutes=9))
    rebuild_days(store, user, DAYS)

    def contexts() -> list[tuple[str, str, int]]:
        return [(each["type"], each["name"], each["play_count"]) for each in all_time(store, user)["top_contexts"]]

    assert contexts() == [("playlist", "", 2), ("playlist", "", 1), ("collection", "Liked Songs", 1)]
    for name in ("Mine", "Renamed"):
        with marking_renamed(store, user.user_id):
            store.library.put_playlists([Playlist(user_id=user.user_id, spotify_id="p", name=name)])
        assert contexts()[0] == ("playlist", name, 2)
    assert all_time(store, user)["contexts_coverage"] == 0.8
    check_truth(store, scratch, NOW)


def test_rollups_of_an_earlier_version_are_noticed_and_nothing_wrong_is_shown_until_they_are_built_again(
    store: Store, scratch: Store, user: User
) -> None:
    for minutes, track in ((1, "a"), (3, "b")):
        play(store, user, track, MIDNIGHT + timedelta(minutes=minutes), context_uri="spotify:playlist:p")
        play(store, user, track, MIDNIGHT + timedelta(days=-1, minutes=minutes), context_uri="spotify:playlist:p")
        learn(store, track, "x", album="hits")
    store.catalog.put("albums", [Album(spotify_id="hits", name="Hits", total_tracks=2)], missing=(), at=NOW)
    rebuild_days(store, user, DAYS)
    old = {"credited_artist_plays": "", "contexts": "", "sessions.$[].tracks": ""}
    store.db["daily_rollups"].update_one({"date": str(MIDNIGHT.date())}, {"$unset": old})
    store.db["statistics_years"].delete_many({})
    rebuild_snapshots(store, user, NOW)
    found = store.statistics.snapshot(user.user_id, "all_time")
    assert (found.top_contexts, found.top_albums[0].full_listens) == ([], None)
    assert [(line.name, line.play_count) for line in found.top_artists_credited] == [("Artist x", 4)]
    assert store.marks.pending_days(user.user_id) == {MIDNIGHT.date()}
    found = store.statistics.snapshot(user.user_id, "all_time").model_validate(all_time(store, user))
    assert (found.top_contexts[0].play_count, found.top_albums[0].full_listens) == (4, 2)
    assert store.marks.pending_days(user.user_id) == set()
    check_truth(store, scratch, NOW)
