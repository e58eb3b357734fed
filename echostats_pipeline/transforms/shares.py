"""Shares a budget of calls fairly between users who need more calls than there are.

Calls are given out one by one. The next call goes to the user with the fewest calls in the current window, then to the
one with the fewest calls ever. No user gets more than needed: small needs are met soon, and users with large needs
share the rest equally.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

UNKNOWN_NEED = 1_000_000_000
"""The need of a user whose number of things to read is not known yet."""


@dataclass(frozen=True)
class Wish:
    """The calls that one user needs and has had.

    Attributes:
        need: Calls still needed.
        lately: Calls already made in the current window.
        ever: Calls made since the beginning.
    """

    need: int
    lately: int = 0
    ever: int = 0


def share_of(key: str, wishes: Mapping[str, Wish], free: int) -> int:
    """How many of the free calls go to the user `key`."""
    mine = wishes[key]

    def is_beyond(calls: int) -> bool:
        """Whether this number of calls, and all calls that others get before the next, use up the free calls."""
        return calls + sum(_before(mine, key, calls, wish, other) for other, wish in wishes.items()) >= free

    return bisect_left(range(min(free, mine.need)), True, key=is_beyond)


def _before(mine: Wish, key: str, calls: int, wish: Wish, other: str) -> int:
    """How many calls another user gets before the current one gets one more than `calls`."""
    if other == key:
        return 0
    goes_first = (wish.ever, other) < (mine.ever, key)
    return min(wish.need, max(0, mine.lately + calls - wish.lately + goes_first))


def days_needed(key: str, wishes: Mapping[str, Wish], a_day: int) -> int:
    """About how many days until one user's need is met, with `a_day` calls a day for all users."""
    need = wishes[key].need
    return math.ceil(sum(min(wish.need, need) for wish in wishes.values()) / a_day)
