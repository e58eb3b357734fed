"""Plays in the database: read back as frames, written as a merge decided, and never twice."""

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from echostats_pipeline.model.catalog import AlbumRef, Track
from echostats_pipeline.model.plays import ListeningGap, Play, RecentlyPlayedItem, RecentlyPlayedPage, TrackSnapshot
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.changes import STORED_SCHEMA, PlayChanges
from echostats_pipeline.transforms.plays import PLAYS_SCHEMA
from echostats_pipeline_tests.conftest import NOW, documents

MS = timedelta(milliseconds=1)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def play(track_id: str = "t", played_at: datetime = NOW, user_id: str = "u", **fields: Any) -> dict[str, Any]:
    names = {name: fields.pop(name) for name in ("name", "artist_name", "duration_ms") if name in fields}
    track = TrackSnapshot(spotify_id=track_id, **names)
    return Play(user_id=user_id, track=track, played_at=played_at, **fields).to_bson()


def imported(key: str, played_at: datetime = NOW, track_id: str = "t") -> dict[str, Any]:
    return play(track_id, played_at, ms_played=5, source="import", import_key=key, import_ts=NOW, playback={})


def page(*stamps: datetime, fetched_at: datetime = NOW, full: bool = False) -> RecentlyPlayedPage:
    items = [RecentlyPlayedItem(track=TrackSnapshot(spotify_id="t"), played_at=stamp) for stamp in stamps]
    return RecentlyPlayedPage(user_id="u", items=items, full=full, fetched_at=fetched_at)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(name=NAMES, artist=NAMES, ms_played=st.none() | st.integers(0, 2**31), duration=st.integers(0, 2**31))
@example(name="$uicideboy$ feat. will.i.am", artist="", ms_played=None, duration=0)
def test_a_play_comes_back_as_it_was(
    store: Store, db: Db, name: str, artist: str, ms_played: int | None, duration: int
) -> None:
    db["listening_history"].delete_many({})
    written = play(name=name, artist_name=artist, ms_played=ms_played, duration_ms=duration)
    store.plays.apply(PlayChanges(inserts=[dict(written)]))
    assert documents(db, "listening_history") == [written]
    frame = store.plays.read("u")
    assert frame.schema == pl.Schema(PLAYS_SCHEMA)
    (row,) = frame.rows(named=True)
    assert (row["played_at"], row["track_name"], row["artist_name"]) == (NOW, name, artist)
    assert (row["ms_played"], row["duration_ms"]) == (ms_played, duration)


def test_only_the_plays_of_the_user_and_the_half_open_interval_are_read(store: Store) -> None:
    stamps = [NOW - MS, NOW, NOW + MS]
    store.plays.apply(PlayChanges(inserts=[play(played_at=stamp) for stamp in stamps] + [play(user_id="v")]))
    assert sorted(store.plays.read("u", NOW, NOW + MS)["played_at"]) == [NOW]
    assert sorted(store.plays.stored("u", NOW - MS, NOW + MS)["played_at"]) == [NOW - MS, NOW]
    assert store.plays.count("u", NOW - MS, NOW + MS) == 2
    assert store.plays.newest("u") == NOW + MS
    assert store.plays.newest("nobody") is None


def test_nothing_stored_is_an_empty_frame_of_the_same_columns(store: Store) -> None:
    assert store.plays.read("u").schema == pl.Schema(PLAYS_SCHEMA)
    assert store.plays.stored("u", NOW, NOW).schema == pl.Schema(STORED_SCHEMA)


def test_what_merging_needs_comes_back(store: Store) -> None:
    written = {**imported("k"), "api_played_at": NOW - MS, "playback": {"offline_at": NOW - 2 * MS}}
    store.plays.apply(PlayChanges(inserts=[written, play("s")]))
    by_track = {row["track_id"]: row for row in store.plays.stored("u", NOW, NOW + MS).rows(named=True)}
    assert by_track["t"]["import_key"] == "k"
    assert by_track["t"]["api_played_at"] == NOW - MS
    assert by_track["t"]["offline_at"] == NOW - 2 * MS
    assert [by_track["s"][name] for name in ("import_key", "api_played_at", "import_ts", "offline_at")] == [None] * 4


def test_inserting_the_same_plays_again_adds_nothing(store: Store, db: Db) -> None:
    for _ in range(2):
        store.plays.apply(PlayChanges(inserts=[play("a"), play("b"), imported("k")]))
    assert db["listening_history"].count_documents({}) == 3


def test_an_interrupted_import_is_completed_by_the_next(store: Store, db: Db) -> None:
    rows = [imported(f"k{number}", NOW + number * MS) for number in range(5)]
    store.plays.apply(PlayChanges(inserts=rows[1:3]))
    store.plays.apply(PlayChanges(inserts=rows))
    assert sorted(found["import_key"] for found in db["listening_history"].find()) == [f"k{n}" for n in range(5)]


