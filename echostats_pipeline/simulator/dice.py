"""Random draws that several modules share.

Belongs here: drawing from a given `Random`, or from a key. Not here: what the draw decides.
"""

import hashlib
from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


def happens(rng: Random, share: float) -> bool:
    """Return True with probability `share` (0..1)."""
    return rng.random() < share


def weighted(rng: Random, options: Sequence[tuple[T, float]]) -> T:
    """Draw one of the options, which are given as (value, weight)."""
    return rng.choices([value for value, _ in options], [weight for _, weight in options])[0]


def chance(*key: object) -> float:
    """Return a number in [0, 1) that depends on `key` alone: equal keys give equal numbers in every process."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48
