"""Keeps calls below Spotify's limits, and obeys when Spotify says that a limit is reached.

There are two limits, and neither number is published
(https://developer.spotify.com/documentation/web-api/concepts/rate-limits and .../quota-modes): calls of the app in a
rolling 30 seconds, and calls of a developer account to a group of endpoints in a rolling 24 hours (600 were measured).
Every attempt counts here, including refused ones. Checking a limit and recording a call are two steps, so several
processes that call at the same moment may exceed a limit by one each. So may the second attempt of
`AuthorisingHandler`. The default budget leaves room.
"""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Protocol

from echostats_pipeline.errors import APP_FAMILY, WaitRequired
from echostats_pipeline.spotify.families import Family, rate_limit_of
from echostats_pipeline.spotify.responses import explanation
from echostats_pipeline.spotify.retry_after import SHORT_WAIT, Clock, Sleep, retry_after
from echostats_pipeline.spotify.transport import Handler, Request, Response

QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
"""Spotify's ``reason`` for a used-up quota, since July 2026."""
QUOTA_PROBE = timedelta(hours=1)
"""When to try again after a used-up quota without a given time."""
RATE_LIMIT_WAIT = timedelta(seconds=300)
"""A longer wait cannot come from a window of 30 seconds: it means a quota, even if the body does not say so."""
UNLIMITED_FAMILIES: frozenset[Family] = frozenset({"recently-played", "token"})
"""Counted, but not limited by the budget: a play not read in time is lost, and without tokens everything stops."""
PACES: Mapping[Family, timedelta] = {"musicbrainz": timedelta(seconds=1.1), "lastfm": timedelta(seconds=0.25)}
"""Least time between two calls of all processes to a service that asks for a pace.

MusicBrainz allows one call a second and IP (https://musicbrainz.org/doc/MusicBrainz_API/Rate_Limiting); a tenth more
allows for calls that take unequal times to arrive. Last.fm publishes no number; five calls a second are customary.
"""
OWN_BUDGETS: Mapping[Family, int] = {"musicbrainz": 10_000, "lastfm": 10_000, "listenbrainz": 10_000}
"""Calls in 24 hours to services whose limit is a pace; the budget in the settings is for quotas like Spotify's."""

_SHORTEST_NAP_S = 0.05  # prevents an endless loop if a ledger counts differently


@dataclass(frozen=True)
class Budget:
    """The number of calls that this installation allows itself.

    Attributes:
        calls: Per family within any `window`.
        burst: Of all families together within any `burst_window`.
    """

    calls: int = 500
    window: timedelta = timedelta(hours=24)
    burst: int = 90
    burst_window: timedelta = timedelta(seconds=30)


class CallLedger(Protocol):
    """Remembers calls and postponements across processes. ``app`` means all families of the Web API together."""

    def calls(self, family: str, since: datetime) -> tuple[int, datetime | None]:
        """The number of calls after `since` (exclusive), and the instant of the oldest of these; None without any."""

    def record(self, family: str, at: datetime) -> None:
        """Record a call at this instant. A call of the Web API is recorded under its family and under ``app``."""

    def not_before(self, family: str) -> datetime | None:
        """The time until which the family is postponed; it may have passed. None if it was never postponed."""

    def postpone(self, family: str, until: datetime, reason: str) -> None:
        """Postpone the family; the longest of several postponements counts."""

    def reserve(self, family: str, now: datetime, pace: timedelta) -> datetime:
        """Reserve the next place in a family whose calls keep a pace; return the instant of the call, `now` or later.

        No two callers get places closer than `pace`.
        """


class MemoryLedger:
    """A `CallLedger` for one process."""

    def __init__(self) -> None:
        self._calls: defaultdict[str, list[datetime]] = defaultdict(list)
        self._postponed: dict[str, datetime] = {}
        self._next: dict[str, datetime] = {}

    def calls(self, family: str, since: datetime) -> tuple[int, datetime | None]:
        """The number of calls after `since`, and the oldest of these."""
        stamps = self._calls[family]
        first = bisect_right(stamps, since)
        return len(stamps) - first, stamps[first] if first < len(stamps) else None

    def record(self, family: str, at: datetime) -> None:
        """Record a call."""
        insort(self._calls[family], at)

    def not_before(self, family: str) -> datetime | None:
        """The time until which the family is postponed."""
        return self._postponed.get(family)

    def postpone(self, family: str, until: datetime, reason: str) -> None:  # noqa: ARG002 - not read here
        """Postpone the family."""
        self._postponed[family] = max(until, self._postponed.get(family, until))

    def reserve(self, family: str, now: datetime, pace: timedelta) -> datetime:
        """Reserve the next place."""
        at = max(now, self._next.get(family, now))
        self._next[family] = at + pace
        return at


