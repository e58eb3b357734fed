"""Data export: all of a user's data and no other user's, read back and compared with the database."""

import inspect
import json
import os
import stat
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from bson import ObjectId

from echostats_pipeline.accounts import data_export
from echostats_pipeline.accounts.data_export import MANIFEST, NOTE, TABLE, ExportedFile, export_user
from echostats_pipeline.errors import StorageError
from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.model.plays import Play, TrackSnapshot
from echostats_pipeline.model.users import User
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.plays_table import DERIVED_COLUMNS, PLAY_COLUMNS
from echostats_pipeline_tests.accounts.test_removal import OWNED, connect
from echostats_pipeline_tests.conftest import KEY, NOW, Counted, Pipeline
from echostats_pipeline_tests.orchestration.test_jobs import import_config, range_of, write_export

EXPORTED = {name for name in OWNED if COLLECTIONS[name].is_exported and not COLLECTIONS[name].is_cache}
CANARY = "canary-secret-0123456789"


def exported(store: Store, user: User, target: Path) -> dict[str, list[dict[str, Any]]]:
    """The lines of the files of a new export, by collection."""
    progress = Counted()
    files = export_user(store, user, target, progress=progress, at=NOW, min_play_ms=30_000)
    assert progress.expected == progress.processed
    lines = {path.stem: read_lines(path) for path in target.glob("*.jsonl")}
    assert {each.name: each.documents for each in files} == {
        **{f"{name}.jsonl": len(found) for name, found in lines.items()},
        TABLE: len(lines.get("listening_history", ())),
    }
    return lines


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def as_told(value: Any) -> Any:
    """A value of the database in the form of an export, made independently of the export's code."""
    if isinstance(value, Mapping):
        return {name: as_told(each) for name, each in value.items()}
    if isinstance(value, list):
        return [as_told(each) for each in value]
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03}Z"
    return str(value) if isinstance(value, ObjectId) else value


def in_database(store: Store, user: User) -> dict[str, list[dict[str, Any]]]:
    """The content that an export must have, read from the collections themselves."""
    found = {name: list(store.db[name].find({"user_id": user.user_id})) for name in EXPORTED}
    found["users"] = list(store.db["users"].find({"_id": user.id}))
    for tokens in found["spotify_tokens"]:
        tokens.pop("refresh_token_encrypted", None)
        tokens.pop("access_token_encrypted", None)
    return {name: [as_told(each) for each in documents] for name, documents in found.items() if documents}


