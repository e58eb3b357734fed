"""Runs that die: workers, the code server, the daemon and the database are killed under `echostats up`.

In every case the run ends as failed with a reason, and the next run completes the work.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
import yaml
from bson import ObjectId

from echostats_pipeline.cli.instance import project_file
from echostats_pipeline.local.database import open_store
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.orchestration.tags import USER_TAG
from echostats_pipeline.simulator.exports import write_extended_export
from echostats_pipeline.simulator.world import World
from echostats_pipeline.stages.imports import import_export
from echostats_pipeline.storage.change_marks import OPEN_FOR
from echostats_pipeline.storage.leases import Lease
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import Counted
from echostats_pipeline_tests.integration.processes import eventually, interrupt, processes_of, started
from echostats_pipeline_tests.integration.up_process import LAUNCH, RUN, Ui

pytestmark = [
    pytest.mark.xdist_group("killed"),
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]

LOOKS_FOR_DEAD_RUNS_S = 3
"""Seconds between two checks of Dagster's daemon for runs whose process is gone: 30 outside tests."""
UP = """
import sys
from pathlib import Path
from echostats_pipeline.cli import instance, main
configured, ours = Path(sys.argv.pop(1)), instance.project_file
instance.project_file = lambda name: configured if name == configured.name else ours(name)
main.main()
"""
"""The command line with another ``dagster.yaml``, its first argument."""
KILLS = int(os.environ.get("ECHOSTATS_TEST_KILLS", "2"))
"""More attempts take longer."""


def parent(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("PPid:")[2].split()[0])


class Installation:
    """The processes of an `echostats up`, by role."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def pids(self, words: str) -> set[int]:
        return {pid for pid, command in processes_of(self.home).items() if words in command}

    def workers(self) -> set[int]:
        """Processes that execute runs, without their child processes."""
        servers = self.pids("api grpc")
        found = set()
        for pid in self.pids("spawn_main"):
            try:
                if parent(pid) in servers:
                    found.add(pid)
            except OSError:  # it has ended meanwhile
                continue
        return found

    def kill(self, pids: set[int]) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Two years of plays that ended long before the newest 50."""
    world = World(seed=1)
    end = utc_now() - timedelta(days=40)
    path = tmp_path / "my_spotify_data.zip"
    write_extended_export(world, world.users[0], end - timedelta(days=4 * 365), end, path)
    return path


def plays(store: Store, user_id: str) -> set[tuple[Any, ...]]:
    found = store.db["listening_history"].find({"user_id": user_id, "source": "import"})
    return {(play["track"]["spotify_id"], play["played_at"], play["ms_played"], play["import_key"]) for play in found}


def imported_at_once(store: Store, export: Path) -> set[tuple[Any, ...]]:
    """The plays of the export after an undisturbed import."""
    user = User(_id=ObjectId(), spotify_id="clean", partition_key="clean-000000")
    store.db["users"].insert_one({**user.to_bson(), "_id": user.id})
    import_export(store, user, [export], progress=Counted(), clock=utc_now)
    return plays(store, user.user_id)


@pytest.fixture
def command(tmp_path: Path, port: int) -> tuple[str, ...]:
    """`echostats up` with short intervals, so that it soon notices dead processes."""
    configuration = yaml.safe_load(project_file("dagster.yaml").read_text())
    configuration["run_monitoring"]["poll_interval_seconds"] = LOOKS_FOR_DEAD_RUNS_S
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(configuration))
    return ("-c", UP, str(tmp_path / "dagster.yaml"), "up", "--port", str(port))


@pytest.fixture
def running(
    prepared: tuple[User, list[Any]],
    settings: Any,
    port: int,
    command: tuple[str, ...],
) -> Iterator[tuple[Ui, Popen[str]]]:
    ui = Ui(port)
    with started(settings.home, *command) as process:
        eventually("webserver", ui.answers, process)
        eventually("code location", ui.repository, process)
        key = prepared[0].partition_key
        eventually("partition of the user", lambda: key in ui.user_partitions(), process)
        yield ui, process


