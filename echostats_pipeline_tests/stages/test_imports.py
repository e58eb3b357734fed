"""Files of exports: every row has an outcome, and what is damaged fails alone and is named."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from echostats_pipeline.errors import ExportError
from echostats_pipeline.model.operations import FileImport
from echostats_pipeline.model.users import User
from echostats_pipeline.simulator.exports import ExportTruth
from echostats_pipeline.stages.imports import check_whole, import_export
from echostats_pipeline.stages.statistics import rebuild_rollups, rebuild_snapshots
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, Counted, documents
from echostats_pipeline_tests.stages.import_steps import row, total, write_json

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
OUTCOMES = ("inserted", "merged", "duplicate", "not_music", "rejected")


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
