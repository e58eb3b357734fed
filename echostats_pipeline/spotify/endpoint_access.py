"""Remembers which endpoints Spotify refuses to this app, as learned from its responses.

Which endpoints an app may use depends on its date of registration and on decisions that Spotify announces, postpones
and changes; dates and versions are not reliable. So an endpoint is tried, a refusal is remembered, and after a while
the endpoint is tried again.
"""

from datetime import datetime, timedelta
from typing import Protocol

REMEMBERED_FOR = timedelta(days=7)
"""How long a refused endpoint is not tried again."""


class RefusalMemory(Protocol):
    """Remembers refused endpoints, for all users of the app."""

    def refused_until(self, endpoint: str) -> datetime | None:
        """The time until which the endpoint counts as refused; it may have passed. None if it was never refused."""

    def remember_refused(self, endpoint: str, until: datetime) -> None:
        """Record that the endpoint was refused, and is not to be tried again before `until`."""


def is_refused(regimes: RefusalMemory, endpoint: str, now: datetime) -> bool:
    """Whether the endpoint counts as refused at `now`."""
    until = regimes.refused_until(endpoint)
    return until is not None and now < until


class InMemoryRefusals:
    """A `RefusalMemory` for one process."""

    def __init__(self) -> None:
        self._until: dict[str, datetime] = {}

    def refused_until(self, endpoint: str) -> datetime | None:
        """The time until which the endpoint counts as refused."""
        return self._until.get(endpoint)

    def remember_refused(self, endpoint: str, until: datetime) -> None:
        """Record that the endpoint was refused."""
        self._until[endpoint] = until
