"""Exports dropped into the import folder: the sensor's ticks, and the runs it requests."""

import json
import os
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.automation.import_folder import Cursor, dropped, make_user_folders
from echostats_pipeline.orchestration.automation.sensors import import_folder
from echostats_pipeline_tests.conftest import Pipeline, documents

ROW = {
    "ts": "2025-05-01T10:00:00Z",
    "ms_played": 100_000,
    "spotify_track_uri": "spotify:track:4uLU6hMCjMI75M1A2tKUQC",
    "master_metadata_track_name": "Name",
}


class Sensor:
    """The sensor with its cursor, tick by tick."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.cursor: str | None = None

    def tick(self) -> list[dg.RunRequest]:
        definitions = build_definitions(self.pipeline.resources())
        with dg.build_sensor_context(
            instance=self.pipeline.instance,
            resources=self.pipeline.resources(),
            definitions=definitions,
            cursor=self.cursor,
        ) as context:
            result: Any = import_folder(context)
        self.cursor = result.cursor
        return list(result.run_requests or [])


@pytest.fixture
def user(pipeline: Pipeline) -> User:
    return pipeline.connect()


@pytest.fixture
def folder(pipeline: Pipeline, user: User) -> Path:
    """The user's import folder, as the first tick makes it."""
    Sensor(pipeline).tick()
    return pipeline.installation.settings.imports_dir / user.partition_key


def test_an_export_is_asked_for_once_it_is_no_longer_written_and_only_once(
    pipeline: Pipeline, user: User, folder: Path
) -> None:
    sensor = Sensor(pipeline)
    path = folder / "endsong_0.json"
    path.write_text("[")
    assert sensor.tick() == []
    path.write_text(json.dumps([ROW]))
    assert sensor.tick() == []
    (request,) = sensor.tick()
    assert request.partition_key == user.partition_key
    assert sensor.tick() == []
    path.write_text(json.dumps([ROW, ROW]))
    assert sensor.tick() == []
    (again,) = sensor.tick()
    assert again.run_key != request.run_key


def test_the_run_it_asks_for_imports_the_export(pipeline: Pipeline, user: User, folder: Path) -> None:
    sensor = Sensor(pipeline)
    (folder / "endsong_0.json").write_text(json.dumps([ROW]))
    sensor.tick()
    (request,) = sensor.tick()
    result = pipeline.run("history_import", partition_key=request.partition_key, run_config=request.run_config)
    assert result.success
    (play,) = documents(pipeline.store.db, "listening_history")
    assert (play["user_id"], play["ms_played"]) == (user.user_id, 100_000)


def test_a_restored_database_is_given_the_export_again(pipeline: Pipeline, folder: Path) -> None:
    sensor = Sensor(pipeline)
    (folder / "endsong_0.json").write_text(json.dumps([ROW]))
    assert sensor.tick() == []
    (request,) = sensor.tick()
    assert sensor.tick() == []
    pipeline.store.db["imports"].drop()  # as every restore does
    pipeline.store.db.create_collection("imports")
    (again,) = sensor.tick()
    assert again.run_config == request.run_config
    assert again.run_key != request.run_key, "Dagster's history knows the first one"
    assert sensor.tick() == []


def test_a_cursor_forgets_requests_for_another_database_only() -> None:
    asked = Cursor({"a": "1"}, {"a": "1"}, "old")
    assert asked.at("new") == Cursor({"a": "1"}, {}, "new")
    assert asked.at("old") == asked
    assert asked.at("") == asked, "an unknown one may be the same"
    assert Cursor(asked.seen, asked.asked).at("new") == Cursor(asked.seen, asked.asked, "new"), "of an earlier version"
    assert Cursor.read(asked.after(asked.seen, ()).write()) == asked


def test_hidden_and_unfinished_files_are_left_alone_and_folders_are_exports(tmp_path: Path) -> None:
    for name in (".DS_Store", "my_spotify_data.zip.crdownload", "half.part", "my_spotify_data.zip"):
        (tmp_path / name).write_text("x")
    (tmp_path / "MyData").mkdir()
    (tmp_path / "MyData" / "endsong_0.json").write_text("[]")
    assert [Path(path).name for path in dropped(tmp_path)] == ["MyData", "my_spotify_data.zip"]
    before = dropped(tmp_path)
    os.utime(tmp_path / "MyData" / "endsong_0.json", (1, 1))
    assert dropped(tmp_path) != before
    assert dropped(tmp_path / "none") == {}


def test_what_cannot_be_looked_at_holds_up_nothing_but_itself(tmp_path: Path) -> None:
    folder = tmp_path / "ann"
    folder.mkdir()
    (folder / "nowhere.zip").symlink_to(tmp_path / "gone")
    (folder / "looping.zip").symlink_to(folder / "looping.zip")
    (folder / "export").mkdir()
    (folder / "export" / "looping").symlink_to(folder / "export" / "looping")
    (folder / "export" / "endsong_0.json").write_text("[]")
    (tmp_path / "ben").symlink_to(tmp_path / "gone" / "further")
    (tmp_path / "cem").write_text("a file")
    make_user_folders(tmp_path, ["ben", "cem", "dan"])
    assert list(dropped(folder)) == [str(folder / "export")]
    assert [dropped(tmp_path / name) for name in ("ben", "cem", "dan")] == [{}, {}, {}]
    assert (tmp_path / "dan").is_dir()


def test_the_hidden_log_of_a_player_is_seen(tmp_path: Path) -> None:
    for name in (".scrobbler.log", "._.scrobbler.log", ".DS_Store"):
        (tmp_path / name).touch()
    assert [Path(path).name for path in dropped(tmp_path)] == [".scrobbler.log"]


@given(looks=st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from("123"), max_size=3), max_size=12))
def test_every_version_that_stays_is_asked_for_once_in_a_row(looks: list[dict[str, str]]) -> None:
    cursor = Cursor.read(None)
    asked: dict[str, str] = {}
    previous: dict[str, str] = {}
    for found in looks:
        complete = cursor.complete(found)
        asked = {path: version for path, version in asked.items() if path in found}
        expected = [path for path in found if previous.get(path) == found[path] != asked.get(path)]
        assert complete == expected
        asked |= {path: found[path] for path in complete}
        cursor = Cursor.read(cursor.after(found, complete).write())
        previous = found