def sorted_by_id(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(documents, key=lambda each: each["_id"])


def test_everything_a_pipeline_has_stored_is_read_back(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, user, other = pipeline.store, pipeline.connect(0), pipeline.connect(1)
    path = write_export(pipeline, user, tmp_path / "my_spotify_data.zip", days=20)
    day = NOW.date()
    assert pipeline.run("user_sync", tags=range_of(day - timedelta(days=1), day, user, other)).success
    assert pipeline.run("history_import", partition_key=user.partition_key, run_config=import_config(path)).success
    assert pipeline.run("library_sync", partition_key=user.partition_key).success
    assert pipeline.run("snapshot_build", partition_key=user.partition_key).success
    monkeypatch.setattr(data_export, "ROWS_AT_ONCE", 100)  # several parts
    lines = exported(store, user, tmp_path / "out")
    wanted = in_database(store, user)
    assert lines.keys() == wanted.keys()
    assert wanted.keys() >= {"users", "spotify_tokens", "listening_history", "daily_rollups", "playlists", "imports"}
    for name, documents in wanted.items():
        assert sorted_by_id(lines[name]) == sorted_by_id(documents), name
    assert [play["played_at"] for play in lines["listening_history"]] == sorted(
        play["played_at"] for play in lines["listening_history"]
    )
    table = pl.read_parquet(tmp_path / "out" / TABLE)
    assert table.height > 300
    assert_same_plays(table, store, user)
    for text in (tmp_path / "out").rglob("*.*"):
        assert other.user_id.encode() not in text.read_bytes(), text.name


def assert_same_plays(table: pl.DataFrame, store: Store, user: User) -> None:
    assert dict(table.schema) == {column.name: column.dtype for column in (*PLAY_COLUMNS, *DERIVED_COLUMNS)}
    plays = list(store.db["listening_history"].find({"user_id": user.user_id}).sort("played_at", 1))
    for row, play in zip(table.iter_rows(named=True), plays, strict=True):
        for column in PLAY_COLUMNS:
            value: Any = play
            for name in column.place:
                value = (value or {}).get(name)
            assert row[column.name] == (str(value) if isinstance(value, ObjectId) else value)


def test_every_collection_of_theirs_has_a_file_and_nobody_elses_is_in_it(store: Store, tmp_path: Path) -> None:
    ann, bob = connect(store, "ann"), connect(store, "bob")
    lines = exported(store, ann, tmp_path / "out")
    assert lines.keys() == EXPORTED | {"users"}
    assert {"statistics_years", "statistics_catalog", "stored.files", "stored.chunks"} == OWNED - EXPORTED
    assert bob.user_id not in repr(lines)
    assert all(len(found) == 1 for found in lines.values())


def test_a_collection_that_comes_new_is_exported_and_removed_by_itself(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exported and removed collections follow from the declared collections."""
    assert set(store.owned.collections) == {name for name, each in COLLECTIONS.items() if each.owned_by_user}
    ann = connect(store, "ann")
    assert list(store.owned.counts(ann)) == list(store.owned.collections)
    assert list(store.owned.counts(ann))[-1] == "users"


def test_a_user_without_plays_has_an_empty_table_with_its_columns(store: Store, tmp_path: Path) -> None:
    ann = store.users.connect({"spotify_id": "ann", "display_name": "Ann"}, authorized_at=NOW, simulated=False)
    assert exported(store, ann, tmp_path / "out").keys() == {"users"}
    table = pl.read_parquet(tmp_path / "out" / TABLE)
    assert (table.height, table.width) == (0, len(PLAY_COLUMNS) + len(DERIVED_COLUMNS))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [NOTE, MANIFEST, TABLE, "users.jsonl"]


def test_names_that_mongodb_finds_hard_survive(store: Store, tmp_path: Path) -> None:
    ann = connect(store, "ann")
    names = {"Mr. Oizo": 1, "$uicideboy$": 2, "will.i.am": 3, "": 4, "$where": 5, "a\u2028b": 6}
    store.db["daily_rollups"].insert_one({"user_id": ann.user_id, "date": "2025-01-01", "artist_plays": names})
    rollups = exported(store, ann, tmp_path / "out")["daily_rollups"]
    assert names in [rollup.get("artist_plays") for rollup in rollups]
    lines = (tmp_path / "out" / "daily_rollups.jsonl").read_bytes()
    assert pl.read_ndjson(lines).height == 2


def test_no_secret_is_in_any_file(store: Store, tmp_path: Path) -> None:
    ann = store.users.connect({"spotify_id": "ann", "display_name": "Ann"}, authorized_at=NOW, simulated=False)
    secrets = {name: f"{CANARY}-{name}" for name in ("refresh_token_encrypted", "access_token_encrypted")}
    # A field that this version does not know, as another program may have stored it, must not be exported either.
    store.db["spotify_tokens"].insert_one(
        {"user_id": ann.user_id, "expires_at": NOW, "scope": "s", **secrets, "access_token": f"{CANARY}-plain"}
    )
    (tokens,) = exported(store, ann, tmp_path / "out")["spotify_tokens"]
    assert tokens.keys() == {"_id", "user_id", "expires_at", "scope"}
    for path in (tmp_path / "out").iterdir():
        assert CANARY.encode() not in path.read_bytes(), path.name
        assert KEY.encode() not in path.read_bytes(), path.name


def test_the_manifest_and_the_note_say_what_there_is(store: Store, tmp_path: Path) -> None:
    ann = connect(store, "ann")
    exported(store, ann, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert (manifest["format_version"], manifest["exported_at"]) == (1, "2025-06-15T12:00:00.000Z")
    assert manifest["user"] == {"user_id": ann.user_id, "spotify_id": "ann", "partition_key": ann.partition_key}
    assert manifest["left_out"] == {
        "spotify_tokens": ["refresh_token_encrypted", "access_token_encrypted"],
        "scrobble_targets": ["token_encrypted"],
    }
    files = {each["name"]: each for each in manifest["files"]}
    assert files.keys() == {path.name for path in (tmp_path / "out").iterdir()} - {MANIFEST, NOTE}
    for name, each in files.items():
        assert each["bytes"] == (tmp_path / "out" / name).stat().st_size
    note = (tmp_path / "out" / NOTE).read_text()
    for said in (ann.partition_key, "2025-06-15", *files):
        assert said in note
    for column in pl.read_parquet(tmp_path / "out" / TABLE):
        assert (f"\n  {column.name} " in note) is (column.null_count() < len(column)), column.name
    assert all(inspect.getdoc(COLLECTIONS[name].document) for name in OWNED)


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_only_the_owner_can_read_it(store: Store, tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        exported(store, connect(store, "ann"), tmp_path / "out")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("where", "failure"),
    [
        ("_manifest", OSError(28, os.strerror(28))),
        ("flat_plays", pl.exceptions.ComputeError("parquet: underlying IO error: No space left on device")),
    ],
)
def test_what_fails_on_the_way_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, failure: Exception
) -> None:
    ann = connect(store, "ann")

    def full(*_: object, **__: object) -> str:
        raise failure

    monkeypatch.setattr(data_export, where, full)
    with pytest.raises(StorageError, match="No space left"):
        export_user(store, ann, tmp_path / "out", progress=Counted(), at=NOW, min_play_ms=30_000)
    assert list(tmp_path.iterdir()) == []


def test_a_history_is_read_in_pieces(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = store.users.connect({"spotify_id": "ann"}, authorized_at=NOW, simulated=False)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    store.db["listening_history"].insert_many(
        Play(
            user_id=ann.user_id,
            track=TrackSnapshot(spotify_id="t"),
            played_at=start + timedelta(minutes=number * 7 % 1000),
        ).to_bson()
        for number in range(1000)
    )
    most = 0
    flat = data_export.flat_plays

    def watched(documents: list[dict[str, Any]]) -> pl.DataFrame:
        nonlocal most
        most = max(most, len(documents))
        return flat(documents)

    monkeypatch.setattr(data_export, "ROWS_AT_ONCE", 64)
    monkeypatch.setattr(data_export, "flat_plays", watched)
    files = export_user(store, ann, tmp_path / "out", progress=Counted(), at=NOW, min_play_ms=30_000)
    table = pl.read_parquet(tmp_path / "out" / TABLE)
    assert most == 64
    assert ExportedFile(TABLE, 1000, (tmp_path / "out" / TABLE).stat().st_size) in files
    assert table["played_at"].is_sorted()
    assert table["_id"].n_unique() == 1000
    assert [each["_id"] for each in read_lines(tmp_path / "out" / "listening_history.jsonl")] == table["_id"].to_list()


def test_the_table_of_plays_adds_up_to_what_statistics_say(pipeline: Pipeline, tmp_path: Path) -> None:
    user = pipeline.connect()
    path = write_export(pipeline, user, tmp_path / "export.zip", 20)
    assert pipeline.run("history_import", partition_key=user.partition_key, run_config=import_config(path)).success
    assert pipeline.run("user_sync", tags=range_of(NOW.date() - timedelta(days=30), NOW.date(), user)).success
    assert pipeline.run("catalog_enrichment").success
    assert pipeline.run("rollup_build", tags=range_of(NOW.date() - timedelta(days=30), NOW.date(), user)).success
    assert pipeline.run("snapshot_build", partition_key=user.partition_key).success
    exported(pipeline.store, user, tmp_path / "out")
    table = pl.read_parquet(tmp_path / "out" / TABLE)
    snapshot = pipeline.store.statistics.snapshot(user.user_id, "all_time")
    assert 0 < table["counts"].sum() < table.height
    assert table["counts"].sum() == snapshot.total_tracks_played
    assert table["listened_ms"].sum() == snapshot.total_ms_played
    assert table.filter("counts")["artist_id"].n_unique() == snapshot.unique_artists
    by_day = table.group_by("local_date").agg(pl.col("counts").sum(), pl.col("listened_ms").sum())
    rollups = pipeline.store.db["daily_rollups"].find({"user_id": user.user_id})
    assert {(str(day), plays, ms) for day, plays, ms in by_day.iter_rows()} == {
        (each["date"], each["total_plays"], each["total_ms"]) for each in rollups
    }
    note = (tmp_path / "out" / NOTE).read_text()
    assert f"the {snapshot.total_tracks_played:,} plays with `counts`" in note
    assert f"{snapshot.total_ms_played / 3_600_000:,.1f} hours" in note


def test_the_note_describes_nothing_that_is_not_there(store: Store, tmp_path: Path) -> None:
    ann = store.users.connect({"spotify_id": "ann", "display_name": "Ann"}, authorized_at=NOW, simulated=False)
    exported(store, ann, tmp_path / "out")
    note = (tmp_path / "out" / NOTE).read_text()
    assert "There are no plays" in note
    for absent in ("listening_history", "daily_rollups", "ms_played", "spotify_tokens"):
        assert absent not in note
