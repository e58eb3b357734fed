"""Dagster's launcher that gives runs to Celery workers on several hosts, adapted; for a deployment's ``dagster.yaml``.

- A run that a person ends in the UI is canceled. With the stock launcher it fails, which counts as an incident.
- A run whose worker's host has died is failed within a minute. To the stock launcher it goes on for ever: Celery keeps
  the last state that the worker has reported.
- A run that a command executes, like `echostats import`, is left alone. The stock launcher knows no task of it, so
  Dagster fails it at the next look.

The class relies on internals of Dagster 1.13 (hence the pinned minor version), and uses the stock code for everything
else. It needs the extra ``celery``.
"""

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

PING_S, PINGS = 3.0, 3
"""Seconds that a worker has to answer, and how often it is asked. It answers while its processes are busy."""


class WatchingCeleryRunLauncher(CeleryRunLauncher):
    """`CeleryRunLauncher` that cancels runs, and that looks whether the worker of a run is alive."""

    def terminate(self, run_id: str) -> bool:
        """Ask the worker to end a run. Return False if there is nothing to end."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or DAGSTER_CELERY_TASK_ID_TAG not in run.tags:
            return False
        self._instance.report_run_canceling(run)  # the worker looks at this to tell a wish from an accident
        return bool(super().terminate(run_id))

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the worker of a run works on it; failed if the worker does not answer any more."""
        if DAGSTER_CELERY_TASK_ID_TAG not in run.tags:  # a command executes it, or the worker was faster than the tag
            return CheckRunHealthResult(WorkerStatus.RUNNING, "No task of Celery is known for the run.")
        found: CheckRunHealthResult = super().check_run_worker_health(run)
        if found.status != WorkerStatus.RUNNING:
            return found
        began = self.celery.AsyncResult(run.tags[DAGSTER_CELERY_TASK_ID_TAG]).info
        worker = began.get("hostname") if isinstance(began, dict) else None
        if worker is None or any(self.celery.control.ping([worker], timeout=PING_S) for _ in range(PINGS)):
            return found
        again: CheckRunHealthResult = super().check_run_worker_health(run)  # it may have ended meanwhile
        if again.status != WorkerStatus.RUNNING:
            return again
        return CheckRunHealthResult(WorkerStatus.FAILED, f"The Celery worker {worker} does not answer any more.")