def calls_allowed(family: Family, daily_calls: int) -> int | None:
    """Calls of a family that are allowed in 24 hours; None without a limit. The settings allow `daily_calls`."""
    return None if family in UNLIMITED_FAMILIES else OWN_BUDGETS.get(family, daily_calls)


class Quota:
    """A handler that makes a call only if it may be made now.

    Args:
        handler: Makes the call.
        ledger: Shared by all code that makes calls for the same app.
        budget: The calls that this installation allows itself.
        clock: The current instant, aware.
        sleep: Waits for a number of seconds; only for the burst limit, and no longer than a minute.
    """

    def __init__(self, handler: Handler, ledger: CallLedger, budget: Budget, clock: Clock, sleep: Sleep) -> None:
        self._handler = handler
        self._ledger = ledger
        self._budget = budget
        self._clock = clock
        self._sleep = sleep

    def __call__(self, request: Request) -> Response:
        """Make the call, or raise the time when it may be made. A 429 that asks for a short wait is returned as it is.

        Raises:
            WaitRequired: the family is postponed or its budget used up (no call was made), or Spotify has just said so.
        """
        family, shared = request.family, rate_limit_of(request.family)
        self._heed_postponement(family, shared)
        self._keep_budget(family)
        self._keep_pace(family, shared)
        now = self._clock()
        for name in dict.fromkeys((family, shared)):
            self._ledger.record(name, now)
        response = self._handler(request)
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            self._obey(request, response)
        return response

    def _heed_postponement(self, family: Family, shared: str) -> None:
        for name in dict.fromkeys((family, shared)):
            until = self._ledger.not_before(name)
            if until is not None and until > self._clock():
                raise WaitRequired(name, until, "they are postponed, as an earlier response required")

    def _keep_budget(self, family: Family) -> None:
        allowed = calls_allowed(family, self._budget.calls)
        if allowed is None:
            return
        made, oldest = self._ledger.calls(family, self._clock() - self._budget.window)
        if made >= allowed:
            until = (oldest or self._clock()) + self._budget.window
            hours = self._budget.window / timedelta(hours=1)
            raise WaitRequired(family, until, f"the {allowed} calls allowed in {hours:g} hours are used up")

    def _keep_pace(self, family: Family, shared: str) -> None:
        """Wait for a place among the calls of 30 seconds; a tenth is reserved for families that may not wait.

        A family with a pace waits for its next place instead.
        """
        if family in PACES:
            self._keep_own_pace(family, PACES[family])
            return
        burst, slept = self._budget.burst, 0.0
        if family not in UNLIMITED_FAMILIES and shared == APP_FAMILY:
            burst -= burst // 10
        while True:
            now = self._clock()
            made, oldest = self._ledger.calls(shared, now - self._budget.burst_window)
            if made < burst:
                return
            free = (oldest or now) + self._budget.burst_window
            wait = max((free - now).total_seconds(), _SHORTEST_NAP_S)
            if slept + wait > SHORT_WAIT.total_seconds():
                raise WaitRequired(family, free, f"{made} calls were made in {self._budget.burst_window.seconds} s")
            self._sleep(wait)
            slept += wait

    def _keep_own_pace(self, family: Family, pace: timedelta) -> None:
        now = self._clock()
        at = self._ledger.reserve(family, now, pace)
        if at - now > SHORT_WAIT:
            raise WaitRequired(family, at, f"other calls come first, one every {pace.total_seconds():g} s")
        if at > now:
            self._sleep((at - now).total_seconds())

    def _obey(self, request: Request, response: Response) -> None:
        """Store a long wait.

        Quotas are counted per group of endpoints, so a used-up quota postpones only the family: recently-played must go
        on. The 30-second limit counts all calls of the app, so a wait that may come from it postpones all families.
        Before July 2026 a used-up quota gave no reason; it is recognised by its waits of hours.
        """
        now = self._clock()
        wait = retry_after(response.asked_wait, now)
        why = explanation(request, response)
        used_up = why.reason == QUOTA_EXCEEDED
        if not used_up and (wait is None or wait <= SHORT_WAIT):
            return
        wait = wait or QUOTA_PROBE
        family = request.family
        name = family if used_up or wait > RATE_LIMIT_WAIT else rate_limit_of(family)
        reason = f"{request.service_name} answered 429 ({str(why) or 'no reason given'})"
        self._ledger.postpone(name, now + wait, reason)
        raise WaitRequired(name, now + wait, reason)
