"""Imports of exports: those of the simulator, which knows the truth about them, and damaged ones."""

import json
import zipfile
from collections.abc import Callable
from datetime import UTC, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from echostats_pipeline.errors import ExportError
from echostats_pipeline.model.catalog import Track
from echostats_pipeline.model.operations import FileImport
from echostats_pipeline.model.users import User
from echostats_pipeline.simulator.exports import ExportTruth, write_extended_export
from echostats_pipeline.simulator.world import World
from echostats_pipeline.stages.imports import check_whole, import_export
from echostats_pipeline.stages.merging import resolve_named_plays
from echostats_pipeline.stages.statistics import rebuild_rollups, rebuild_snapshots
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, Counted, Installation, documents
from echostats_pipeline_tests.stages.test_ingestion import sync

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
START, END = NOW - timedelta(days=45), NOW - timedelta(days=1)
OUTCOMES = ("inserted", "merged", "duplicate", "not_music", "rejected")
PLAYS = ("user_id", "track", "played_at", "ms_played", "source", "context_type", "context_uri", "import_key")


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory, small_world: World) -> tuple[Path, ExportTruth]:
    path = tmp_path_factory.mktemp("exports") / "my_spotify_data.zip"
    return path, write_extended_export(small_world, small_world.users[0], START, END, path)


@pytest.fixture
def user(store: Store, small_world: World) -> User:
    return store.users.connect(
        {"spotify_id": small_world.users[0].id}, authorized_at=NOW, simulated=True, timezone="Europe/Berlin"
    )


@pytest.fixture
def read(store: Store, user: User) -> Callable[[Path], list[FileImport]]:
    return lambda path: import_export(store, user, [path], progress=Counted(), clock=lambda: NOW)


def total(files: list[FileImport], outcome: str) -> int:
    return sum(getattr(file, outcome) for file in files)


def plays(store: Store) -> list[dict[str, Any]]:
    found = [{name: play.get(name) for name in PLAYS} for play in store.db["listening_history"].find()]
    return sorted(found, key=lambda play: (play["played_at"], repr(play)))


def test_every_row_has_an_outcome_and_they_are_the_true_ones(
    store: Store, user: User, export: tuple[Path, ExportTruth]
) -> None:
    path, truth = export
    progress = Counted()
    files = import_export(store, user, [path], progress=progress, clock=lambda: NOW, dagster_run_id="run")
    assert {file.file_name: file.rows for file in files} == truth.rows_per_file
    assert all(sum(getattr(file, outcome) for outcome in OUTCOMES) == file.rows for file in files)
    assert total(files, "inserted") == truth.music_rows
    assert total(files, "not_music") == truth.episode_rows
    assert total(files, "rejected") == truth.local_rows == store.db["import_rejects"].count_documents({})
    assert progress.expected == progress.processed == truth.rows
    assert [file.status for file in files] == ["completed"] * len(files)
    recorded = documents(store.db, "imports")
    assert recorded == sorted((file.to_bson() for file in files), key=repr)


def test_listening_time_is_the_true_one(
    store: Store, read: Callable[[Path], list[FileImport]], export: tuple[Path, ExportTruth]
) -> None:
    read(export[0])
    counted: dict[str, int] = {}
    for play in store.db["listening_history"].find({"import_key": {"$regex": r"\|1$"}}):
        counted[play["track"]["spotify_id"]] = counted.get(play["track"]["spotify_id"], 0) + 1
    repeats = store.db["listening_history"].count_documents({"import_key": {"$not": {"$regex": r"\|1$"}}})
    assert repeats >= export[1].repeated_rows
    assert sum(counted.values()) + repeats == export[1].music_rows
    assert set(counted) == set(export[1].plays_per_track)


def test_importing_again_changes_nothing(
    store: Store, read: Callable[[Path], list[FileImport]], export: tuple[Path, ExportTruth]
) -> None:
    read(export[0])
    before = documents(store.db, "listening_history", without=())
    tracks = documents(store.db, "tracks", without=())
    for day in store.db["change_marks"].find():
        store.db["change_marks"].delete_one({"_id": day["_id"]})
    files = read(export[0])
    assert total(files, "inserted") == total(files, "merged") == 0
    assert total(files, "duplicate") == export[1].music_rows
    assert [file.status for file in files] == ["completed"] * len(files)
    assert documents(store.db, "listening_history", without=()) == before
    assert documents(store.db, "tracks", without=()) == tracks
    assert documents(store.db, "change_marks") == []


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


