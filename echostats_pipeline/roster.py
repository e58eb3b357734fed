"""The roster: which users have a sensor of their own.

Sensors are made while Dagster loads the code, when MongoDB may not be asked. So a sensor writes the users' partition
keys to a file of the state folder, and asks the webserver to load the code again when they have changed.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import requests

from echostats_pipeline.storage.home import StateFolder

LOCATION = "echostats_pipeline"
RELOAD = """
mutation Reload($location: String!) {
  reloadRepositoryLocation(repositoryLocationName: $location) { __typename }
}
"""
LOADED = """
query Loaded($location: String!) {
  workspaceLocationEntryOrError(name: $location) {
    ... on WorkspaceLocationEntry { locationOrLoadError { __typename } }
  }
}
"""
TIMEOUT_S = 60
"""The answer comes only after the code has been loaded."""


@dataclass(frozen=True)
class Roster:
    """The file with the partition keys, in the state folder `home`."""

    home: Path

    def read(self) -> list[str]:
        """The partition keys; none if the file was never written."""
        folder = StateFolder(self.home)
        return list(folder.read_json(folder.roster_file) or [])

    def write(self, partition_keys: list[str]) -> bool:
        """Store the partition keys; False if they were the same already."""
        folder = StateFolder(self.home)
        if self.read() == partition_keys:
            return False
        folder.write_json(folder.roster_file, partition_keys)
        return True


def webserver_file(home: Path) -> Path:
    """Where `echostats up` says at which address its webserver listens."""
    return home / "webserver.json"


def reload_code_location(home: Path, log: logging.Logger) -> None:
    """Have the running webserver load the code again, so that new users get their sensors."""
    running = StateFolder(home).read_json(webserver_file(home))
    if running is None:
        log.info("Reload the code location in the Dagster UI to see the sensors of new users.")
        return
    try:
        _ask(running["url"], RELOAD)
    except requests.RequestException as error:
        log.warning("The code location could not be reloaded (%s); do it in the Dagster UI.", type(error).__name__)


def code_location_is_loaded(home: Path) -> bool:
    """Whether the code is loaded and its server answers, as far as the running webserver can tell."""
    running = StateFolder(home).read_json(webserver_file(home))
    if running is None:
        return True
    try:
        answer = _ask(running["url"], LOADED).json()
    except requests.RequestException:
        return True  # the webserver is busy, or gone, which is noticed elsewhere
    return "PythonError" not in str(answer)


def _ask(url: str, query: str) -> requests.Response:
    answer = requests.post(
        f"{url}/graphql", json={"query": query, "variables": {"location": LOCATION}}, timeout=TIMEOUT_S
    )
    answer.raise_for_status()
    return answer
