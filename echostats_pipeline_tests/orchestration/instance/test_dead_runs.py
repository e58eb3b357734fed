"""Runs whose process is gone: those the next command closes, and those the next start of Dagster ends."""

import os
import subprocess
import sys

import dagster as dg
import pytest

from echostats_pipeline.orchestration.instance.dead_runs import (
    close_dead_runs,
    end_interrupted_runs,
    process_tag,
    this_host,
)
from echostats_pipeline.orchestration.tags import PROCESS_TAG
from echostats_pipeline.storage.sync_jobs import JobKey
from echostats_pipeline_tests.conftest import NOW, Pipeline
from echostats_pipeline_tests.orchestration.automation.test_sensors import start_run

Status = dg.DagsterRunStatus
posix = pytest.mark.skipif(os.name != "posix", reason="processes of Windows cannot be asked for")


@pytest.fixture
def of_dead_process() -> dict[str, str]:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return {PROCESS_TAG: f"{this_host()}:{process.pid}"}


def status(pipeline: Pipeline, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = pipeline.instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Status.STARTING, Status.FAILURE),
        (Status.STARTED, Status.FAILURE),
        (Status.CANCELING, Status.CANCELED),
        (Status.NOT_STARTED, Status.NOT_STARTED),
        (Status.SUCCESS, Status.SUCCESS),
    ],
)
def test_what_the_last_dagster_executed_has_ended_with_it(pipeline: Pipeline, before: Status, after: Status) -> None:
    run = start_run(pipeline, "history_import", before)
    assert end_interrupted_runs(pipeline.instance) == ([run.run_id] if before != after else [])
    assert status(pipeline, run) == after
    assert end_interrupted_runs(pipeline.instance) == []


@posix
def test_a_command_outlives_dagster_and_one_that_was_killed_does_not(
    pipeline: Pipeline, of_dead_process: dict[str, str]
) -> None:
    alive = start_run(pipeline, "rollup_build", Status.STARTED, **process_tag())
    elsewhere = start_run(pipeline, "rollup_build", Status.STARTED, **{PROCESS_TAG: "another-machine:1"})
    dead = start_run(pipeline, "rollup_build", Status.STARTED, **of_dead_process)
    assert end_interrupted_runs(pipeline.instance) == [dead.run_id]
    assert [status(pipeline, run) for run in (alive, elsewhere)] == [Status.STARTED] * 2


@posix
def test_the_job_of_a_killed_command_is_closed_and_that_of_a_run_that_repeats_it_is_not(
    pipeline: Pipeline, of_dead_process: dict[str, str]
) -> None:
    killed = start_run(pipeline, "rollup_build", Status.STARTED, **of_dead_process)
    repeated = pipeline.instance.add_run(
        dg.DagsterRun(
            "rollup_build",
            status=Status.STARTED,
            tags=of_dead_process,
            parent_run_id=killed.run_id,
            root_run_id=killed.run_id,
        )
    )
    user = pipeline.connect()
    for run in (killed, repeated):
        pipeline.store.jobs.open(JobKey("u", run.run_id), "rollup_build", NOW)
    assert close_dead_runs(pipeline.instance, pipeline.store, NOW) == [killed.run_id]
    assert list(pipeline.store.marks.pending("analytics_snapshots")) == [user.user_id], "it may have changed names"
    (job,) = pipeline.store.jobs.of_run(killed.run_id)
    assert (job.status, "process" in job.error_message) == ("failed", True)
    assert (status(pipeline, killed), status(pipeline, repeated)) == (Status.FAILURE, Status.STARTED)
