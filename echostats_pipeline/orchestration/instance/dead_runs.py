"""Closes the job records of dead runs. Callers: a sensor, the next command, or the next start of Dagster.

A run that ends by an exception closes its own jobs. If a run's worker dies, Dagster reports that, and a sensor closes
the jobs. Three kinds of runs are left for this module:

- Runs that Dagster knows to have ended while no sensor was running.
- Runs whose watcher died with them, as when the machine went down. Dagster believes that they still run. None can have
  outlived the Dagster that `echostats up` starts again; elsewhere their jobs give no sign of life any more.
- Runs of the command line, whose process Dagster does not watch. They carry the process id as a tag.

Several instances may share a database, and none knows the runs of the others. So a job of a run that the instance does
not know is closed only if the job is the instance's own, and only after it has been silent.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg

from echostats_pipeline.local.processes import process_exists
from echostats_pipeline.orchestration.instance.identity import instance_id
from echostats_pipeline.orchestration.tags import PROCESS_TAG, process_of
from echostats_pipeline.storage.store import Store

ABANDONED_AFTER = timedelta(days=1)
"""Twice as long as the longest run."""
EXECUTING = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)


def process_tag() -> dict[str, str]:
    """The tag of a run that executes in this process: the host with its process ids, and the process id."""
    return {PROCESS_TAG: f"{this_host()}:{os.getpid()}"}


def this_host() -> str:
    """The name of this host, and of its namespace of process ids: containers may share a name, but not the ids."""
    namespace = ""
    with suppress(OSError):  # Linux only
        namespace = Path("/proc/self/ns/pid").readlink().name
    return f"{socket.gethostname()}/{namespace}" if namespace else socket.gethostname()


def close_dead_runs(instance: dg.DagsterInstance, store: Store, now: datetime) -> list[str]:
    """Fail the jobs of runs that have ended or whose process is gone. Return the ids of those runs."""
    dead = []
    for run_id, run, reason in dead_runs_of(instance, store):
        if run is not None and not run.is_finished:
            instance.report_run_failed(run, reason)
        store.close_run(run_id, now, reason)
        dead.append(run_id)
    return dead


def dead_runs_of(instance: dg.DagsterInstance, store: Store) -> Iterator[tuple[str, dg.DagsterRun | None, str]]:
    """Runs with an open job that are dead for certain: their id, the run if the instance knows it, and the reason.

    A job of an earlier version names no instance. Any instance may close it after it has been silent. After a day of
    silence, any instance may close any job: its own has been lost with its storage, or it runs no more.
    """
    own, silent = {instance_id(instance), ""}, store.jobs.silent_runs()
    abandoned = store.jobs.silent_runs(ABANDONED_AFTER) if silent else set()
    for run_id, owner in store.jobs.owners().items():
        run = instance.get_run_by_id(run_id)
        if run is None:
            if (owner in own and run_id in silent) or run_id in abandoned:
                yield (
                    run_id,
                    None,
                    "Dagster does not know the run any more, and it has given no sign of life for minutes",
                )
        elif run.is_finished:
            yield run_id, run, f"The run ended as {run.status.value} without closing its job"
        elif _has_ended(process_of(run)):
            yield run_id, run, "The process that executed the run is gone"
        elif run_id in silent:
            reason = "The run has given no sign of life for minutes: its process was killed, or the machine went down"
            yield run_id, run, reason


def end_interrupted_runs(instance: dg.DagsterInstance) -> list[str]:
    """End the runs that Dagster's last processes were executing, before new processes start. Return their ids.

    The next sync of the same user would otherwise wait until the dead run has been silent for minutes. The sensors for
    failed and for canceled runs close their jobs. The instance must be one that only this machine uses.
    """
    reason = "Dagster ended while it executed the run: it was killed or stopped, or the machine went down"
    interrupted = []
    for run in instance.get_runs(dg.RunsFilter(statuses=EXECUTING)):
        process = process_of(run)
        if process and not _has_ended(process):
            continue
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, reason)
        else:
            instance.report_run_failed(run, reason)
        interrupted.append(run.run_id)
    return interrupted


def _has_ended(process: str) -> bool:
    """Whether a process of this machine has ended. False for a process of another machine, which cannot be seen."""
    host, _, process_id = process.rpartition(":")
    return host == this_host() and os.name == "posix" and not process_exists(int(process_id))
