"""Closing what dead runs left open, whoever notices first: a sensor, the next command, or the next start of Dagster.

A run that ends by an exception closes its own jobs, and one whose worker dies is reported by Dagster and closed by a
sensor. Left are runs that Dagster knows to have ended while no sensor watched; runs whose watcher died with them, as
when the machine went down, which Dagster takes for running: none can have outlived the Dagster that `echostats up`
starts anew, and elsewhere their jobs give no sign of life any more; and runs of the command line, whose process Dagster
does not watch at all: those carry the process id as a tag.
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
    """The tag of a run that executes in this very process: host and process id."""
    return {PROCESS_TAG: f"{socket.gethostname()}:{os.getpid()}"}


def close_dead_runs(instance: dg.DagsterInstance, store: Store, now: datetime) -> list[str]:
    """Fail the jobs of runs that have ended or whose process is gone; returns the ids of those runs."""
    dead = []
    silent = store.jobs.silent_runs()
    for run_id in store.jobs.open_runs():
        run = instance.get_run_by_id(run_id)
        if run is None:
            reason = "The run is not known to Dagster any more"
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
    """End the runs that Dagster's last processes were executing, before new ones start; returns their ids.

    Whoever waits for them, as the next sync of their user does, need not wait until they are found to be silent. Their
    jobs are closed by the sensors of failed and of canceled runs.
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
    """The process of the command that executes the run, if one does; a run that repeats it has inherited the tag."""
    return "" if run.parent_run_id else run.tags.get(PROCESS_TAG, "")


def _has_ended(process: str) -> bool:
    """Whether a process of this machine has ended; of other machines' nothing is known."""
    host, _, process_id = process.rpartition(":")
    return host == socket.gethostname() and os.name == "posix" and not process_exists(int(process_id))
