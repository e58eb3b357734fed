"""Plays of imports: one play is one, whichever files, formats, the API or the catalogue tell of it, in any order."""

import json
import zipfile
from collections.abc import Callable
from datetime import UTC, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from echostats_pipeline.model.catalog import Track
from echostats_pipeline.model.operations import FileImport
from echostats_pipeline.model.users import User
from echostats_pipeline.simulator.exports import ExportTruth, write_extended_export
from echostats_pipeline.simulator.world import World
from echostats_pipeline.stages.imports import import_export
from echostats_pipeline.stages.merging import resolve_named_plays
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, Counted, Installation, documents
from echostats_pipeline_tests.stages.conftest import START
from echostats_pipeline_tests.stages.import_steps import plays, row, total, write_json
from echostats_pipeline_tests.stages.test_ingestion import sync


def test_a_later_export_that_contains_it_adds_only_the_rest(
    store: Store, user: User, small_world: World, tmp_path: Path, export: tuple[Path, ExportTruth]
) -> None:
    person = small_world.users[0]
    earlier, whole = tmp_path / "earlier.zip", Store.of(store.db.client[f"{store.db.name}_whole"])
    write_extended_export(small_world, person, START, START + timedelta(days=20), earlier)
    for path in (earlier, export[0]):
        import_export(store, user, [path], progress=Counted(), clock=lambda: NOW)
    try:
        import_export(whole, user, [export[0]], progress=Counted(), clock=lambda: NOW)
        assert plays(store) == plays(whole)
    finally:
        whole.db.client.drop_database(whole.db.name)


def test_what_comes_from_the_api_and_from_an_export_is_one_play_in_either_order(
    installation: Installation, export: tuple[Path, ExportTruth]
) -> None:
    installation.clock.advance(timedelta(hours=-30))  # so that the newest fifty are partly in the export
    user, store = installation.connect(), installation.store
    seen = []
    for steps in (("sync", "import"), ("import", "sync"), ("sync", "import", "sync", "import", "sync")):
        for collection in ("listening_history", "recently_played", "change_marks", "tracks"):
            store.db[collection].delete_many({})
        for step in steps:
            if step == "sync":
                sync(installation, user)
            else:
                import_export(store, user, [export[0]], progress=Counted(), clock=installation.now)
        seen.append(plays(store))
        assert len(seen[-1]) == export[1].music_rows + store.db["listening_history"].count_documents({"source": "api"})
    for other in seen[1:]:
        different = [pair for pair in zip(seen[0], other, strict=True) if pair[0] != pair[1]]
        assert not different, different[0]
    merged = [play for play in seen[0] if play["source"] == "import" and play["context_type"]]
    assert merged


def test_an_import_that_covers_a_gap_closes_it(installation: Installation, export: tuple[Path, ExportTruth]) -> None:
    user, store = installation.connect(), installation.store
    installation.clock.advance(timedelta(days=-30))
    sync(installation, user)
    installation.clock.advance(timedelta(days=20))
    sync(installation, user)
    (gap,) = documents(store.db, "listening_gaps")
    assert gap["closed_by"] is None
    import_export(store, user, [export[0]], progress=Counted(), clock=installation.now)
    (gap,) = documents(store.db, "listening_gaps")
    assert gap["closed_by"] is not None