def test_an_export_row_whose_place_is_taken_goes_a_millisecond_earlier(store: Store, db: Db) -> None:
    rows = [imported("k0"), imported("k1"), imported("k2")]
    store.plays.apply(PlayChanges(inserts=rows))
    found = {row["import_key"]: row for row in db["listening_history"].find()}
    assert sorted(row["played_at"] for row in found.values()) == [NOW - 2 * MS, NOW - MS, NOW]
    assert sum(row["played_at_estimated"] for row in found.values()) == 2


def test_a_play_may_move_to_where_another_one_has_just_left(store: Store, db: Db) -> None:
    store.plays.apply(PlayChanges(inserts=[imported("a", NOW), imported("b", NOW + MS)]))
    ids = {row["import_key"]: str(row["_id"]) for row in db["listening_history"].find()}
    moves = [(ids["a"], {"played_at": NOW - MS}), (ids["b"], {"played_at": NOW})]
    store.plays.apply(PlayChanges(updates=moves, inserts=[imported("c", NOW + MS)]))
    found = {row["import_key"]: row["played_at"] for row in db["listening_history"].find()}
    assert found == {"a": NOW - MS, "b": NOW, "c": NOW + MS}


def test_another_error_than_a_duplicate_is_raised(store: Store, db: Db) -> None:
    db.command("collMod", "listening_history", validator={"user_id": {"$ne": "u"}})
    with pytest.raises(Exception, match="batch op errors"):
        store.plays.apply(PlayChanges(inserts=[play()]))


def test_a_page_is_kept_until_it_is_merged(store: Store) -> None:
    assert store.plays.keep_page(page(NOW, full=True))
    (kept,) = store.plays.unmerged_pages("u")
    assert (kept.items, kept.full, kept.merged_at) == (page(NOW).items, True, None)
    store.plays.page_merged(kept, NOW)
    assert store.plays.unmerged_pages("u") == []


def test_the_same_answer_again_and_an_empty_one_are_not_kept(store: Store, db: Db) -> None:
    assert not store.plays.keep_page(page())
    assert store.plays.keep_page(page(NOW))
    assert not store.plays.keep_page(page(NOW, fetched_at=NOW + MS))
    assert store.plays.keep_page(page(NOW, NOW - MS, fetched_at=NOW + MS))
    assert db["recently_played"].count_documents({}) == 2


def test_pages_come_oldest_first(store: Store) -> None:
    store.plays.keep_page(page(NOW, fetched_at=NOW))
    store.plays.keep_page(page(NOW - MS, fetched_at=NOW - MS))
    assert [kept.fetched_at for kept in store.plays.unmerged_pages("u")] == [NOW - MS, NOW]


def test_a_gap_found_twice_is_one_gap(store: Store, db: Db) -> None:
    for seen in range(2):
        gap = {"user_id": "u", "from": NOW, "to": NOW + timedelta(hours=1), "detected_at": NOW + seen * MS}
        store.plays.record_gaps([ListeningGap.model_validate(gap)])
    (found,) = documents(db, "listening_gaps")
    assert found == {
        "user_id": "u",
        "from": NOW,
        "to": NOW + timedelta(hours=1),
        "detected_at": NOW,
        "closed_by": None,
    }


def test_an_import_closes_the_gaps_it_covers_and_no_others(store: Store, db: Db) -> None:
    hour = timedelta(hours=1)
    for start in (NOW, NOW + 2 * hour, NOW + 4 * hour):
        gap = {"user_id": "u", "from": start, "to": start + hour, "detected_at": NOW}
        store.plays.record_gaps([ListeningGap.model_validate(gap)])
    assert store.plays.close_gaps("v", NOW, NOW + 9 * hour, "other.json") == 0
    assert store.plays.close_gaps("u", NOW, NOW + 3 * hour, "one.json") == 2
    assert store.plays.close_gaps("u", NOW, NOW + 3 * hour, "again.json") == 0
    closed = {gap["from"]: gap["closed_by"] for gap in db["listening_gaps"].find()}
    assert closed == {NOW: "one.json", NOW + 2 * hour: "one.json", NOW + 4 * hour: None}


def test_lengths_and_covers_are_filled_where_they_lack(store: Store, db: Db) -> None:
    store.plays.apply(PlayChanges(inserts=[play("t"), play("k", duration_ms=7), play("none")]))
    album = AlbumRef(spotify_id="a", name="A", image_url="http://cover")
    tracks = [Track(spotify_id=name, name="", album=album, duration_ms=9) for name in ("t", "k")]
    store.plays.fill_tracks([*tracks, Track(spotify_id="none", name="", duration_ms=0)])
    store.plays.fill_tracks([])
    found = {row["track"]["spotify_id"]: row["track"] for row in db["listening_history"].find()}
    assert (found["t"]["duration_ms"], found["t"]["album_image_url"]) == (9, "http://cover")
    assert (found["k"]["duration_ms"], found["none"]["duration_ms"]) == (7, 0)
