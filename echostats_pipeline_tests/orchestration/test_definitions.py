"""The definitions as Dagster loads them."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

import echostats_pipeline
from echostats_pipeline.definitions import build_definitions, defs
from echostats_pipeline.orchestration.assets.ingestion import ImportConfig
from echostats_pipeline.orchestration.automation.alerts import ALERT_SENSORS
from echostats_pipeline.orchestration.automation.sensors import SENSORS, fan_out_sensor
from echostats_pipeline.orchestration.instance.sensor_roster import Roster
from echostats_pipeline.orchestration.jobs import JOBS, import_config


def test_everything_can_be_loaded_and_validated() -> None:
    definitions = build_definitions(roster=["ann-123456", "bob-654321"])
    dg.Definitions.validate_loadable(definitions)
    assert len(list(definitions.resolve_all_asset_specs())) == 25
    assert {job.name for job in definitions.jobs or []} == {job.name for job in JOBS}


def test_everything_that_starts_or_makes_up_runs_is_described() -> None:
    definitions = build_definitions(roster=["ann-123456"])
    nameable = [*(definitions.jobs or []), *(definitions.sensors or []), *(definitions.schedules or [])]
    nameable.append(fan_out_sensor(15, 25))
    lacking = [each.name for each in nameable if not (each.description or "").endswith(".")]
    assert len(nameable) > 15
    assert lacking == []


def test_every_user_of_the_roster_has_a_sensor_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECHOSTATS_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    Roster(tmp_path / "home").write(["ann-123456", "bob-654321"])
    loaded = defs()
    assert isinstance(loaded, dg.Definitions)
    sensors = {sensor.name: sensor for sensor in loaded.sensors or []}
    assert set(sensors) == {
        "sync_ann_123456",
        "sync_bob_654321",
        *(sensor.name for sensor in (*SENSORS, *ALERT_SENSORS)),
    }
    assert {sensor.default_status for sensor in sensors.values()} == {dg.DefaultSensorStatus.RUNNING}
    assert sensors["sync_ann_123456"].minimum_interval_seconds == 15 * 60


LOADING = """
import socket, sys, time
import dagster, polars

def refused(*_):
    raise SystemExit("loading used the network")

socket.socket.connect = socket.create_connection = refused
started = time.process_time()
import echostats_pipeline.definitions
loaded = echostats_pipeline.definitions.defs()
names = len(list(loaded.resolve_all_asset_specs()))
print(names, time.process_time() - started, *sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv)))
"""
HEAVY = ("matplotlib", "numpy", "pandas", "pyarrow", "pygal", "PIL", "scipy", "selenium", "uvicorn", "vl_convert")
MOST_CPU_SECONDS = 5
"""Loading takes half a second; a machine may be slow, but ten times as long is a mistake."""


def test_the_code_location_loads_without_any_environment_quickly_and_touches_nothing(tmp_path: Path) -> None:
    environ = {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "ECHOSTATS_HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(Path(echostats_pipeline.__file__).parents[1]),
    }
    ended = subprocess.run(
        [sys.executable, "-c", LOADING, *HEAVY],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assets, seconds, *heavy = ended.stdout.split()
    assert (assets, heavy) == ("25", [])
    assert float(seconds) < MOST_CPU_SECONDS
    assert list(tmp_path.iterdir()) == []


def test_no_resource_shows_a_launchpad_anything_to_configure() -> None:
    job = build_definitions().resolve_job_def("user_sync")
    ours = {name: resource for name, resource in job.resource_defs.items() if name != "io_manager"}
    assert ours.keys() == {"clock", "store", "spotify", "tag_sources", "jobs"}
    assert {name: config_fields(resource) for name, resource in ours.items() if config_fields(resource)} == {}


def test_the_launchpad_of_an_import_opens_with_the_users_folder() -> None:
    job = build_definitions().resolve_job_def("history_import")
    assert job.partitioned_config is not None
    assert job.partitioned_config.get_run_config_for_partition_key("ann-123456") == import_config(["."])
    folder = Path("/home/imports/ann")
    for paths, found in (
        ([], [folder]),
        (["."], [folder]),
        (["a.zip", "/b.zip"], [folder / "a.zip", Path("/b.zip")]),
    ):
        assert ImportConfig(paths=paths).paths_in(folder) == found


def config_fields(resource: dg.ResourceDefinition) -> list[str]:
    """The fields of a resource's configuration, including those of nested resources."""
    config_type = resource.config_field.config_type
    return list(getattr(config_type, "fields", {}))
