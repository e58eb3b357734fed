"""Error messages of commands: what, where and what next, in one line; and no data is lost."""

import json
import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from echostats_pipeline import __version__
from echostats_pipeline.local.mongod import EmbeddedServer
from echostats_pipeline.simulator.exports import write_basic_export, write_extended_export
from echostats_pipeline_tests.cli.conftest import Echostats, refused
from echostats_pipeline_tests.conftest import NOW, Installation, documents

pytestmark = pytest.mark.dagster

PASSWORD = "s3cret-canary"
ROW = {
    "ts": "2025-06-01T10:00:00Z",
    "ms_played": 100_000,
    "spotify_track_uri": "spotify:track:4uLU6hMCjMI75M1A2tKUQC",
    "master_metadata_track_name": "Name",
    "master_metadata_album_artist_name": "will.i.am",
    "master_metadata_album_album_name": "$",
}


@pytest.fixture
def user(installation: Installation) -> Any:
    return installation.connect()


@pytest.fixture
def dead_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    """A path where no folder can be made, not even by root: a file is in its place."""
    path = tmp_path / "file"
    path.write_text("")
    return path / "home"


def everything(installation: Installation) -> dict[str, Any]:
    db = installation.store.db
    return {name: documents(db, name, without=()) for name in db.list_collection_names()}


def test_an_import_brings_plays_rollups_and_snapshots_and_again_nothing(
    installation: Installation, user: Any, echostats: Echostats, tmp_path: Path
) -> None:
    path = tmp_path / "endsong_0.json"
    path.write_text(json.dumps([ROW, {**ROW, "ts": "never"}]))
    first = echostats("import", str(path), "--user", user.display_name)
    assert first.returncode == 0, first.stderr
    db = installation.store.db
    assert db["listening_history"].count_documents({}) == 1
    (rollup,) = documents(db, "daily_rollups")
    assert rollup["artist_plays"] == {"will.i.am": 1}
    assert db["analytics_snapshots"].count_documents({}) == 5
    assert {job["status"] for job in documents(db, "sync_jobs")} == {"completed"}
    before = documents(db, "listening_history", without=())
    again = echostats("import", "endsong_0.json", "--user", user.partition_key)
    assert again.returncode == 0
    assert documents(db, "listening_history", without=()) == before


def test_an_unknown_user_is_told_who_there_is(
    installation: Installation, user: Any, echostats: Echostats, tmp_path: Path
) -> None:
    (tmp_path / "endsong_0.json").write_text(json.dumps([ROW]))
    said = refused(echostats("import", "endsong_0.json", "--user", "nobody"))
    assert "'nobody'" in said
    assert user.partition_key in said
    assert documents(installation.store.db, "listening_history") == []


def test_several_exports_are_imported_at_once_and_a_broken_one_fails_the_command_alone(
    installation: Installation, user: Any, echostats: Echostats, tmp_path: Path
) -> None:
    world, person = installation.simulator.world, installation.person(user)
    write_basic_export(world, person, NOW.replace(day=1), NOW, tmp_path / "my_spotify_data.zip")
    (tmp_path / "endsong_0.json").write_text(json.dumps([ROW, ROW])[:-20])
    paths = [str(tmp_path / name) for name in ("my_spotify_data.zip", "endsong_0.json")]
    ended = echostats("import", *paths, "--user", user.partition_key)
    assert ended.returncode == 1
    assert "1 of " in ended.stderr
    assert "endsong_0.json" in ended.stderr
    plays = documents(installation.store.db, "listening_history")
    assert {play["import_key"].partition("|")[0] == "basic" for play in plays} == {True, False}
    assert documents(installation.store.db, "daily_rollups")


