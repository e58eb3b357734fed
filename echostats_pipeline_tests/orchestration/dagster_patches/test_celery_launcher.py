"""Runs on a real Celery worker over a real Redis: they succeed, are canceled, and fail when their worker dies."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.launcher import LaunchRunContext, WorkerStatus

from echostats_pipeline_tests.docs.pages import CHECKOUT
from echostats_pipeline_tests.integration.processes import eventually
from echostats_pipeline_tests.orchestration.dagster_patches.celery_job import waiting

pytest.importorskip("dagster_celery")
pytestmark = [
    pytest.mark.kill,
    # The stock launcher makes the same task for each run.
    pytest.mark.filterwarnings("ignore:Task name 'execute_job' is already registered"),
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server to test with"),
]

TASK = "dagster-celery/task_id"
MODULE = "echostats_pipeline.orchestration.dagster_patches.celery_launcher"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """The address of a Redis."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL) as server:
        yield f"redis://127.0.0.1:{port}"
        server.kill()


class Cluster:
    """An instance whose runs a Celery worker executes."""

    def __init__(self, instance: dg.DagsterInstance, folder: Path, addresses: dict[str, str]) -> None:
        self.instance, self.folder, self._addresses = instance, folder, addresses
        self.worker = self.started()

    def started(self) -> "subprocess.Popen[bytes]":
        """A worker."""
        app = "echostats_pipeline.orchestration.dagster_patches.celery_worker"
        environment = {"DAGSTER_HOME": str(self.folder), "PYTHONPATH": str(CHECKOUT), **self._addresses}
        return subprocess.Popen(
            [sys.executable, "-m", "celery", "--app", app, "worker", "--hostname", "one@%h", "--concurrency=1"],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self) -> None:
        """Kill the worker with all its processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.worker.pid, signal.SIGKILL)
        self.worker.wait()

    def launch(self) -> dg.DagsterRun:
        """A run that has begun to wait; it goes on once `release` is called."""
        (self.folder / "begun").unlink(missing_ok=True)
        run = self.give()
        eventually("begin", (self.folder / "begun").exists, self.worker)  # type: ignore[arg-type]
        return self.present(run)

    def give(self) -> dg.DagsterRun:
        """A run that is given to Celery."""
        run = self.create()
        self.instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))
        return run

    def create(self, parent: dg.DagsterRun | None = None) -> dg.DagsterRun:
        """A run that nobody executes; it may repeat another."""
        origin = dg.reconstructable(waiting).get_python_origin()
        begun, until = self.folder / "begun", self.folder / "until"
        until.unlink(missing_ok=True)
        config = {"ops": {"wait": {"config": {"begun": str(begun), "until": str(until)}}}}
        of_parent = {} if parent is None else {"parent_run_id": parent.run_id, "root_run_id": parent.run_id}
        return self.instance.create_run_for_job(
            waiting,
            run_config=config,
            job_code_origin=origin,
            tags={} if parent is None else self.present(parent).tags,
            **of_parent,
        )

    def release(self) -> None:
        (self.folder / "until").touch()

    def present(self, run: dg.DagsterRun) -> dg.DagsterRun:
        found = self.instance.get_run_by_id(run.run_id)
        assert found is not None
        return found

    def ended(self, run: dg.DagsterRun) -> dg.DagsterRunStatus:
        eventually("end", lambda: self.present(run).is_finished)
        return self.present(run).status

    def health(self, run: dg.DagsterRun) -> WorkerStatus:
        status: WorkerStatus = self.instance.run_launcher.check_run_worker_health(self.present(run)).status
        return status

    def lose_results(self) -> None:
        """Empty the database of Redis in which Celery keeps results."""
        self.instance.run_launcher.celery.backend.client.flushdb()  # type: ignore[attr-defined]

    def taken(self) -> int:
        """How many runs the worker has taken from the queue and not ended."""
        inspect = self.instance.run_launcher.celery.control.inspect()  # type: ignore[attr-defined]
        return sum(len(runs) for look in (inspect.active, inspect.reserved) for runs in (look() or {}).values())

    def children(self) -> list[int]:
        """The processes in which the worker executes runs."""
        return children_of(self.worker.pid)


def children_of(pid: int) -> list[int]:
    """The processes that any thread of a process has started."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for thread in threads for child in thread.read_text().split()]


@pytest.fixture
def cluster(redis: str, tmp_path: Path) -> Iterator[Cluster]:
    settings = {"broker": f"{redis}/0", "backend": f"{redis}/1"}
    (tmp_path / "dagster.yaml").write_text(
        yaml.safe_dump(
            {
                "storage": {"sqlite": {"base_dir": str(tmp_path / "storage")}},
                "run_launcher": {"module": MODULE, "class": "WatchingCeleryRunLauncher", "config": settings},
                "telemetry": {"enabled": False},
            }
        )
    )
    addresses = {"CELERY_BROKER_URL": settings["broker"], "CELERY_RESULT_BACKEND": settings["backend"]}
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        cluster = Cluster(instance, tmp_path, addresses)
        yield cluster
        cluster.kill()


def test_runs_succeed_are_canceled_and_fail_with_their_worker(cluster: Cluster) -> None:
    run = cluster.launch()
    assert cluster.health(run) == WorkerStatus.RUNNING
    cluster.release()
    assert cluster.ended(run) == dg.DagsterRunStatus.SUCCESS
    assert not cluster.instance.run_launcher.terminate(run.run_id)

    assert cluster.health(cluster.create()) == WorkerStatus.RUNNING, "it is not Celery that executes it"
    repeats = cluster.create(parent=run)
    assert cluster.present(repeats).tags[TASK] == cluster.present(run).tags[TASK]
    assert cluster.health(repeats) == WorkerStatus.RUNNING, "the task in its tags is that of the run it repeats"

    run, next_run = cluster.launch(), cluster.give()
    assert cluster.taken() == 1, "the next run is left to the first worker that is free"
    for each in (run, next_run):
        assert cluster.instance.run_launcher.terminate(each.run_id)
    assert cluster.ended(run) == dg.DagsterRunStatus.CANCELED

    run = cluster.launch()
    cluster.lose_results()
    assert cluster.health(run) == WorkerStatus.RUNNING, "the worker itself says that it has the task"
    cluster.release()
    assert cluster.ended(run) == dg.DagsterRunStatus.SUCCESS

    run = cluster.launch()
    for pid in cluster.children():
        os.kill(pid, signal.SIGKILL)
    eventually("failure of the killed process", lambda: cluster.health(run) == WorkerStatus.FAILED)

    run = cluster.launch()
    cluster.worker.terminate()
    cluster.release()
    assert cluster.worker.wait(60) == 0
    assert cluster.present(run).status == dg.DagsterRunStatus.SUCCESS, "a worker that is stopped ends its runs first"
    cluster.worker = cluster.started()

    run = cluster.launch()
    cluster.kill()
    assert cluster.health(run) == WorkerStatus.FAILED, "at the first look after the host has died"
