"""Closes the job records of dead runs. Callers: a sensor, the next command, or the next start of Dagster.

A run that ends by an exception closes its own jobs. If a run's worker dies, Dagster reports that, and a sensor closes
the jobs. Three kinds of runs are left for this module:

- Runs that Dagster knows to have ended while no sensor was running.
- Runs whose watcher died with them, as when the machine went down. Dagster believes that they still run. None can have
  outlived the Dagster that `echostats up` starts again; elsewhere their jobs give no sign of life any more.
- Runs of the command line, whose process Dagster does not watch. They carry the process id as a tag.
"""

import os
import socket
from datetime import datetime

import dagster as dg

from echostats_pipeline.local.processes import process_exists
from echostats_pipeline.storage.store import Store

PROCESS_TAG = "echostats/process"
EXECUTING = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)


def process_tag() -> dict[str, str]:
    """The tag of a run that executes in this process: host and process id."""
    return {PROCESS_TAG: f"{socket.gethostname()}:{os.getpid()}"}


def close_dead_runs(instance: dg.DagsterInstance, store: Store, now: datetime) -> list[str]:
    """Fail the jobs of runs that have ended or whose process is gone. Return the ids of those runs."""
    dead = []
    silent = store.jobs.silent_runs()
    for run_id in store.jobs.open_runs():
        run = instance.get_run_by_id(run_id)
        if run is None:
            reason = "Dagster does not know the run any more"
        elif run.is_finished:
            reason = f"The run ended as {run.status.value} without closing its job"
        elif _has_ended(_process_of(run)):
            reason = "The process that executed the run is gone"
            instance.report_run_failed(run, reason)
        elif run_id in silent:
            reason = "The run has given no sign of life for minutes: its process was killed, or the machine went down"
            instance.report_run_failed(run, reason)
        else:
            continue
        store.close_run(run_id, now, reason)
        dead.append(run_id)
    return dead


def end_interrupted_runs(instance: dg.DagsterInstance) -> list[str]:
    """End the runs that Dagster's last processes were executing, before new processes start. Return their ids.

    The next sync of the same user would otherwise wait until the dead run has been silent for minutes. The sensors for
    failed
    and for canceled runs close their jobs.
    """
    reason = "Dagster ended while it executed the run: it was killed or stopped, or the machine went down"
    interrupted = []
    for run in instance.get_runs(dg.RunsFilter(statuses=EXECUTING)):
        process = _process_of(run)
        if process and not _has_ended(process):
            continue
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, reason)
        else:
            instance.report_run_failed(run, reason)
        interrupted.append(run.run_id)
    return interrupted


def _process_of(run: dg.DagsterRun) -> str:
    """The process of the command that executes the run, if any. A run that repeats another has inherited the tag."""
    return "" if run.parent_run_id else run.tags.get(PROCESS_TAG, "")


def _has_ended(process: str) -> bool:
    """Whether a process of this machine has ended. False for a process of another machine, which cannot be seen."""
    host, _, process_id = process.rpartition(":")
    return host == socket.gethostname() and os.name == "posix" and not process_exists(int(process_id))
