"""Dagster's launcher that makes a Job of Kubernetes of each run, adapted; for a deployment's ``dagster.yaml``.

A run that a command executes, like `echostats import`, has no Job. With the stock launcher, Dagster fails such a run at
its next look. This one leaves it alone: if its process dies, the sensor `dead_runs` closes it.

The class relies on internals of Dagster 1.13 (hence the pinned minor version), and uses the stock code for everything
else. It needs the extra ``kubernetes``.
"""

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_k8s import K8sRunLauncher

from echostats_pipeline.orchestration.tags import process_of


class PatientK8sRunLauncher(K8sRunLauncher):
    """`K8sRunLauncher` beside which commands can execute runs."""

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the worker of a run works on it."""
        if process_of(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING, "A command executes the run.")
        found: CheckRunHealthResult = super().check_run_worker_health(run)
        return found
