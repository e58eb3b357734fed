"""Runs of commands beside the launcher for Kubernetes, which has no Job for them."""

from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus

from echostats_pipeline.orchestration.instance.dead_runs import process_tag

launchers = pytest.importorskip("dagster_k8s.launcher")


@pytest.mark.parametrize(
    ("run", "status"),
    [
        (dg.DagsterRun("history_import", tags=process_tag()), WorkerStatus.RUNNING),
        (dg.DagsterRun("history_import"), WorkerStatus.UNKNOWN),
        (
            dg.DagsterRun("history_import", tags=process_tag(), parent_run_id="1", root_run_id="1"),
            WorkerStatus.UNKNOWN,
        ),
    ],
    ids=["of a command", "without a Job", "that repeats one of a command"],
)
def test_a_run_of_a_command_is_left_alone(
    run: dg.DagsterRun, status: WorkerStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    from echostats_pipeline.orchestration.dagster_patches.k8s_launcher import PatientK8sRunLauncher  # noqa: PLC0415

    launcher = PatientK8sRunLauncher.__new__(PatientK8sRunLauncher)
    nothing = SimpleNamespace(get_job_status=lambda **_: None)
    monkeypatch.setattr(PatientK8sRunLauncher, "_api_client", nothing, raising=False)
    monkeypatch.setattr(
        PatientK8sRunLauncher, "get_container_context_for_run", lambda *_: SimpleNamespace(namespace="n")
    )
    monkeypatch.setattr(PatientK8sRunLauncher, "_get_resume_attempt_number", lambda *_: None)
    assert launcher.check_run_worker_health(run).status == status