def write_json(path: Path, rows: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def row(ts: str = "2025-06-01T10:00:00Z", **fields: Any) -> dict[str, Any]:
    return {
        "ts": ts,
        "ms_played": 100_000,
        "spotify_track_uri": "spotify:track:4uLU6hMCjMI75M1A2tKUQC",
        "master_metadata_track_name": "Name",
        "master_metadata_album_artist_name": "Artist",
        "master_metadata_album_album_name": "Album",
        **fields,
    }


@pytest.mark.parametrize("names", ["will.i.am", "$uicideboy$", "", "x" * 1_000, "a\0b", "\ud800", "👩‍🎤"])
def test_no_name_breaks_an_import_or_the_rollups(store: Store, user: User, tmp_path: Path, names: str) -> None:
    fields = ("master_metadata_track_name", "master_metadata_album_artist_name", "master_metadata_album_album_name")
    path = write_json(tmp_path / "endsong_0.json", [row(**dict.fromkeys(fields, names)), row("2025-06-01T11:00:00Z")])
    (file,) = import_export(store, user, [path], progress=Counted(), clock=lambda: NOW)
    assert file.inserted + file.rejected == 2
    days = store.marks.pending_days(user.user_id)
    rebuild_rollups(store, user, days, min_play_ms=30_000, progress=Counted())
    rebuild_snapshots(store, user, NOW)
    assert sum(rollup["total_plays"] for rollup in store.db["daily_rollups"].find()) == file.inserted


@pytest.mark.parametrize(
    "fields",
    [
        {"ms_played": 10**30},
        {"ms_played": True},
        {"offline_timestamp": 10**30},
        {"offline_timestamp": 2**62},
        {"ts": "0000-00-00T00:00:00Z"},
        {"ts": "\ud800"},
        {"spotify_track_uri": ["$"]},
        {"ts": {"a.b": 10**30}},
    ],
)
def test_no_value_of_a_row_breaks_an_import(store: Store, user: User, tmp_path: Path, fields: dict[str, Any]) -> None:
    path = write_json(tmp_path / "endsong_0.json", [row(**fields), row()])
    (file,) = import_export(store, user, [path], progress=Counted(), clock=lambda: NOW)
    assert file.inserted + file.rejected == file.rows == 2
    assert file.inserted >= 1


def test_personal_fields_are_written_nowhere(store: Store, user: User, tmp_path: Path) -> None:
    personal = {
        "ip_addr": "203.0.113.77",
        "ip_addr_decrypted": "203.0.113.77",
        "user_agent_decrypted": "canary-agent",
        "username": "canary-name",
        "platform": "iOS 15.1 (iPhone12,8)",
    }
    bad = [row("never", **personal), {**row(**personal), "spotify_track_uri": None, "master_metadata_track_name": None}]
    path = write_json(tmp_path / "endsong_0.json", [row(**personal), *bad, "canary-text"[:3]])
    (file,) = import_export(store, user, [path], progress=Counted(), clock=lambda: NOW)
    assert (file.inserted, file.rejected) == (1, 3)
    everything = repr([documents(store.db, name) for name in store.db.list_collection_names()])
    for secret in ("203.0.113.77", "canary", "iPhone12"):
        assert secret not in everything


@pytest.mark.parametrize("content", ["[{", '{"a": 1}', "", "\0\0", '[{"ts": "2025'])
def test_a_file_that_is_none_fails_alone_and_is_named(store: Store, user: User, tmp_path: Path, content: str) -> None:
    for number in (0, 2):
        write_json(tmp_path / f"endsong_{number}.json", [row(f"2025-01-0{number + 1}T00:00:00Z")])
    (tmp_path / "endsong_1.json").write_text(content)
    files = import_export(store, user, [tmp_path], progress=Counted(), clock=lambda: NOW)
    assert [file.status for file in files] == ["completed", "failed", "completed"]
    records = {record["file_name"]: record for record in documents(store.db, "imports")}
    assert records["endsong_1.json"]["status"] == "failed"
    assert "endsong_1.json" in records["endsong_1.json"]["error_message"]
    assert store.db["listening_history"].count_documents({}) == 2
    with pytest.raises(ExportError, match=r"^1 of 3 files could not be read to the end\. .*endsong_1\.json"):
        check_whole(files)


def test_rows_before_a_break_are_imported_and_the_break_is_named(store: Store, user: User, tmp_path: Path) -> None:
    whole = json.dumps([row(f"2025-01-01T00:00:{second:02}Z") for second in range(10)])
    path = tmp_path / "endsong_0.json"
    path.write_text(whole[: len(whole) // 2])
    (file,) = import_export(store, user, [path], progress=Counted(), clock=lambda: NOW)
    assert (file.status, file.inserted) == ("failed", 5)
    assert str(len(whole) // 2) in file.error_message
    path.write_text(whole)
    (file,) = import_export(store, user, [path], progress=Counted(), clock=lambda: NOW)
    assert (file.status, file.inserted, file.duplicate) == ("completed", 5, 5)


def test_a_truncated_zip_imports_nothing(
    read: Callable[[Path], list[FileImport]], tmp_path: Path, store: Store, export: tuple[Path, ExportTruth]
) -> None:
    cut = tmp_path / "cut.zip"
    cut.write_bytes(export[0].read_bytes()[: export[0].stat().st_size // 2])
    with pytest.raises(ExportError, match=r"cut\.zip"):
        read(cut)
    assert documents(store.db, "listening_history") == documents(store.db, "imports") == []


def test_a_damaged_member_of_a_zip_fails_its_file(
    read: Callable[[Path], list[FileImport]], tmp_path: Path, store: Store
) -> None:
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Streaming_History_Audio_2025_0.json", json.dumps([row()]))
    data = bytearray(path.read_bytes())
    place = data.index(b'"ms_played"')
    data[place : place + 4] = b"XXXX"
    path.write_bytes(data)
    (file,) = read(path)
    assert file.status == "failed"
    assert "Streaming_History_Audio_2025_0.json" in file.error_message
    (record,) = documents(store.db, "imports")
    assert record["status"] == "failed"
    assert documents(store.db, "listening_history") == []


@pytest.fixture
def sample() -> Path:
    folder = SAMPLES / "Spotify Extended Streaming History"
    if not folder.is_dir():
        pytest.skip(f"the real export is not here: {folder}")
    return folder


def test_a_real_export_is_imported_whole_and_only_once(
    store: Store, read: Callable[[Path], list[FileImport]], sample: Path
) -> None:
    rows = sum(len(json.loads(path.read_bytes())) for path in sample.glob("*.json"))
    first = read(sample)
    assert total(first, "rows") == rows
    assert sum(total(first, outcome) for outcome in OUTCOMES) == rows
    assert store.db["listening_history"].count_documents({}) == total(first, "inserted")
    again = read(sample)
    assert total(again, "inserted") == 0
    assert total(again, "duplicate") == total(first, "inserted") + total(first, "merged") + total(first, "duplicate")


def test_plays_that_cannot_have_been_are_rejected_and_kept(store: Store, user: User, tmp_path: Path) -> None:
    impossible = [row("2099-01-01T00:00:00Z"), row("1970-01-01T00:00:00Z"), row(ms_played=90_000_000)]
    path = write_json(tmp_path / "endsong_0.json", [row(), *impossible])
    (file,) = import_export(store, user, [path], progress=Counted(), clock=lambda: NOW)
    assert (file.inserted, file.rejected, sum(file.reject_reasons.values())) == (1, 3, 3)
    assert file.first_played_at == file.last_played_at
    kept = documents(store.db, "import_rejects")
    assert [reject["row"]["ts"] for reject in kept] == [listed["ts"] for listed in impossible]


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


def test_rejected_rows_of_next_years_files_stand_beside_this_years(
    store: Store, read: Callable[[Path], list[FileImport]], tmp_path: Path
) -> None:
    unknown = {"artistName": "Unknown Artist", "trackName": "Unknown Track", "msPlayed": 180_000}
    for year in (2022, 2023, 2023):
        write_json(
            tmp_path / str(year) / "StreamingHistory_music_0.json", [{"endTime": f"{year}-03-01 10:00", **unknown}]
        )
        (file,) = read(tmp_path / str(year))
        assert (file.rejected, file.rejected_ms) == (1, 180_000)
    kept = [reject["row"]["endTime"] for reject in store.db["import_rejects"].find()]
    assert sorted(kept) == ["2022-03-01 10:00", "2023-03-01 10:00"]


def test_of_rejected_rows_a_thousand_for_each_reason_are_kept_and_all_are_counted(
    store: Store, read: Callable[[Path], list[FileImport]], tmp_path: Path
) -> None:
    write_json(tmp_path / "endsong_0.json", [1] * 1_500 + [{}] * 20 + [row("2025-01-01T00:00:00Z")])
    (file,) = read(tmp_path)
    assert (file.rows, file.rejected, file.inserted) == (1_521, 1_520, 1)
    assert sorted(file.reject_reasons.values()) == [20, 1_500]
    assert store.db["import_rejects"].count_documents({}) == 1_020


def test_reasons_are_bounded_whatever_is_wrong_with_each_row(
    store: Store, read: Callable[[Path], list[FileImport]], tmp_path: Path
) -> None:
    broken = ",".join('{"ts": bad}' for _ in range(1_500))
    (tmp_path / "endsong_0.json").write_text(f"[{broken}]")
    header, rows = "ts,ms_played,spotify_track_uri\n", "\n".join("," * count for count in range(3, 103))
    (tmp_path / "x.csv").write_text(header + rows)
    array, table = read(tmp_path)
    assert array.reject_reasons == {"the row is not valid JSON: Expecting value": 1_500}
    assert (table.rejected, len(table.reject_reasons), table.reject_reasons["other reasons"]) == (100, 51, 50)
    assert store.db["import_rejects"].count_documents({}) == 1_100
    assert store.db["import_rejects"].find_one({"row_number": 1})["row"] == {"byte": 13}


def test_what_cannot_be_read_fails_alone(store: Store, user: User, tmp_path: Path) -> None:
    write_json(tmp_path / "endsong_0.json", [row("2025-01-01T00:00:00Z")])
    (tmp_path / "broken.zip").write_bytes(b"PK")
    files = import_export(store, user, [tmp_path], progress=Counted(), clock=lambda: NOW, dagster_run_id="run")
    assert [file.status for file in files] == ["completed", "failed"]
    assert [file.status for file in store.imports.of_run("run")] == ["completed", "failed"]
    with pytest.raises(ExportError, match=r"broken\.zip"):
        check_whole(files)


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
