"""How many examples the long properties take: a moderate number, or what `ECHOSTATS_TEST_EXAMPLES` says."""

import os

WANTED = os.environ.get("ECHOSTATS_TEST_EXAMPLES", "")
UNHURRIED = 12 * 60 * 60
"""Seconds that a test may take which was asked for many examples, or has found a failure and makes it small."""


def examples(default: int) -> int:
    """The number asked for, else `default`."""
    return int(WANTED or default)