def launch(ui: Ui, user: User, config: dict[str, Any] | None = None) -> str | None:
    """Launch an import, or without a configuration a sync, as the UI does. Return the run; None if Dagster is down."""
    repository = ui.repository()
    if repository is None:
        return None
    today = utc_now().date()
    of_sync = range_tags(today, today, user.partition_key)
    tags = {USER_TAG: user.partition_key, **({"dagster/partition": user.partition_key} if config else of_sync)}
    answer = ui.ask(
        LAUNCH,
        params={
            "selector": {
                "pipelineName": "history_import" if config else "user_sync",
                "repositoryName": repository["name"],
                "repositoryLocationName": repository["location"]["name"],
            },
            "runConfigData": config or {},
            "mode": "default",
            "executionMetadata": {"tags": [{"key": name, "value": value} for name, value in tags.items()]},
        },
    )["launchPipelineExecution"]
    return str(answer["run"]["runId"]) if answer["__typename"] == "LaunchRunSuccess" else None


def next_one_ends_what_is_left(ui: Ui, process: Popen[str], processes: Installation, command: Sequence[str]) -> None:
    """`up` itself is killed. Its Dagster goes on until the next `up` ends it and starts another."""
    home = processes.home
    eventually("its address", lambda: (home / "webserver.json").exists() or None, process)
    left = processes.pids("dagster_services")
    process.kill()
    process.wait()
    assert processes.pids("dagster_services") == left
    with started(home, *command) as again:
        eventually("another Dagster", lambda: (processes.pids("dagster_services") - left) or None, again)
        eventually("code location", lambda: ui.answers() and ui.repository(), again)
        assert processes.pids("dagster_services").isdisjoint(left)
        assert "that was killed" in (home.parent / "output.txt").read_text()
        assert interrupt(again) == 0
    eventually("end of all processes", lambda: not processes_of(home))


def test_whatever_is_killed_the_run_fails_with_a_reason_and_the_next_one_completes_it(
    running: tuple[Ui, Popen[str]],
    prepared: tuple[User, list[Any]],
    settings: Any,
    export: Path,
    store: Store,
    command: tuple[str, ...],
) -> None:
    (ui, process), user, processes = running, prepared[0], Installation(settings.home)
    config = {"ops": {"streaming_history_import": {"config": {"paths": [str(export)]}}}}
    dice = random.Random(os.environ.get("ECHOSTATS_TEST_SEED", "1"))
    killed = 0

    def at_work(config: dict[str, Any] | None) -> str:
        run_id = eventually("run", lambda: launch(ui, user, config), process)
        with open_store(settings) as own:
            eventually("job", lambda: own.jobs.of_run(run_id) or None, process)
        return run_id

    for number in range(KILLS):
        wanted = config if number % 2 else None
        run_id = at_work(wanted)
        time.sleep(dice.uniform(0, 2 if wanted else 0.5))
        processes.kill(processes.workers())
        status = eventually("end of the killed run", lambda run_id=run_id: ui.ended(RUN, run_id), process)
        with open_store(settings) as own:
            closed = lambda own=own, run_id=run_id: run_id not in own.jobs.open_runs()  # noqa: E731
            eventually("closed job", closed, process)
            (job,) = own.jobs.of_run(run_id)
            assert own.leases.holder(Lease(user.user_id, "history", "")) != run_id
        if job.status == "failed":
            assert (status, bool(job.error_message)) == ("FAILURE", True)
            killed += 1
        else:  # killed after the work was done, though perhaps before Dagster knew
            assert job.status == "completed"
    assert killed

    interrupted = at_work(config)
    processes.kill(processes.pids("mongod"))
    processes.kill(processes.pids("api grpc"))
    processes.kill(processes.pids("_daemon run"))
    eventually("the end of Dagster", lambda: not ui.answers(), process)
    eventually("another Dagster", ui.answers, process)
    assert ui.ended(RUN, interrupted) == "FAILURE"
    for wanted in (config, None):  # the sync needs the slot of runs that call Spotify, which dead runs held
        last = eventually("run", lambda wanted=wanted: launch(ui, user, wanted), process)
        assert eventually("end of the last runs", lambda last=last: ui.ended(RUN, last), process) == "SUCCESS"
    with open_store(settings) as own:
        assert plays(own, user.user_id) == imported_at_once(store, export)
        # Days that the killed runs were changing count as changed five minutes later: let these minutes pass.
        began = {"open_since": {"$type": "date"}}
        own.db["change_marks"].update_many(began, {"$set": {"open_since": utc_now() - 2 * OPEN_FOR}})
        eventually("rebuilt days", lambda: not own.marks.pending("daily_rollups"), process)
        total = sum(rollup["total_rows"] for rollup in own.db["daily_rollups"].find({"user_id": user.user_id}))
        assert total == own.db["listening_history"].count_documents({"user_id": user.user_id})
    next_one_ends_what_is_left(ui, process, processes, command)
