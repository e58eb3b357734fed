"""Two throws of the dice that several modules share.

Belongs here: drawing from a given `Random`. Not here: what the draw decides.
"""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


def happens(rng: Random, share: float) -> bool:
    """True with probability `share` (0..1)."""
    return rng.random() < share


def weighted(rng: Random, options: Sequence[tuple[T, float]]) -> T:
    """One of the options, each given as (value, weight)."""
    return rng.choices([value for value, _ in options], [weight for _, weight in options])[0]
