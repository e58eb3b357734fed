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
        requests.post(
            f"{running['url']}/graphql",
            json={"query": RELOAD, "variables": {"location": LOCATION}},
            timeout=TIMEOUT_S,
        ).raise_for_status()
    except requests.RequestException as error:
        log.warning("The code location could not be reloaded (%s); do it in the Dagster UI.", type(error).__name__)