@pytest.mark.parametrize("wrong", ["missing", "text", "playlists", "empty folder", "truncated zip", "cut json"])
def test_a_file_that_is_no_export_is_named_and_nothing_is_stored(
    installation: Installation, user: Any, echostats: Echostats, tmp_path: Path, wrong: str
) -> None:
    world, person = installation.simulator.world, installation.person(user)
    path = tmp_path / {"text": "notes.txt", "empty folder": "folder", "cut json": "endsong_0.json"}.get(wrong, "my.zip")
    match wrong:
        case "text":
            path.write_text("hello")
        case "playlists":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("MyData/Playlist1.json", "{}")
        case "empty folder":
            path.mkdir()
        case "truncated zip":
            write_extended_export(world, person, NOW.replace(day=1), NOW, path)
            path.write_bytes(path.read_bytes()[:-100])
        case "cut json":
            path.write_text(json.dumps([ROW])[:-10])
    assert path.name in refused(echostats("import", str(path), "--user", user.partition_key))
    assert documents(installation.store.db, "listening_history") == []


@pytest.mark.parametrize("command", [("indexes",), ("import", "endsong_0.json", "--user", "x"), ("demo",), ("up",)])
def test_a_database_that_does_not_answer_is_an_error_without_its_password(
    echostats: Echostats, tmp_path: Path, dead_port: int, command: tuple[str, ...]
) -> None:
    (tmp_path / "endsong_0.json").write_text(json.dumps([ROW]))
    uri = f"mongodb://me:{PASSWORD}@127.0.0.1:{dead_port}/"
    ended = echostats(*command, MONGO_URI=uri)
    assert "MONGO_URI" in refused(ended)
    assert PASSWORD not in ended.stdout + ended.stderr


def test_a_wrong_password_is_an_error_that_does_not_repeat_it(
    echostats: Echostats, mongo_server: EmbeddedServer
) -> None:
    uri = f"mongodb://echostats:{PASSWORD}@127.0.0.1:{mongo_server.port}/?authSource=admin"
    ended = echostats("indexes", MONGO_URI=uri)
    assert "password" in refused(ended)
    assert PASSWORD not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("ENCRYPTION_KEY", "0123canary"), ("ENCRYPTION_KEY", ""), ("MONGO_URI", "localhost"), ("MONGO_DB", "a b")],
)
def test_a_wrong_setting_is_named(echostats: Echostats, name: str, value: str) -> None:
    ended = echostats("indexes", **{name: value})
    assert name in refused(ended)
    assert "canary" not in ended.stderr


@pytest.mark.parametrize("command", ["up", "demo", "indexes"])
def test_a_state_folder_that_cannot_be_written_is_named(echostats: Echostats, unwritable: Path, command: str) -> None:
    said = refused(echostats(command, ECHOSTATS_HOME=str(unwritable), MONGO_URI="", ENCRYPTION_KEY=""))
    assert str(unwritable) in said
    assert "ECHOSTATS_HOME" in said


def test_the_demo_does_not_mix_with_real_users(installation: Installation, echostats: Echostats) -> None:
    installation.store.users.connect({"spotify_id": "real"}, authorized_at=NOW, simulated=False)
    before = everything(installation)
    assert "MONGO_DB" in refused(echostats("demo"))
    assert everything(installation) == before


def test_indexes_are_made_and_repaired(installation: Installation, echostats: Echostats) -> None:
    assert echostats("indexes").returncode == 0
    collection = installation.store.db["api_logs"]
    collection.insert_one({"_id": 1, "timestamp": NOW})
    collection.drop_index("expire_after_30_days")
    collection.create_index("timestamp", expireAfterSeconds=2**31 - 1)
    assert "echostats indexes --repair" in refused(echostats("indexes"))
    repaired = echostats("indexes", "--repair")
    assert repaired.returncode == 0
    assert "api_logs.timestamp_1" in repaired.stdout
    assert collection.index_information()["expire_after_30_days"]["expireAfterSeconds"] == 30 * 24 * 3600
    assert collection.find_one() == {"_id": 1, "timestamp": NOW}
    assert "Nothing" in echostats("indexes", "--repair").stdout


def test_version_and_help(echostats: Echostats) -> None:
    assert __version__ in echostats("--version").stdout
    assert "demo" in echostats("--help").stdout
    assert echostats("nonsense").returncode == 2


def test_a_command_needs_no_more_than_the_settings(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("echostats"), "--help"]
    ended = subprocess.run(command, env={"PATH": os.environ["PATH"]}, cwd=tmp_path, capture_output=True, check=False)
    assert ended.returncode == 0
    assert list(tmp_path.iterdir()) == []
