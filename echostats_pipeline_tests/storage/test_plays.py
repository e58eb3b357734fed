"""Plays in the database: read back as frames, written as a merge decided, and never twice."""

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from bson import ObjectId
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from echostats_pipeline.model.catalog import AlbumRef, Track
from echostats_pipeline.model.plays import (
    Play,
    TrackSnapshot,
    UnfinishedMerge,
)
from echostats_pipeline.storage import plays as plays_module
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.history.facts import STORED_SCHEMA
from echostats_pipeline.transforms.history.play_changes import KnownTrack, PlayChanges, Rewrite
from echostats_pipeline.transforms.statistics.plays import PLAYS_SCHEMA
from echostats_pipeline_tests.conftest import NOW, documents

MS = timedelta(milliseconds=1)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def play(track_id: str = "t", played_at: datetime = NOW, user_id: str = "u", **fields: Any) -> dict[str, Any]:
    names = {name: fields.pop(name) for name in ("name", "artist_name", "duration_ms") if name in fields}
    track = TrackSnapshot(spotify_id=track_id, **names)
    return Play(user_id=user_id, track=track, played_at=played_at, **fields).to_bson()


def imported(key: str, played_at: datetime = NOW, track_id: str = "t") -> dict[str, Any]:
    return play(track_id, played_at, ms_played=5, source="import", import_key=key, import_ts=NOW, playback={})


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


def ids(db: Db) -> dict[str, str]:
    """Ids of the stored plays by their import key."""
    return {row["import_key"]: str(row["_id"]) for row in db["listening_history"].find()}


def places(db: Db) -> dict[str, datetime]:
    return {row.get("import_key", "api"): row["played_at"] for row in db["listening_history"].find()}


def moves(db: Db, **to: datetime) -> list[Rewrite]:
    """Changes that move only the ends of plays."""
    known = ids(db)
    return [Rewrite(known[key], imported(key, place)) for key, place in to.items()]


def test_a_play_may_move_to_where_another_one_has_just_left(store: Store, db: Db) -> None:
    store.plays.apply(PlayChanges(inserts=[imported("a", NOW), imported("b", NOW + MS)]))
    before = ids(db)
    rewrites = moves(db, a=NOW - MS, b=NOW)
    store.plays.apply(PlayChanges(rewrites=rewrites, inserts=[imported("c", NOW + MS)]))
    assert places(db) == {"a": NOW - MS, "b": NOW, "c": NOW + MS}
    assert before.items() <= ids(db).items(), "they stay the documents they were"


@pytest.mark.parametrize("length", [2, 3, 7])
@pytest.mark.parametrize("step", [-1, 1])
def test_plays_move_into_each_others_places_in_a_circle(store: Store, db: Db, length: int, step: int) -> None:
    keys = [f"k{number}" for number in range(length)]
    store.plays.apply(PlayChanges(inserts=[imported(key, NOW + n * MS) for n, key in enumerate(keys)]))
    before = ids(db)
    turned = {key: NOW + (n + step) % length * MS for n, key in enumerate(keys)}
    store.plays.apply(PlayChanges(rewrites=moves(db, **turned)))
    assert places(db) == turned
    assert ids(db) == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(start=st.permutations(range(6)), end=st.permutations(range(8)), order=st.permutations(range(6)))
def test_plays_move_anywhere_in_any_order(
    store: Store, db: Db, start: list[int], end: list[int], order: list[int]
) -> None:
    db["listening_history"].delete_many({})
    store.plays.apply(PlayChanges(inserts=[imported(f"k{n}", NOW + place * MS) for n, place in enumerate(start)]))
    wanted = {f"k{n}": NOW + end[n] * MS for n in order}
    store.plays.apply(PlayChanges(rewrites=moves(db, **wanted)))
    assert places(db) == wanted
    assert not any(row["played_at_estimated"] for row in db["listening_history"].find())


def test_a_play_takes_the_place_of_one_that_vanishes(store: Store, db: Db) -> None:
    store.plays.apply(PlayChanges(inserts=[imported("a", NOW), imported("b", NOW + MS)]))
    known = ids(db)
    store.plays.apply(PlayChanges(rewrites=moves(db, a=NOW + MS), deletes=[known["b"]]))
    assert places(db) == {"a": NOW + MS}
    assert ids(db) == {"a": known["a"]}


