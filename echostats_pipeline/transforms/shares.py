"""How a budget of calls is shared between those who want more of it than there is.

One call after the other goes to whoever has had the fewest in the present window, then the fewest ever, and nobody gets
more than they want: whoever wants little has it soon, and those who want much have equal parts of the rest.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

UNKNOWN_NEED = 1_000_000_000
"""Of somebody of whom is not known yet how much there is to read."""


@dataclass(frozen=True)
class Wish:
    """What somebody wants.

    Attributes:
        need: Calls they still want.
        lately: Calls they have had in the present window.
        ever: Calls they have ever had.
    """

    need: int
    lately: int = 0
    ever: int = 0


def share_of(key: str, wishes: Mapping[str, Wish], free: int) -> int:
    """How many of the free calls are for one of those who want some."""
    mine = wishes[key]

    def is_beyond(calls: int) -> bool:
        """Whether so many calls of mine, and all that come before the next, leave no call for it."""
        return calls + sum(_before(mine, key, calls, wish, other) for other, wish in wishes.items()) >= free

    return bisect_left(range(min(free, mine.need)), True, key=is_beyond)


def _before(mine: Wish, key: str, calls: int, wish: Wish, other: str) -> int:
    """How many calls somebody else gets before I get one more than so many."""
    if other == key:
        return 0
    goes_first = (wish.ever, other) < (mine.ever, key)
    return min(wish.need, max(0, mine.lately + calls - wish.lately + goes_first))


def days_needed(key: str, wishes: Mapping[str, Wish], a_day: int) -> int:
    """In about how many days one of them has all they want, at so many calls a day for all."""
    need = wishes[key].need
    return math.ceil(sum(min(wish.need, need) for wish in wishes.values()) / a_day)
