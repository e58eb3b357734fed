"""Numbers of examples for property tests; `--hypothesis-profile thorough` runs at least ten times as many.

`ECHOSTATS_TEST_EXAMPLES` sets the number for the longest property tests, whatever the profile.
"""

import os

import hypothesis

USUAL, THOROUGH = "echostats", "thorough"
MORE = 10
WANTED = os.environ.get("ECHOSTATS_TEST_EXAMPLES", "")
UNHURRIED = 12 * 60 * 60
"""Seconds allowed for a test with many requested examples, or one that shrinks a failure."""


def register_profiles() -> None:
    """Register both profiles with Hypothesis and load the usual one. Pytest's option then loads the other."""
    hypothesis.settings.register_profile(USUAL, deadline=None, max_examples=40)
    hypothesis.settings.register_profile(THOROUGH, deadline=None, max_examples=60 * MORE)
    hypothesis.settings.load_profile(USUAL)


def examples(default: int) -> int:
    """The requested number, else `default`, or ten times that with the thorough profile."""
    thorough = hypothesis.settings.get_current_profile_name() == THOROUGH
    return int(WANTED or default * (MORE if thorough else 1))