def test_one_play_told_in_every_format_is_one_and_told_again_changes_nothing(
    store: Store, user: User, tmp_path: Path
) -> None:
    started = NOW.replace(microsecond=0) - timedelta(days=40)
    stamp, ended = int(started.timestamp()), started + timedelta(milliseconds=200_467)
    names = [{"alias": name, "is_primary": True} for name in ("Hidden Place", "Björk", "Vespertine")]
    koito_listen = {
        "listened_at": f"{started:%Y-%m-%dT%H:%M:%SZ}",
        "track": {"duration": 328, "aliases": names[:1]},
        "artists": [{"aliases": names[1:2], "is_primary": True}],
        "album": {"aliases": names[2:]},
    }
    track = {"artists": ["Björk"], "title": "Hidden Place", "album": None, "length": 328}
    extended = {
        "ts": f"{ended:%Y-%m-%dT%H:%M:%SZ}",
        "ms_played": 200_467,
        "spotify_track_uri": "spotify:track:2kRFrWaLWifQkBFasAWgMo",
        "master_metadata_track_name": "Hidden Place",
        "master_metadata_album_artist_name": "Björk",
        "master_metadata_album_album_name": "Vespertine",
    }
    # The player does not know its zone, which is the user's.
    local = int(started.astimezone(ZoneInfo(user.timezone)).replace(tzinfo=UTC).timestamp())
    files = {
        ".scrobbler.log": f"#AUDIOSCROBBLER/1.1\n#TZ/UNKNOWN\nBjörk\tVespertine\tHidden Place\t1\t328\tL\t{local}\t\n",
        "koito.json": json.dumps({"version": "1", "listens": [koito_listen]}, indent=2),
        "lastfm.csv": f"Artist;Album;Track;Date\nBjörk;Vespertine;Hidden Place;{started:%d %b %Y, %H:%M}\n",
        "maloja.json": json.dumps({"maloja": {}, "scrobbles": [{"time": stamp, "track": track, "duration": 200}]}),
        "page.json": json.dumps(
            {
                "recenttracks": {
                    "track": {"artist": {"name": "Björk"}, "name": "Hidden Place", "date": {"uts": str(stamp)}}
                }
            }
        ),
        "endsong_0.json": json.dumps([extended]),
    }
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
            (tmp_path / "folder" / name).parent.mkdir(exist_ok=True)
            (tmp_path / "folder" / name).write_text(text)
    for name in files:
        if name != "endsong_0.json":
            import_export(store, user, [tmp_path / "folder" / name], progress=Counted(), clock=lambda: NOW)
    (alone,) = documents(store.db, "listening_history")
    assert alone["track"]["name"] == "Hidden Place"
    imported = import_export(store, user, [tmp_path / "all.zip"], progress=Counted(), clock=lambda: NOW)
    assert [(file.status, file.rows) for file in imported] == [("completed", 1)] * len(files)
    before = documents(store.db, "listening_history", without=())
    (play,) = before
    assert (play["played_at"], play["ms_played"]) == (ended.replace(microsecond=0), 200_467)
    assert {key.partition("|")[0] for key in play["also_imported"]} == {"koito", "lastfm", "maloja", "scrobblerlog"}
    again = import_export(store, user, [tmp_path / "folder"], progress=Counted(), clock=lambda: NOW)
    assert total(again, "duplicate") == len(files)
    assert documents(store.db, "listening_history", without=()) == before


def test_a_listen_that_tells_a_spotify_id_is_a_play_of_that_track(
    store: Store, read: Callable[[Path], list[FileImport]], tmp_path: Path
) -> None:
    track = "w" * 22
    info = {"spotify_id": f"spotify:track:{track}", "duration_ms": 200_000}
    named = {"artist_name": "Solo", "track_name": "Duo", "additional_info": info}
    write_json(tmp_path / "listens.json", [{"listened_at": 1_714_568_400, "track_metadata": named}])
    read(tmp_path)
    (play,) = plays(store)
    assert play["track"]["spotify_id"] == track
    assert store.catalog.wanting("tracks", NOW) == [track]


def listen(listened_at: int, name: str = "Duo", **info: Any) -> dict[str, Any]:
    named = {"artist_name": "Solo", "track_name": name, "additional_info": info}
    return {"listened_at": listened_at, "track_metadata": named}


def test_listens_of_two_tracks_of_one_name_keep_their_ids_and_lengths(
    store: Store, read: Callable[[Path], list[FileImport]], tmp_path: Path
) -> None:
    single, album = "s" * 22, "a" * 22
    reported = [listen(1_714_568_400, spotify_id=single, duration=200), listen(1_714_578_400, spotify_id=album)]
    for number, rows in enumerate((reported[:1], reported[1:], reported)):
        read(write_json(tmp_path / f"{number}.json", rows))
    found = [(play["track"]["spotify_id"], play["track"]["duration_ms"]) for play in plays(store)]
    assert found == [(single, 200_000), (album, 0)]


