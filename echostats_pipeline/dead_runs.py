"""Closing what dead runs left open, whoever notices first: a sensor, or the next command.

A run that ends by an exception closes its own jobs, and one whose worker dies is reported by Dagster and closed by a
sensor. Left are runs that Dagster knows to have ended while no sensor watched; runs whose watcher died with them, as
when the machine went down, which Dagster takes for running: their jobs give no sign of life any more; and runs of the
command line, whose process Dagster does not watch at all: those carry the process id as a tag.
"""

import os
import socket
from datetime import datetime

import dagster as dg

from echostats_pipeline.storage.processes import process_exists
from echostats_pipeline.storage.store import Store

PROCESS_TAG = "echostats/process"


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
        elif _process_is_gone(run.tags.get(PROCESS_TAG, "")):
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


def _process_is_gone(tag: str) -> bool:
    """Whether a process of this machine has ended; of other machines' nothing is known."""
    host, _, process_id = tag.rpartition(":")
    return host == socket.gethostname() and os.name == "posix" and not process_exists(int(process_id))
