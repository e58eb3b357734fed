"""Runs ``echostats up`` over a filled state folder, for tests and screenshots of its UI."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

import echostats_pipeline
from echostats_pipeline_tests.integration.graphql_client import Graphql
from echostats_pipeline_tests.integration.processes import environment, eventually, started

CHECKOUT = {"PYTHONPATH": str(Path(echostats_pipeline.__file__).parents[1])}
"""Environment in which commands run the tested code, wherever another copy of it may be installed."""
READY = """query { repositoriesOrError { ... on RepositoryConnection { nodes { name assetNodes { id } } } } }"""
RUNS = """query($job: String!) { runsOrError(filter: {pipelineName: $job}) { ... on Runs { results {
  id status tags { key value } } } } }"""
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
FRESHNESS = """query { assetNodes { assetKey { path } internalFreshnessPolicy { __typename }
  freshnessStatusInfo { freshnessStatus } } }"""


class Ui(Graphql):
    """The queries behind the pages of the Dagster UI."""

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


class Shown(Graphql):
    """A running UI."""

    def is_ready(self) -> bool:
        try:
            repositories = self.ask(READY)["repositoriesOrError"].get("nodes", [])
        except requests.RequestException:
            return False
        return any(repository["assetNodes"] for repository in repositories)

    def newest_run(self, job: str) -> tuple[str, dict[str, str]]:
        """Id and tags of the newest run of a job."""
        run = self.ask(RUNS, job=job)["runsOrError"]["results"][0]
        return run["id"], {tag["key"]: tag["value"] for tag in run["tags"]}


@contextmanager
def shown(home: Path, *, days: int, people: int) -> Iterator[Shown]:
    """Fill the state folder `home` (see `state_folder_factory`) and serve its UI while the block runs."""
    home.mkdir(mode=0o700, parents=True)
    furnish = [
        sys.executable,
        "-m",
        "echostats_pipeline_tests.integration.state_folder_factory",
        str(days),
        str(people),
    ]
    subprocess.run(furnish, env={**environment(home), **CHECKOUT}, cwd=home.parent, check=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = ("-m", "echostats_pipeline.cli.main", "up", "--port", str(port))
    with started(home, *command, **CHECKOUT) as process:
        ui = Shown(port)
        eventually("UI with its assets", ui.is_ready, process)
        yield ui
        process.kill()  # how it stops is tested elsewhere; processes that it leaves are killed with it
