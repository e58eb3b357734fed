"""How many examples properties take: a moderate number; ten times as many with `--hypothesis-profile thorough`.

`ECHOSTATS_TEST_EXAMPLES` says how many the longest of them take, whatever the profile.
"""

import os

import hypothesis

USUAL, THOROUGH = "echostats", "thorough"
MORE = 10
WANTED = os.environ.get("ECHOSTATS_TEST_EXAMPLES", "")
UNHURRIED = 12 * 60 * 60
"""Seconds that a test may take which was asked for many examples, or has found a failure and makes it small."""


def register_profiles() -> None:
    """Make both profiles known to Hypothesis and load the usual one; pytest's option then loads the other."""
    hypothesis.settings.register_profile(USUAL, deadline=None, max_examples=60)
    hypothesis.settings.register_profile(THOROUGH, deadline=None, max_examples=60 * MORE)
    hypothesis.settings.load_profile(USUAL)


def examples(default: int) -> int:
    """The number asked for, else `default`, or ten times that if the profile is the thorough one."""
    thorough = hypothesis.settings.get_current_profile_name() == THOROUGH
    return int(WANTED or default * (MORE if thorough else 1))
