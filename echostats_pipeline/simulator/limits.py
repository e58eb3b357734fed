"""Counts calls: the rolling 24 h quota, the rolling 30 s limit, and the calls of each user.

Only successful calls count towards a limit, for all client ids together. Belongs here: windows and counts. Not here:
the answers (``endpoints``). The caller gives the time; if it moves back, later calls are forgotten.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from echostats_pipeline.simulator.behaviour import Behaviour, Family
from echostats_pipeline.simulator.refusal import ApiError

QUOTA_WINDOW = timedelta(hours=24)
LIMIT_WINDOW = timedelta(seconds=30)
_ERRORS_FROM = 400


class Window:
    """The instants of calls within the last `length`."""

    def __init__(self, length: timedelta) -> None:
        self._length = length
        self._instants: deque[datetime] = deque()

    def add(self, now: datetime) -> None:
        """Add a call at `now`."""
        self._forget(now)
        self._instants.append(now)

    def count(self, now: datetime) -> int:
        """Return the number of calls in the window that ends at `now`."""
        self._forget(now)
        return len(self._instants)

    def retry_after(self, now: datetime, limit: int) -> int | None:
        """Return whole seconds (at least 1) until fewer than `limit` calls are in the window; None if it is so now."""
        excess = self.count(now) - limit
        if excess < 0:
            return None
        return max(1, ceil((self._instants[excess] + self._length - now).total_seconds()))

    def _forget(self, now: datetime) -> None:
        while self._instants and self._instants[0] <= now - self._length:
            self._instants.popleft()
        while self._instants and self._instants[-1] > now:
            self._instants.pop()


@dataclass(slots=True)
class _Calls:
    """Calls of one user to one family."""

    successful: Window = field(default_factory=lambda: Window(QUOTA_WINDOW))
    refused: Window = field(default_factory=lambda: Window(QUOTA_WINDOW))
    statuses: Counter[int] = field(default_factory=Counter)


class Meter:
    """Counts all calls of one simulated Spotify."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], _Calls] = {}
        self._quota: dict[str, Window] = {}
        self._recent = Window(LIMIT_WINDOW)

    def admit(self, behaviour: Behaviour, family: Family, now: datetime) -> None:
        """Check whether a call may pass.

        Raises:
            ApiError: 429, the short limit or the quota is used up.
        """
        if behaviour.rate_limit:
            wait = self._recent.retry_after(now, behaviour.rate_limit)
            if wait is not None:
                raise ApiError(429, "API rate limit exceeded", retry_after=str(wait))
        quota = behaviour.quota_of(family)
        if quota is not None:
            wait = self._window(family).retry_after(now, quota)
            if wait is not None:
                raise ApiError(429, "Too many requests", reason="QUOTA_EXCEEDED", retry_after=str(wait))

    def record(self, family: str, user_id: str, status: int, now: datetime) -> None:
        """Count an answered call; statuses from 400 are refusals. Calls without a known user have an empty id."""
        calls = self._calls.setdefault((family, user_id), _Calls())
        calls.statuses[status] += 1
        if status >= _ERRORS_FROM:
            calls.refused.add(now)
            return
        calls.successful.add(now)
        self._window(family).add(now)
        self._recent.add(now)

    def report(self, now: datetime) -> list[dict[str, Any]]:
        """Return one row per family and user: successful and refused calls in 24 h and in total, and the statuses."""
        return [
            {
                "family": family,
                "user_id": user_id,
                "last_24h": {"successful": calls.successful.count(now), "refused": calls.refused.count(now)},
                "total": {
                    "successful": sum(count for status, count in calls.statuses.items() if status < _ERRORS_FROM),
                    "refused": sum(count for status, count in calls.statuses.items() if status >= _ERRORS_FROM),
                },
                "statuses": {str(status): count for status, count in sorted(calls.statuses.items())},
            }
            for (family, user_id), calls in sorted(self._calls.items())
        ]

    def _window(self, family: str) -> Window:
        return self._quota.setdefault(family, Window(QUOTA_WINDOW))
