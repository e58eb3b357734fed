"""Waits for what a deployment does by itself: longer than for a process, because its sensors look every half minute."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE_S, POLL_S = 500.0, 0.5


def eventually(what: str, ask: Callable[[], T | None], process: Any = None) -> T:
    """Return the first result that is not None, False or empty; fail if the process ends or the time is up."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if answer := ask():
            return answer
        assert process is None or process.poll() is None, f"ended while waiting for {what}"
        time.sleep(POLL_S)
    raise AssertionError(f"no {what} in {PATIENCE_S:.0f} seconds")
