"""``echostats up`` over a furnished state folder, for tests and screenshots that look at its UI."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

import echostats_pipeline

from .graphql import Graphql
from .processes import environment, eventually, started

CHECKOUT = {"PYTHONPATH": str(Path(echostats_pipeline.__file__).parents[1])}
"""Commands run the code that is tested, wherever another copy of it may be installed."""
READY = """query { repositoriesOrError { ... on RepositoryConnection { nodes { name assetNodes { id } } } } }"""
RUNS = """query($job: String!) { runsOrError(filter: {pipelineName: $job}) { ... on Runs { results {
  id status tags { key value } } } } }"""
FRESHNESS = """query { assetNodes { assetKey { path } internalFreshnessPolicy { __typename }
  freshnessStatusInfo { freshnessStatus } } }"""


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
    """Furnish the state folder `home` (see `furnished`) and serve its UI for the length of the block."""
    home.mkdir(mode=0o700, parents=True)
    furnish = [sys.executable, "-m", "echostats_pipeline_tests.integration.furnished", str(days), str(people)]
    subprocess.run(furnish, env={**environment(home), **CHECKOUT}, cwd=home.parent, check=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = ("-m", "echostats_pipeline.cli.main", "up", "--port", str(port))
    with started(home, *command, **CHECKOUT) as process:
        ui = Shown(port)
        eventually("UI with its assets", ui.is_ready, process)
        yield ui
