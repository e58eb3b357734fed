"""What Dagster's definitions are made of: which users have a sensor of their own, and when their days begin.

They are made while Dagster loads the code, when MongoDB may not be asked. So a sensor writes the users' partition keys
and the day of the first known play to files of the state folder, and has the code loaded again when they have changed
(`code_location`).
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
"""How far the days reach back in any case: a first sync asks for some that may lie before all plays."""


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
