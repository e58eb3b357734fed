"""``echostats up`` as a user runs it: the UI's own questions and clicks over GraphQL, a new user, and the end."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from pymongo import MongoClient

from echostats_pipeline.alerts import ALERT_SENSORS
from echostats_pipeline.cli.simulated import simulated_spotify
from echostats_pipeline.jobs import JOBS, USER_TAG
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.partitions import range_tags
from echostats_pipeline.sensors import SENSORS
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline.stages.accounts import configured_spotify
from echostats_pipeline.storage import embedded
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.home import StateFolder
from echostats_pipeline.storage.store import open_store

from .consent import connect
from .graphql import Graphql
from .processes import environment, eventually, interrupt, processes_of, started

pytestmark = [
    pytest.mark.xdist_group("up"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]

OVERVIEW = """query { repositoriesOrError { ... on RepositoryConnection { nodes {
  name location { name } jobs { name } assetNodes { id }
  sensors { name sensorState { status } } schedules { name scheduleState { status } } } } } }"""
PARTITIONS = """query { assetNodes(assetKeys: [{path: ["daily_rollups"]}]) {
  partitionKeysByDimension { name partitionKeys } } }"""
LAUNCH = """mutation($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
RUN = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
BACKFILL_STATUS = (
    "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"
)
ENDED = {"SUCCESS", "FAILURE", "CANCELED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "COMPLETED", "FAILED"}


class Ui(Graphql):
    """What the pages of the Dagster UI show."""

    def repository(self) -> Any:
        nodes = self.ask(OVERVIEW)["repositoriesOrError"].get("nodes", [])
        return next((node for node in nodes if node["assetNodes"]), None)

    def sensors(self) -> dict[str, str]:
        repository = self.repository()
        return {each["name"]: each["sensorState"]["status"] for each in repository["sensors"]} if repository else {}

    def user_partitions(self) -> set[str]:
        dimensions = self.ask(PARTITIONS)["assetNodes"][0]["partitionKeysByDimension"]
        return {key for each in dimensions if each["name"] == "user" for key in each["partitionKeys"]}

    def launched(self, repository: Any, job: str, tags: dict[str, str]) -> Any:
        """Launch a job as its Launchpad does."""
        selector = {
            "pipelineName": job,
            "repositoryName": repository["name"],
            "repositoryLocationName": repository["location"]["name"],
        }
        metadata = {"tags": [{"key": name, "value": value} for name, value in tags.items()]}
        params = {"selector": selector, "runConfigData": {}, "mode": "default", "executionMetadata": metadata}
        return self.ask(LAUNCH, params=params)["launchPipelineExecution"]

    def ended(self, query: str, run_id: str) -> str | None:
        (answer,) = self.ask(query, id=run_id).values()
        return answer["status"] if answer["status"] in ENDED else None


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def metrics_port(port: int) -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(environment(tmp_path / "home"), env_file=None)


@pytest.fixture
def prepared(settings: Settings, mongo_client: MongoClient[Document]) -> Iterator[tuple[User, list[Any]]]:
    """A state folder with one connected user, nothing running; also who could connect."""
    home = StateFolder(settings.home).ensure()
    with (
        embedded.running(home),
        open_store(settings, indexes=True) as store,
        simulated_spotify(settings) as simulator,
    ):
        people = list(simulator.world.users)
        user = connect(settings, store, simulator.base_url, people[0].id, people[0].timezone)
        assert isinstance(simulator, RunningSimulator)
    assert processes_of(settings.home) == {}
    yield user, people
    assert mongo_client.admin.command("ping")["ok"], "another installation's server is nobody's business"


def test_up_serves_syncs_backfills_takes_new_users_and_stops(
    settings: Settings, prepared: tuple[User, list[Any]], port: int, metrics_port: int
) -> None:
    user, people = prepared
    ui, key = Ui(port), user.partition_key
    options = ["--port", str(port), "--metrics-port", str(metrics_port)]
    with started(settings.home, "-m", "echostats_pipeline.cli.main", "up", *options) as process:
        eventually("webserver", ui.answers, process)
        repository = eventually("code location", ui.repository, process)
        assert len(repository["assetNodes"]) == 16
        assert {job["name"] for job in repository["jobs"]} >= {job.name for job in JOBS}
        expected = {sensor.name for sensor in (*SENSORS, *ALERT_SENSORS)} | {f"sync_{key.replace('-', '_')}"}
        assert ui.sensors() == dict.fromkeys(expected, "RUNNING")
        assert {each["scheduleState"]["status"] for each in repository["schedules"]} == {"RUNNING"}
        eventually("partition of the user", lambda: key in ui.user_partitions(), process)

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

        today = utc_now().date()
        tags = {USER_TAG: key, **range_tags(today, today, key)}
        launched = ui.launched(repository, "user_sync", tags)
        assert launched["__typename"] == "LaunchRunSuccess", launched
        backfill = ui.ask(
            BACKFILL,
            params={
                "assetSelection": [{"path": ["daily_rollups"]}],
                "partitionNames": [f"{today - timedelta(days=number)}|{key}" for number in range(10)],
                "tags": [],
            },
        )["launchPartitionBackfill"]
        assert backfill["__typename"] == "LaunchBackfillSuccess", backfill

        url = configured_spotify(settings).api_url
        with open_store(settings) as store:
            other = connect(settings, store, url, people[1].id, people[1].timezone)
        name = f"sync_{other.partition_key.replace('-', '_')}"
        eventually("sensor of the new user", lambda: ui.sensors().get(name) == "RUNNING", process)

        run_id = launched["run"]["runId"]
        assert eventually("end of the sync", lambda: ui.ended(RUN, run_id), process) == "SUCCESS"
        ended = eventually("end of the backfill", lambda: ui.ended(BACKFILL_STATUS, backfill["backfillId"]), process)
        assert ended == "COMPLETED_SUCCESS"
        audit_id = ui.launched(repository, "audit", {})["run"]["runId"]
        assert eventually("end of the audit", lambda: ui.ended(RUN, audit_id), process) == "SUCCESS"
        with open_store(settings) as store:
            assert store.db["listening_history"].count_documents({"user_id": user.user_id}) >= 50
            assert {job.status for job in store.jobs.of_run(run_id)} == {"completed"}
        metrics = requests.get(f"http://127.0.0.1:{metrics_port}/metrics", timeout=30)
        assert (metrics.status_code, f'echostats_sync_age_seconds{{user="{key}"}}' in metrics.text) == (200, True)

        assert interrupt(process) == 0, (settings.home.parent / "output.txt").read_text()
        eventually("end of all processes", lambda: not processes_of(settings.home))
        assert not (settings.home / "simulator.json").exists()
        assert not (settings.home / "webserver.json").exists()
    assert "Stopped." in (settings.home.parent / "output.txt").read_text()
