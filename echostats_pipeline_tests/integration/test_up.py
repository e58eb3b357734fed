"""``echostats up`` as a user runs it: the UI's queries and clicks over GraphQL, a new user, and the end."""

import socket
import subprocess
import sys
from datetime import date, timedelta
from subprocess import Popen
from typing import Any

import pytest
import requests

from echostats_pipeline.accounts.connecting import configured_spotify
from echostats_pipeline.local.database import open_store
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.automation.alerts import ALERT_SENSORS
from echostats_pipeline.orchestration.automation.sensors import SENSORS
from echostats_pipeline.orchestration.jobs import JOBS
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.orchestration.tags import USER_TAG
from echostats_pipeline.settings import Settings
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.integration.backfills import (
    CHECKS,
    EXECUTIONS,
    RELOAD,
    Statuses,
    Switch,
    backfill,
    failed_and_healed,
    play,
    ranges_of,
    syncs_since,
    unfinished,
)
from echostats_pipeline_tests.integration.consent import connect
from echostats_pipeline_tests.integration.processes import environment, eventually, interrupt, processes_of, started
from echostats_pipeline_tests.integration.up_process import BACKFILL, BACKFILL_STATUS, RUN, Ui

pytestmark = [
    pytest.mark.xdist_group("up"),
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]


@pytest.fixture
def metrics_port(port: int) -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def sensor_of(user: User) -> str:
    return f"sync_{user.partition_key.replace('-', '_')}"


