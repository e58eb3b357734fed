"""Files from which Dagster's definitions are made: the users with a sensor, and the first day.

Dagster makes the definitions while it loads the code, when MongoDB must not be queried. So a sensor writes the users'
partition keys and the day of the first known play to files of the state folder. If they have changed, it reloads the
code (`code_location`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.partitions import EARLIEST
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import local_date

DAYS_AT_LEAST = 16
"""The days reach back at least this far: a first sync requests days that may lie before all plays."""


@dataclass(frozen=True)
class Roster:
    """The file with the partition keys, in the state folder `home`."""

    home: Path

    def read(self) -> list[str]:
        """Return the partition keys; none if the file was never written."""
        folder = StateFolder(self.home)
        return list(folder.read_json(folder.roster_file) or [])

    def write(self, partition_keys: list[str]) -> bool:
        """Store the partition keys. Return False if they are unchanged."""
        folder = StateFolder(self.home)
        if self.read() == partition_keys:
            return False
        folder.ensure().write_json(folder.roster_file, partition_keys)
        return True


@dataclass(frozen=True)
class Beginning:
    """The file with the day of the first known play, in the state folder `home`."""

    home: Path

    def read(self) -> date | None:
        """Return the day; None if the file was never written."""
        text = StateFolder(self.home).read_json(self._file)
        return date.fromisoformat(text) if isinstance(text, str) else None

    def move(self, day: date) -> bool:
        """Move the first day back to this day. Return False if it is this early already; it never moves forward."""
        known = self.read()
        if known is not None and known <= day:
            return False
        StateFolder(self.home).write_json(self._file, day.isoformat())
        return True

    @property
    def _file(self) -> Path:
        return self.home / "first_day.json"


def first_day_of(store: Store, users: Iterable[User], now: datetime) -> date:
    """The local day of the first play of any of these users, and at least some days ago."""
    began = store.users.first_plays()
    days = [local_date(began[user.user_id], ZoneInfo(user.timezone)) for user in users if user.user_id in began]
    return max(EARLIEST, min([*days, now.date() - timedelta(days=DAYS_AT_LEAST)]))
