"""Processes on machines that share no folder: what one of them has reaches the others through the database."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from echostats_pipeline.accounts.connecting import open_feature_sources
from echostats_pipeline.accounts.removal import remove_user
from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.orchestration.automation.sensors import incomplete_catalog, sync_sensors
from echostats_pipeline.orchestration.health import import_folder as import_folder_health
from echostats_pipeline.orchestration.instance.user_cleanup import LONGEST_RUN_S, remove_files_of_removed
from echostats_pipeline.settings import load_settings
from echostats_pipeline_tests.conftest import Pipeline, documents
from echostats_pipeline_tests.orchestration.automation.test_import_folder import ROW, Sensor
from echostats_pipeline_tests.orchestration.automation.test_sensors import tick

Machine = Callable[..., Pipeline]


@pytest.fixture
def machine(pipeline: Pipeline, tmp_path: Path) -> Machine:
    """The pipeline as a process sees it on a machine of that name, which has a state folder of its own."""

    def on(name: str, **changes: str) -> Pipeline:
        environ = {
            **pipeline.installation.environ,
            "ECHOSTATS_EMBEDDED_MONGO": "",
            "ECHOSTATS_HOME": str(tmp_path / name),
        }
        environ |= {"SIMULATOR_URL": pipeline.installation.simulator.base_url, **changes}
        settings = load_settings(environ, env_file=None)
        return Pipeline(replace(pipeline.installation, environ=environ, settings=settings), pipeline.instance)

    return on


def test_an_export_dropped_on_one_machine_is_imported_on_another(machine: Machine, tmp_path: Path) -> None:
    code, worker = machine("code"), machine("worker")
    user = code.connect()
    sensor = Sensor(code)
    sensor.tick()
    folder = code.installation.settings.imports_dir / user.partition_key
    (folder / "export" / "deep").mkdir(parents=True)
    (folder / "export" / "deep" / "endsong_0.json").write_text(json.dumps([ROW]))
    (folder / "endsong_1.json").write_text(json.dumps([{**ROW, "ts": "2025-05-02T10:00:00Z"}]))
    (found,) = import_folder_health(code.installation.settings.imports_dir)
    assert found.level == "ok"
    assert sensor.tick() == []
    (request,) = sensor.tick()
    (folder / "endsong_1.json").unlink()  # what is requested is stored
    job = build_definitions(worker.resources()).resolve_job_def("history_import")
    ended = job.execute_in_process(
        instance=worker.instance, partition_key=user.partition_key, run_config=request.run_config
    )
    assert ended.success
    assert len(documents(code.store.db, "listening_history")) == 2
    assert {file["file_name"] for file in documents(code.store.db, "imports")} >= {"endsong_1.json"}
    assert documents(code.store.db, "stored.files") == documents(code.store.db, "stored.chunks") == []
    assert not list((tmp_path / "worker").rglob("*.json"))
    again = job.execute_in_process(
        instance=worker.instance,
        partition_key=user.partition_key,
        run_config=request.run_config,
        raise_on_error=False,
    )
    assert not again.success, "what is gone is an error and no silence"


def test_files_in_a_folder_that_no_process_watches_are_a_finding(machine: Machine) -> None:
    imports = machine("laptop").installation.settings.imports_dir
    assert list(import_folder_health(imports)) == []
    (imports / "ann-5e5e5e").mkdir(parents=True)
    (imports / "ann-5e5e5e" / "my_spotify_data.zip").write_bytes(b"zip")
    (found,) = import_folder_health(imports)
    assert (found.level, "echostats import" in found.fix) == ("warning", True)


def test_a_report_is_kept_in_the_database_and_a_removal_leaves_it_on_no_machine(
    machine: Machine, tmp_path: Path
) -> None:
    worker, laptop = machine("worker"), machine("laptop")
    user = worker.connect()
    for job in ("user_sync", "snapshot_build"):
        tags = {"dagster/asset_partition_range_start": f"2025-06-15|{user.partition_key}"}
        tags["dagster/asset_partition_range_end"] = f"2025-06-15|{user.partition_key}"
        assert worker.run(
            job, **({"tags": tags} if job == "user_sync" else {"partition_key": user.partition_key})
        ).success
    config = {"ops": {"listening_report": {"config": {"pictures": False}}}}
    assert worker.run("report_build", partition_key=user.partition_key, run_config=config).success
    kept = [f"{user.partition_key}{end}" for end in (".html", "-summary.json", "-badge.svg", "-feed.xml")]
    assert {report["filename"] for report in documents(worker.store.db, "stored.files")} == set(kept)
    assert not [path for path in (tmp_path / "worker").rglob("*") if path.name in kept]
    page = laptop.installation.settings.home / "reports" / f"{user.partition_key}-2024.html"
    page.parent.mkdir(parents=True)
    page.write_text("made by a command")
    for recap in ("recap-2026.html", "recap-2026-11.html", "recap-2026-11-3-weeks-1080x1920.png"):
        page.with_name(f"{user.partition_key}-{recap}").write_text("made by a command")
    page.with_name(kept[1]).write_text("made by a command")
    export = laptop.installation.settings.imports_dir / user.partition_key / "my_spotify_data.zip"
    export.parent.mkdir(parents=True)
    export.write_bytes(b"zip")
    other = page.with_name("bob-123456.html")
    other.write_text("of another user")
    left = worker.installation.settings.home / "work" / user.partition_key / "import" / "my_spotify_data.zip"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"of a run that was killed")
    bob = worker.connect(1)
    remove_user(worker.store, user, utc_now() + timedelta(minutes=1))
    assert documents(worker.store.db, "stored.files") == documents(worker.store.db, "stored.chunks") == []
    assert remove_files_of_removed(laptop.installation.settings, laptop.store) == [user.partition_key]
    assert [path.name for path in page.parent.iterdir()] == [other.name]
    assert not export.parent.exists()
    assert worker.run("report_build", partition_key=bob.partition_key, run_config=config).success
    assert user.partition_key not in "".join(map(str, (tmp_path / "worker").rglob("*")))


def test_what_a_killed_run_was_working_on_is_removed_once_no_run_can_go_on(machine: Machine) -> None:
    worker = machine("worker")
    settings = worker.installation.settings
    old, new = (settings.home / "work" / worker.connect().partition_key / name for name in ("import", "report-1"))
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "endsong_0.json").write_text("[]")
    long_ago = time.time() - LONGEST_RUN_S - 1
    os.utime(old, (long_ago, long_ago))
    assert remove_files_of_removed(settings, worker.store) == []
    assert (old.exists(), new.exists()) == (False, True)


def test_a_feature_file_of_one_machine_serves_all(machine: Machine, tmp_path: Path) -> None:
    path = tmp_path / "features.csv"
    names = "danceability,energy,key,loudness,mode,speechiness,acousticness,instrumentalness,liveness,valence,tempo"
    path.write_text(f"track_id,{names}\n1234567890123456789012,{','.join('1' * 11)}\n")
    code, worker = (machine(name, ECHOSTATS_AUDIO_FEATURES=str(path)) for name in ("code", "worker"))
    user = code.connect()
    tick(code, incomplete_catalog)
    path.unlink()  # the worker's machine has none
    with open_feature_sources(worker.installation.settings, worker.store, user, worker.installation.now) as sources:
        ((_, found),) = sources[str(path)](["1234567890123456789012"])
    assert found is not None
    assert found.energy == 1


def test_users_are_synced_without_a_roster_and_without_a_reload(machine: Machine) -> None:
    code = machine("code")
    (sensor,) = sync_sensors([], code.installation.settings)
    user = code.connect()
    (request,) = tick(code, sensor)
    assert user.partition_key in request.tags["dagster/asset_partition_range_end"]
    assert isinstance(request, dg.RunRequest)
