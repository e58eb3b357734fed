"""Two machines work on one database, each with a Dagster instance of its own: neither ends what the other is doing."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from echostats_pipeline.model.users import User
from echostats_pipeline.simulator.exports import write_extended_export
from echostats_pipeline.storage.leases import Lease
from echostats_pipeline_tests.cli.conftest import Echostats
from echostats_pipeline_tests.cli.test_backfill import listener
from echostats_pipeline_tests.conftest import NOW, Installation, documents
from echostats_pipeline_tests.integration.processes import PATIENCE_S, eventually
from echostats_pipeline_tests.integration.up_process import CHECKOUT

pytestmark = [
    pytest.mark.kill,
    pytest.mark.skipif(sys.platform != "linux", reason="sees in /proc that a process is gone"),
]

EXPORTED = timedelta(days=20)
MACHINES = ("a", "b")
BACKFILL = ("backfill", "--user", "bob", "--no-snapshots")


@contextmanager
def waiting_import(
    installation: Installation, user: User, tmp_path: Path, environ: dict[str, str]
) -> Iterator["subprocess.Popen[str]"]:
    """An import in a process of its own, whose job is open, and which waits for the user's lease."""
    export, leases = tmp_path / "my_spotify_data.zip", installation.store.leases
    write_extended_export(installation.simulator.world, installation.person(user), NOW - EXPORTED, NOW, export)
    command = [sys.executable, "-m", "echostats_pipeline.cli.main", "import", str(export), "--user", user.partition_key]
    with subprocess.Popen(
        command,
        env={"PATH": os.environ["PATH"], **environ, **CHECKOUT},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            eventually("job", lambda: bool(leases.take(held(user)) and installation.store.jobs.open_runs()), process)
            yield process
        finally:
            process.kill()


def held(user: User) -> Lease:
    return Lease(user.user_id, "history", "a third run")


def job_of(installation: Installation, user: User) -> tuple[str, str]:
    """Status and error of the only job of a user."""
    (job,) = (job for job in documents(installation.store.db, "sync_jobs") if job["user_id"] == user.user_id)
    return job["status"], job["error_message"]


def test_a_command_of_another_machine_leaves_an_import_alone(
    installation: Installation, echostats: Echostats, new_settings: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    here, there = ({"ECHOSTATS_HOME": str(tmp_path / each)} for each in MACHINES)
    ann, _ = installation.connect(), listener(installation, "bob", 1)
    with waiting_import(installation, ann, tmp_path, new_settings(**here)) as process:
        ended = echostats(*BACKFILL, **there)
        assert ended.returncode == 0, ended.stderr
        assert job_of(installation, ann) == ("running", "")
        assert installation.store.leases.release(held(ann))
        said, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said
    jobs = documents(installation.store.db, "sync_jobs")
    assert {job["status"] for job in jobs} == {"completed"}
    assert len({job["dagster_instance_id"] for job in jobs}) == 2


def test_a_killed_import_is_closed_by_the_next_command_of_its_own_machine(
    installation: Installation, echostats: Echostats, new_settings: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    here, there = ({"ECHOSTATS_HOME": str(tmp_path / each)} for each in MACHINES[::-1])
    ann, _ = installation.connect(), listener(installation, "bob", 1)
    with waiting_import(installation, ann, tmp_path, new_settings(**here)) as process:
        process.kill()
        process.wait()
    for machine, status, error in (
        (there, "running", ""),
        (here, "failed", "The process that executed the run is gone"),
    ):
        ended = echostats(*BACKFILL, **machine)
        assert ended.returncode == 0, ended.stderr
        assert job_of(installation, ann) == (status, error)