def test_a_new_play_takes_the_key_of_one_that_gives_it_up(store: Store, db: Db) -> None:
    store.plays.apply(PlayChanges(inserts=[imported("basic|k")]))
    (known,) = ids(db).values()
    given_up = Rewrite(known, {**imported("extended"), "also_imported": []})
    store.plays.apply(PlayChanges(rewrites=[Rewrite(None, imported("basic|k", NOW - MS)), given_up]))
    assert places(db) == {"extended": NOW, "basic|k": NOW - MS}
    assert ids(db)["extended"] == known


def test_a_merge_is_written_down_in_parts_until_it_is_done(
    store: Store, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.plays.apply(PlayChanges(inserts=[imported(f"k{n}", NOW + n * MS) for n in range(5)]))
    known = ids(db)
    wanted = {f"k{n}": NOW - n * MS for n in range(1, 5)}
    changes = PlayChanges(rewrites=moves(db, **wanted), deletes=[known["k0"]], touched={NOW})
    monkeypatch.setattr(plays_module, "BATCH", 3)
    with monkeypatch.context() as killed:
        killed.setattr(store.plays, "finish", lambda _: None)
        store.plays.apply(changes)
    assert len(places(db)) == 5
    assert [part["complete"] for part in db["unfinished_merges"].find().sort("_id")] == [False, True]
    for _ in range(2):  # The process that completes it may die, too.
        (merge,) = store.plays.unfinished("u")
        assert (len(merge.plays), merge.touched) == (4, [NOW])
        with monkeypatch.context() as killed:
            killed.setattr(store.plays, "_merges", db["elsewhere"])
            store.plays.finish(merge)
        assert places(db) == wanted
    store.plays.finish(merge)
    assert (store.plays.unfinished("u"), store.plays.unfinished("v")) == ([], [])
    assert db["unfinished_merges"].count_documents({}) == 0


def test_parts_without_the_last_one_are_thrown_away(store: Store, db: Db) -> None:
    for user in ("u", "v"):
        part = UnfinishedMerge(user_id=user, merge_id=ObjectId(), plays=[play(user_id=user)])
        db["unfinished_merges"].insert_one(part.to_bson())
    assert store.plays.unfinished("u") == []
    assert [part["user_id"] for part in db["unfinished_merges"].find()] == ["v"]


def test_whole_documents_come_by_their_ids(store: Store, db: Db) -> None:
    store.plays.apply(PlayChanges(inserts=[imported("a"), play("s")]))
    (known,) = (str(row["_id"]) for row in db["listening_history"].find({"import_key": "a"}))
    assert store.plays.documents([known, str(ObjectId())]) == {known: imported("a")}
    assert store.plays.documents([]) == {}


def test_names_come_with_what_is_stored_only_when_asked_for(store: Store) -> None:
    store.plays.apply(PlayChanges(inserts=[play("t", name="$ong", artist_name="")]))
    (bare,) = store.plays.stored("u", NOW, NOW + MS).rows(named=True)
    (named,) = store.plays.stored("u", NOW, NOW + MS, names=True).rows(named=True)
    assert (bare["track_name"], bare["artist_name"]) == (None, None)
    assert (named["track_name"], named["artist_name"]) == ("$ong", "")
    assert {**named, "track_name": None, "artist_name": None} == bare


def test_stored_plays_are_found_by_their_export_stamp_too(store: Store) -> None:
    hour = timedelta(hours=1)
    laid_out = {**imported("k", NOW - 9 * hour), "also_imported": ["lastfm|1"]}
    store.plays.apply(PlayChanges(inserts=[laid_out, play("v", NOW + hour), play(user_id="v")]))
    (row,) = store.plays.stored("u", NOW, NOW + MS).rows(named=True)
    assert (row["played_at"], row["import_ts"], row["also_imported"]) == (NOW - 9 * hour, NOW, ["lastfm|1"])


def test_made_up_ids_give_way_to_spotifys_and_a_taken_place_is_left(store: Store, db: Db) -> None:
    made = "unresolved:x"
    own = [imported("a", NOW, made), imported("b", NOW + MS, made), imported("c", NOW + 9 * MS, "unresolved:y")]
    store.plays.apply(PlayChanges(inserts=[*own, play("t", NOW), play("t", NOW + MS), play("local:x")]))
    store.plays.apply(PlayChanges(inserts=[play(made, user_id="v")]))
    assert sorted(store.plays.unresolved("u")) == ["unresolved:x", "unresolved:y"]
    assert sorted(store.plays.ends_of("u", [made])) == [NOW, NOW + MS]
    for _ in range(2):
        store.plays.resolve("u", {made: "t"}, {"t": KnownTrack("T", "A", "B", "cover", 9)})
        assert store.plays.unresolved("u") == ["unresolved:y"]
        found = db["listening_history"].find({"user_id": "u", "track.spotify_id": "t"})
        assert sorted(row["played_at"] for row in found) == [NOW - 2 * MS, NOW - MS, NOW, NOW + MS]
    assert store.plays.unresolved("v") == [made]
    filled = db["listening_history"].find({"import_key": {"$in": ["a", "b"]}})
    assert {(row["track"]["duration_ms"], row["track"]["album_image_url"]) for row in filled} == {(9, "cover")}
    assert {row["played_at"] for row in db["listening_history"].find({"source": "api", "user_id": "u"})} == {
        NOW,
        NOW + MS,
    }


def test_another_error_than_a_duplicate_is_raised(store: Store, db: Db) -> None:
    db.command("collMod", "listening_history", validator={"user_id": {"$ne": "u"}})
    with pytest.raises(Exception, match="batch op errors"):
        store.plays.apply(PlayChanges(inserts=[play()]))


def test_lengths_and_covers_are_filled_where_they_lack(store: Store, db: Db) -> None:
    store.plays.apply(PlayChanges(inserts=[play("t"), play("k", duration_ms=7), play("none")]))
    album = AlbumRef(spotify_id="a", name="A", image_url="http://cover")
    tracks = [Track(spotify_id=name, name="", album=album, duration_ms=9) for name in ("t", "k")]
    store.plays.fill_tracks([*tracks, Track(spotify_id="none", name="", duration_ms=0)])
    store.plays.fill_tracks([])
    found = {row["track"]["spotify_id"]: row["track"] for row in db["listening_history"].find()}
    assert (found["t"]["duration_ms"], found["t"]["album_image_url"]) == (9, "http://cover")
    assert (found["k"]["duration_ms"], found["none"]["duration_ms"]) == (7, 0)


def test_the_tracks_of_a_user_come_each_once(store: Store, db: Db) -> None:
    assert store.plays.track_ids("u").to_list() == []
    plays = [play("a", NOW), play("a", NOW - MS), play("b", NOW), play("c", NOW, "v")]
    db["listening_history"].insert_many(plays)
    assert sorted(store.plays.track_ids("u")) == ["a", "b"]


def test_a_track_is_told_by_the_names_of_its_last_play(store: Store, db: Db) -> None:
    db["listening_history"].insert_many(
        [
            play("t", NOW, name="New", artist_name="A\0rtist"),
            play("t", NOW - MS, name="Old"),
            play("t", NOW + MS, "v", name="Somebody else's"),
            play("other", NOW, name="Other"),
            play("never asked for", NOW),
        ]
    )
    reported = store.plays.last_names("u", pl.Series(["t", "other", "never played"]))
    assert reported.columns == ["track_id", "name", "artist_name", "album_name"]
    assert set(reported.iter_rows()) == {("t", "New", "Artist", ""), ("other", "Other", "", "")}
    assert store.plays.last_names("u", pl.Series([], dtype=pl.String)).is_empty()


def test_names_of_many_tracks_are_asked_for_in_parts(store: Store, db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plays_module, "IDS_AT_ONCE", 2)
    db["listening_history"].insert_many([play(f"t{number}", name=f"T{number}") for number in range(5)])
    reported = store.plays.last_names("u", pl.Series([f"t{number}" for number in range(5)]))
    assert set(reported["name"]) == {f"T{number}" for number in range(5)}


def test_a_day_of_more_than_one_document_can_hold_is_read_all_the_same(store: Store, db: Db) -> None:
    names = {f"{letter * 15_000_000}": number for number, letter in enumerate("abcde")}
    for name, number in names.items():
        db["listening_history"].insert_one(play(name=name, played_at=NOW - number * MS, ms_played=number))
    read = store.plays.read("u").sort("ms_played")
    assert read["track_name"].to_list() == list(names)
    assert read["played_at"].to_list() == [NOW - number * MS for number in names.values()]