@pytest.mark.parametrize("extended_first", [True, False])
def test_a_listen_is_the_play_of_its_spotify_id_whatever_it_calls_the_track(
    store: Store, read: Callable[[Path], list[FileImport]], tmp_path: Path, extended_first: bool
) -> None:
    extended = write_json(tmp_path / "endsong_0.json", [row("2024-05-01T13:00:00Z")])
    track = row()["spotify_track_uri"]
    listens = write_json(tmp_path / "listens.json", [listen(1_714_568_300, "Another name", spotify_id=track)])
    for path in (extended, listens) if extended_first else (listens, extended):
        read(path)
    (play,) = plays(store)
    assert (play["track"]["name"], play["import_key"][:10]) == ("Name", "2024-05-01")


ISRC = "GBAYE0601498"


@pytest.mark.parametrize("order", list(permutations(("extended", "listens", "catalogue"))))
def test_a_listen_is_the_play_of_its_recording_whatever_comes_first(
    store: Store, user: User, read: Callable[[Path], list[FileImport]], tmp_path: Path, order: tuple[str, ...]
) -> None:
    played = row()["spotify_track_uri"].rpartition(":")[2]
    files = {
        "extended": write_json(tmp_path / "endsong_0.json", [row("2024-05-01T13:00:00Z")]),
        "listens": write_json(
            tmp_path / "listens.json",
            [listen(1_714_568_300, "Another name", isrc="gb-aye-06-01498"), listen(1_714_578_400, "Alone", isrc=ISRC)],
        ),
    }
    for step in order:
        if step in files:
            read(files[step])
            continue
        tracks = [
            Track(spotify_id=each, name="Duo", isrc=ISRC, fetched_at=NOW, updated_at=NOW) for each in (played, "~")
        ]
        store.catalog.put("tracks", tracks, missing=(), at=NOW)
        resolve_named_plays(store, user)
    first, second = plays(store)
    assert (first["track"]["name"], first["track"]["spotify_id"]) == ("Name", played)
    assert (second["track"]["name"], second["track"]["spotify_id"]) == ("Alone", played)
    assert [file.inserted for file in read(tmp_path)] == [0, 0]


@pytest.mark.parametrize("before", ["", "\x1fGBAYE0601498", f"\x1f{'s' * 22}"])
@pytest.mark.parametrize("info", [{}, {"isrc": ISRC}, {"spotify_id": "s" * 22}])
def test_a_listen_is_known_whether_it_told_more_or_less_before(
    store: Store, read: Callable[[Path], list[FileImport]], tmp_path: Path, before: str, info: dict[str, str]
) -> None:
    path = write_json(tmp_path / "listens.json", [listen(1_714_568_400, **info)])
    read(path)
    former = {"$set": {"import_key": f"listenbrainz|1714568400|Solo\x1fDuo{before}||1"}}
    assert store.db["listening_history"].update_one({}, former).matched_count == 1
    (file,) = read(path)
    assert (file.inserted, file.duplicate) == (0, 1)


def test_the_parts_of_an_export_and_the_whole_are_the_same_documents_in_every_order(
    store: Store, read: Callable[[Path], list[FileImport]], tmp_path: Path
) -> None:
    rows = [row(ms_played=0, reason_start=reason, reason_end="fwdbtn") for reason in ("fwdbtn", "backbtn")]
    units = {"whole": rows, "reversed": rows[::-1], "first": rows[:1], "second": rows[1:]}
    files = {name: write_json(tmp_path / name / "endsong_0.json", reported) for name, reported in units.items()}
    seen = []
    for order in (("whole",), ("reversed", "whole"), ("first", "second"), ("second", "first"), ("first", "whole")):
        store.db["listening_history"].delete_many({})
        inserted = sum(total(read(files[name]), "inserted") for name in order)
        assert inserted == store.db["listening_history"].count_documents({}) == 2
        seen.append(documents(store.db, "listening_history"))
    assert all(found == seen[0] for found in seen)
