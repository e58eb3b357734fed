"""Differences between two documents, with their places, so that a failed comparison of large ones is readable."""

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

MISSING = "(missing)"
ROUNDED = 1.5e-6
"""Largest difference of two values that are rounded to six digits after sums in different orders."""


def differences(found: Any, wanted: Any, at: str = "", *, apart: float = ROUNDED) -> list[str]:
    """List where two documents differ, keys and lists included. Floats may differ by as much as rounding allows."""
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        pairs = [(f"{at}.{key}", found.get(key, MISSING), wanted.get(key, MISSING)) for key in {**wanted, **found}]
    elif isinstance(found, list) and isinstance(wanted, list):
        both = zip_longest(found, wanted, fillvalue=MISSING)
        pairs = [(f"{at}[{place}]", one, other) for place, (one, other) in enumerate(both)]
    elif isinstance(found, float) and isinstance(wanted, float):
        return [] if abs(found - wanted) <= apart else [f"{at}: {found!r} instead of {wanted!r}"]
    else:
        same = found == wanted and all(isinstance(found, kind) == isinstance(wanted, kind) for kind in (bool, float))
        return [] if same else [f"{at}: {found!r} instead of {wanted!r}"]
    return [line for where, one, other in pairs for line in differences(one, other, where, apart=apart)]
