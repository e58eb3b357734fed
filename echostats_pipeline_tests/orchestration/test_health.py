"""Dagster's half of the doctor: daemon, sensors, runs."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat

from echostats_pipeline.model.base import utc_now
from echostats_pipeline.orchestration import health as instance_health
from echostats_pipeline.orchestration.instance.identity import instance_id
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.sync_jobs import JobKey

URL = "http://127.0.0.1:3000"


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance on disk, because an ephemeral instance has no daemon."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def beat(instance: dg.DagsterInstance, at: datetime) -> None:
    for kind in instance.get_required_daemon_types():
        instance.add_daemon_heartbeat(DaemonHeartbeat(at.timestamp(), kind, "id"))


def levels(findings: Any) -> list[str]:
    return [finding.level for finding in findings]


def test_a_daemon_is_expected_if_up_runs_or_one_ever_ran(stored: dg.DagsterInstance) -> None:
    now = utc_now()
    (never,) = instance_health.daemon(stored, None, now)
    assert (never.level, never.fix) == ("warning", "echostats up")
    assert levels(instance_health.daemon(stored, URL, now)) == ["problem"]
    beat(stored, now)
    assert levels(instance_health.daemon(stored, URL, now)) == ["ok"]
    beat(stored, now - timedelta(hours=3))
    assert levels(instance_health.daemon(stored, None, now)) == ["warning"]
    (silent,) = instance_health.daemon(stored, URL, now)
    assert (silent.level, "3:00:00 ago" in silent.text) == ("problem", True)


def test_a_sensor_that_was_switched_off_is_named(stored: dg.DagsterInstance) -> None:
    assert levels(instance_health.switched_off(stored, ["sync_ann_8f9012"])) == ["ok"]
    target = LoadableTargetOrigin(module_name="echostats_pipeline.definitions")
    repository = RemoteRepositoryOrigin(InProcessCodeLocationOrigin(target, location_name="l"), "r")
    for name in ("sync_ann_8f9012", "sync_gone_123456"):
        origin = RemoteInstigatorOrigin(repository, name)
        stored.add_instigator_state(InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.STOPPED))
    (off,) = instance_health.switched_off(stored, ["sync_ann_8f9012"])
    assert (off.level, "sync_ann_8f9012" in off.text, "gone" in off.text) == ("warning", True, False)


def add_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, **tags: str) -> str:
    return instance.add_run(dg.DagsterRun(job_name="user_sync", status=status, tags=tags)).run_id


def test_runs_that_do_not_end_or_do_not_begin_are_named(instance: dg.DagsterInstance, store: Store) -> None:
    now = utc_now()
    started = add_run(instance, dg.DagsterRunStatus.STARTED, **{"dagster/max_runtime": "7200"})
    queued = add_run(instance, dg.DagsterRunStatus.NOT_STARTED)
    assert levels(instance_health.runs(instance, store, now)) == ["ok"]
    (waits, _) = instance_health.runs(instance, store, now + timedelta(hours=1))
    assert (waits.level, queued in waits.text) == ("problem", True)
    later = list(instance_health.runs(instance, store, now + timedelta(hours=3)))
    assert {started, queued} == {found.text.split()[1] for found in later if found.level == "problem"}


def test_failed_runs_and_jobs_left_open_are_counted(instance: dg.DagsterInstance, store: Store) -> None:
    now, failed = utc_now(), add_run(instance, dg.DagsterRunStatus.FAILURE)
    store.jobs.open(JobKey("u", failed), "periodic", now)
    store.jobs.open(JobKey("u", "unknown"), "periodic", now)
    runs, jobs = instance_health.runs(instance, store, now)
    assert (runs.level, runs.text.startswith("1 of 1 runs")) == ("warning", True)
    assert (jobs.level, jobs.text.startswith("1 runs")) == ("warning", True)
    store.jobs.close_run(failed, now, "")
    store.db["sync_jobs"].update_many({}, {"$set": {"heartbeat_at": now - timedelta(days=1)}})
    (_, lost) = instance_health.runs(instance, store, now)
    assert (lost.level, lost.text.startswith("1 runs")) == ("warning", True)
    assert levels(instance_health.runs(instance, None, now)) == ["warning"]


def test_a_database_that_another_instance_serves_is_a_finding(instance: dg.DagsterInstance, store: Store) -> None:
    now = utc_now()
    assert levels(instance_health.other_instances(instance, store, now)) == []
    store.jobs.open(JobKey("u", "elsewhere"), "periodic", now, "another instance")
    (found,) = instance_health.other_instances(instance, store, now)
    assert (found.level, "DAGSTER_HOME" in found.fix) == ("problem", True)
    store.jobs.open(JobKey("u", "here"), "periodic", now, instance_id(instance))
    (found,) = instance_health.other_instances(instance, store, now)
    assert found.level == "warning"


def test_a_shared_instance_whose_daemon_is_silent_is_a_problem(stored: dg.DagsterInstance) -> None:
    now = utc_now()
    for last in (None, now - timedelta(hours=3), now - timedelta(minutes=6)):
        if last is not None:
            beat(stored, last)
        (found,) = instance_health.daemon(stored, None, now, shared=True)
        assert (found.level, "dagster-daemon" in found.fix) == ("problem", True)
    beat(stored, now)
    assert levels(instance_health.daemon(stored, None, now, shared=True)) == ["ok"]
    ahead = now + timedelta(hours=1)
    beat(stored, ahead)
    assert levels(instance_health.daemon(stored, None, ahead, shared=True)) == ["ok"], "whatever this clock says"
    beat(stored, now - timedelta(hours=1))
    assert levels(instance_health.daemon(stored, None, now - timedelta(hours=1), shared=True)) == ["ok"]


def test_only_sensors_that_exist_are_counted(stored: dg.DagsterInstance) -> None:
    (each,) = instance_health.switched_off(stored, ["sync_ann", "sync_bob"])
    (one,) = instance_health.switched_off(stored, ["sync_everybody"])
    assert int(each.text.split()[1]) == int(one.text.split()[1]) + 1
