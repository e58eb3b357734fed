"""API usage: calls to Spotify in the last 24 hours, and the budget, for each family of endpoints."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from echostats_pipeline.errors import APP_FAMILY
from echostats_pipeline.spotify.families import Family
from echostats_pipeline.spotify.quota import Budget, calls_allowed
from echostats_pipeline.storage.store import Store


@dataclass(frozen=True)
class FamilyCalls:
    """The calls of one family of endpoints; the family ``app`` stands for all of the Web API.

    Attributes:
        family: Name of the family.
        calls: Number of calls in the last 24 hours.
        budget: Number of calls allowed in 24 hours; None for families without a limit.
        waits_until: When the next call may be made; None if a call may be made now.
        reason: Why the family waits.
    """

    family: str
    calls: int
    budget: int | None = None
    waits_until: datetime | None = None
    reason: str = ""


def calls_made(store: Store, daily_calls: int, now: datetime) -> Sequence[FamilyCalls]:
    """Return every family that was called or waits, in the order of declaration; ``app`` is last, if it waits."""
    window = Budget().window
    waiting = store.limits.waiting([*get_args(Family), APP_FAMILY], now)
    found = []
    for family in get_args(Family):
        calls, oldest = store.limits.calls(family, now - window)
        budget = calls_allowed(family, daily_calls)
        if budget is not None and calls >= budget and oldest is not None:
            used_up = oldest + window, f"the {budget:,} calls of 24 hours are used up"
            waiting[family] = max(used_up, waiting.get(family, used_up))
        found.append(FamilyCalls(family, calls, budget, *waiting.get(family, (None, ""))))
    if APP_FAMILY in waiting:
        found.append(FamilyCalls(APP_FAMILY, 0, None, *waiting[APP_FAMILY]))
    return [each for each in found if each.calls or each.waits_until]