def refused_second(settings: Settings, port: int, process: Popen[str]) -> None:
    """Another `echostats up` on the same state folder changes nothing and names the running one."""
    record = (settings.home / "webserver.json").read_bytes()
    second = subprocess.run(
        [sys.executable, "-m", "echostats_pipeline.cli.main", "up", "--port", str(port + 1)],
        env=environment(settings.home),
        cwd=settings.home.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert f"process {process.pid}, http://127.0.0.1:{port}, since {utc_now():%Y-%m-%d}" in second.stderr
    assert (settings.home / "webserver.json").read_bytes() == record


def synced_and_backfilled(
    ui: Ui, process: Popen[str], settings: Settings, repository: Any, user: User, people: list[Any]
) -> User:
    """Run a sync, a backfill of the newest days and an audit while a new user connects. Return that user."""
    today, key = utc_now().date(), user.partition_key
    tags = {USER_TAG: key, **range_tags(today, today, key)}
    launched = ui.launched(repository, "user_sync", tags)
    assert launched["__typename"] == "LaunchRunSuccess", launched
    newest = ui.ask(
        BACKFILL,
        params={
            "assetSelection": [{"path": ["daily_rollups"]}],
            "partitionNames": [f"{today - timedelta(days=number)}|{key}" for number in range(10)],
            "tags": [],
        },
    )["launchPartitionBackfill"]
    assert newest["__typename"] == "LaunchBackfillSuccess", newest

    url = configured_spotify(settings).api_url
    with open_store(settings) as store:
        other = connect(settings, store, url, people[1].id, people[1].timezone)
    eventually("sensor of the new user", lambda: ui.sensors().get(sensor_of(other)) == "RUNNING", process)

    run_id = launched["run"]["runId"]
    assert eventually("end of the sync", lambda: ui.ended(RUN, run_id), process) == "SUCCESS"
    ended = eventually("end of the backfill", lambda: ui.ended(BACKFILL_STATUS, newest["backfillId"]), process)
    assert ended == "COMPLETED_SUCCESS"
    audit_id = ui.launched(repository, "audit", {})["run"]["runId"]
    assert eventually("end of the audit", lambda: ui.ended(RUN, audit_id), process) == "SUCCESS"
    with open_store(settings) as store:
        assert store.db["listening_history"].count_documents({"user_id": user.user_id}) >= 50
        assert {job.status for job in store.jobs.of_run(run_id)} == {"completed"}
    return other


def old_days_built(
    ui: Ui, process: Popen[str], settings: Settings, store: Store, users: tuple[User, User], switch: Switch
) -> None:
    """Days of two users are backfilled, fail and heal, while the second user is paused."""
    (ann, bob), before = users, utc_now().date() - timedelta(days=60)
    day = [before + timedelta(days=number) for number in range(30)]
    together, blocks, healed = day[:10], [*day[14:17], *day[20:22]], day[25:28]
    store.db["listening_history"].insert_many([play(user, when) for user in users for when in day])

    # The days begin with the first known play, a moment after it is stored. One run for each user and contiguous range.
    chosen = {user.partition_key: together for user in reversed(users)}
    both = eventually("such days", lambda: backfill(ui, ("listening_history", "daily_rollups"), chosen), process)
    apart = backfill(ui, ("daily_rollups",), {ann.partition_key: blocks}) or ""

    assert (switch.status(), switch.stop()) == ("RUNNING", "STOPPED")
    location = ui.repository()["location"]["name"]
    assert ui.ask(RELOAD, location=location)["reloadRepositoryLocation"]["loadStatus"]
    eventually("code location", ui.repository, process)

    run_id = failed_and_healed(ui, process, store, ann, healed)
    backfilled_by_command(settings, bob, healed)
    assert Statuses(ui).of(bob, healed) == {"MATERIALIZED"}
    checked(ui, run_id)

    assert eventually("end of the backfill", lambda: ranges_of(ui, both), process) == sorted(
        (f"{together[0]}|{user.partition_key}", f"{together[-1]}|{user.partition_key}") for user in users
    )
    assert eventually("end of the backfill", lambda: ranges_of(ui, apart), process) == [
        (f"{first}|{ann.partition_key}", f"{last}|{ann.partition_key}")
        for first, last in ((day[14], day[16]), (day[20], day[21]))
    ]
    shown = Statuses(ui)
    assert shown.materialized(ann, day[0], day[-1]) == {str(when) for when in (*together, *blocks, *healed)}
    assert shown.materialized(bob, day[0], day[-1]) == {str(when) for when in (*together, *healed)}
    assert shown.failed == 0


def backfilled_by_command(settings: Settings, user: User, days: list[date]) -> None:
    """The command line does the same as the UI, at the same time."""
    command = f"-m echostats_pipeline.cli.main backfill --no-snapshots --from {days[0]} --to {days[-1]} --user"
    besides = [sys.executable, *command.split(), user.partition_key]
    subprocess.run(besides, env=environment(settings.home), cwd=settings.home.parent, check=True)


def checked(ui: Ui, run_id: str) -> None:
    """The findings of the checks of a run can be read."""
    (node,) = ui.ask(CHECKS)["assetNodes"]
    checks = {check["name"]: check["blocking"] for check in node["assetChecksOrError"]["checks"]}
    assert checks["daily_rollups_match_history"]
    found = {each["runId"]: each for each in ui.ask(EXECUTIONS)["assetCheckExecutions"]}[run_id]
    assert (found["status"], found["evaluation"]["success"]) == ("SUCCEEDED", True)
    assert found["evaluation"]["description"]


def test_up_serves_syncs_backfills_takes_new_users_pauses_one_and_stops(
    settings: Settings, prepared: tuple[User, list[Any]], port: int, metrics_port: int
) -> None:
    ann, people = prepared
    ui, key = Ui(port), ann.partition_key
    options = ["--port", str(port), "--metrics-port", str(metrics_port)]
    command = ("-m", "echostats_pipeline.cli.main", "up", *options)
    with started(settings.home, *command, SYNC_INTERVAL_MINUTES="1") as process:
        eventually("webserver", ui.answers, process)
        repository = eventually("code location", ui.repository, process)
        assert len(repository["assetNodes"]) == 25
        assert {job["name"] for job in repository["jobs"]} >= {job.name for job in JOBS}
        expected = {sensor.name for sensor in (*SENSORS, *ALERT_SENSORS)} | {sensor_of(ann)}
        assert ui.sensors() == dict.fromkeys(expected, "RUNNING")
        assert {each["scheduleState"]["status"] for each in repository["schedules"]} == {"RUNNING"}
        eventually("partition of the user", lambda: key in ui.user_partitions(), process)
        refused_second(settings, port, process)
        bob = synced_and_backfilled(ui, process, settings, repository, ann, people)
        eventually("partition of the new user", lambda: bob.partition_key in ui.user_partitions(), process)

        with open_store(settings) as store:
            switch = Switch(ui, repository, sensor_of(bob))
            old_days_built(ui, process, settings, store, (ann, bob), switch)

            # Earlier requests are still executed. After that the paused user is not synced, the other user is, and when
            # resumed both are.
            eventually("end of the runs asked for before", lambda: not unfinished(ui, bob), process)
            settled_at = utc_now()
            metrics = requests.get(f"http://127.0.0.1:{metrics_port}/metrics", timeout=30)
            assert (metrics.status_code, f'echostats_sync_age_seconds{{user="{key}"}}' in metrics.text) == (200, True)
            eventually("sync", lambda: syncs_since(store, ann, settled_at, "completed") or None, process)
            assert syncs_since(store, bob, settled_at) == 0
            assert (switch.status(), switch.start()) == ("STOPPED", "RUNNING")

        assert interrupt(process) == 0, (settings.home.parent / "output.txt").read_text()
        eventually("end of all processes", lambda: not processes_of(settings.home))
        assert not (settings.home / "simulator.json").exists()
        assert not (settings.home / "webserver.json").exists()
    assert "Stopped." in (settings.home.parent / "output.txt").read_text()
