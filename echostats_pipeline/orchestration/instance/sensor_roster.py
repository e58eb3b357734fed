"""What Dagster's definitions are made of: which users have a sensor of their own, and when their days begin.

They are made while Dagster loads the code, when MongoDB may not be asked. So a sensor writes the users' partition keys
and the day of the first known play to files of the state folder, and asks the webserver to load the code again when
they have changed.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import requests

from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.partitions import EARLIEST
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import local_date

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
DAYS_AT_LEAST = 16
"""How far the days reach back in any case: a first sync asks for some that may lie before all plays."""
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


@dataclass(frozen=True)
class Beginning:
    """The file with the day of the first known play, in the state folder `home`."""

    home: Path

    def read(self) -> date | None:
        """The day; None if the file was never written."""
        text = StateFolder(self.home).read_json(self._file)
        return date.fromisoformat(text) if isinstance(text, str) else None

    def move(self, day: date) -> bool:
        """Let the days begin as early as that; False if they do already. They never begin later than before."""
        known = self.read()
        if known is not None and known <= day:
            return False
        StateFolder(self.home).write_json(self._file, day.isoformat())
        return True

    @property
    def _file(self) -> Path:
        return self.home / "first_day.json"


def first_day_of(store: Store, users: Iterable[User], now: datetime) -> date:
    """The local day of the first play of any of these users, but some days ago at the latest."""
    began = store.users.first_plays()
    days = [local_date(began[user.user_id], ZoneInfo(user.timezone)) for user in users if user.user_id in began]
    return max(EARLIEST, min([*days, now.date() - timedelta(days=DAYS_AT_LEAST)]))


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
