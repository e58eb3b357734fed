"""Dagster's launcher that gives runs to Celery workers on several hosts, adapted; for a deployment's ``dagster.yaml``.

- A run that a person ends in the UI is canceled. With the stock launcher it fails, which counts as an incident.
- A run whose worker's host has died is failed within a minute. To the stock launcher it goes on for ever: Celery keeps
  the last state that the worker has reported.
- A run goes on if Redis has lost its results: its worker is asked.
- A run that a command executes, like `echostats import`, is left alone. The stock launcher knows no task of it, so
  Dagster fails it at the next look.

The class relies on internals of Dagster 1.13 (hence the pinned minor version), and uses the stock code for everything
else. It needs the extra ``celery``.
"""

import time
from typing import Any

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

PING_S, PINGS = 3.0, 3
"""Seconds that a worker has to answer, and how often it is asked. It answers while its processes are busy."""
SILENT_S = 20.0
"""Seconds for which a worker that did not answer is not asked again; Dagster looks at all runs each 30 seconds."""


class WatchingCeleryRunLauncher(CeleryRunLauncher):
    """`CeleryRunLauncher` that cancels runs, and that looks whether the worker of a run is alive."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._silent: dict[str, float] = {}

    def terminate(self, run_id: str) -> bool:
        """Ask the worker to end a run. Return False if there is nothing to end."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or self._task_of(run) is None:
            return False
        self._instance.report_run_canceling(run)  # the worker looks at this to tell a wish from an accident
        return bool(super().terminate(run_id))

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the worker of a run works on it; failed if the worker does not answer any more."""
        task = self._task_of(run)
        if task is None:  # a command executes it, or the worker was faster than the tag
            return CheckRunHealthResult(WorkerStatus.RUNNING, "No task of Celery is known for the run.")
        found: CheckRunHealthResult = super().check_run_worker_health(run)
        if found.status == WorkerStatus.UNKNOWN and self._is_at_work(task):
            return CheckRunHealthResult(WorkerStatus.RUNNING, "The results are lost, but a worker has the task.")
        if found.status != WorkerStatus.RUNNING:
            return found
        began = self.celery.AsyncResult(task).info
        worker = began.get("hostname") if isinstance(began, dict) else None
        if worker is None or self._answers_to_ping(worker):
            return found
        again: CheckRunHealthResult = super().check_run_worker_health(run)  # it may have ended meanwhile
        if again.status != WorkerStatus.RUNNING:
            return again
        return CheckRunHealthResult(WorkerStatus.FAILED, f"The Celery worker {worker} does not answer any more.")

    def _task_of(self, run: dg.DagsterRun) -> str | None:
        """The task of a run, once it has one. A run that repeats another begins with the tag of that one's task."""
        task = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task is None or run.parent_run_id is None:
            return task
        parent = self._instance.get_run_by_id(run.parent_run_id)
        return None if parent is not None and parent.tags.get(DAGSTER_CELERY_TASK_ID_TAG) == task else task

    def _is_at_work(self, task: str) -> bool:
        """Whether a worker has taken a task, as it says itself."""
        asked = self.celery.control.inspect(timeout=PING_S)
        return any(task in tasks for _ in range(PINGS) for tasks in (asked.query_task(task) or {}).values())

    def _answers_to_ping(self, worker: str) -> bool:
        """Whether a worker answers. One that does not is asked once for all its runs, since that takes seconds."""
        if time.monotonic() - self._silent.get(worker, -SILENT_S) < SILENT_S:
            return False
        if any(self.celery.control.ping([worker], timeout=PING_S) for _ in range(PINGS)):
            return True
        self._silent[worker] = time.monotonic()
        return False
