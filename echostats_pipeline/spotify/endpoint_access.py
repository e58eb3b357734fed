"""What Spotify offers to this app, learnt from its answers.

Which endpoints an app may use depends on when it was registered and on decisions that Spotify announces, postpones and
changes; dates and versions tell nothing reliable. So an endpoint is tried, a refusal is remembered, and after a while
it is tried again.
"""

from datetime import datetime, timedelta
from typing import Protocol

REMEMBERED_FOR = timedelta(days=7)
"""How long a refused endpoint is not asked again."""


class RegimeMemory(Protocol):
    """Remembers refused endpoints, for all users of the app."""

    def refused_until(self, endpoint: str) -> datetime | None:
        """Until when the endpoint is taken as refused; it may have passed. None if it never was."""

    def remember_refused(self, endpoint: str, until: datetime) -> None:
        """The endpoint was refused; do not ask it again before `until`."""


def is_refused(regimes: RegimeMemory, endpoint: str, now: datetime) -> bool:
    """Whether the endpoint is taken as refused at `now`."""
    until = regimes.refused_until(endpoint)
    return until is not None and now < until


class MemoryRegimes:
    """A `RegimeMemory` for one process."""

    def __init__(self) -> None:
        self._until: dict[str, datetime] = {}

    def refused_until(self, endpoint: str) -> datetime | None:
        """Until when the endpoint is taken as refused."""
        return self._until.get(endpoint)

    def remember_refused(self, endpoint: str, until: datetime) -> None:
        """The endpoint was refused."""
        self._until[endpoint] = until
