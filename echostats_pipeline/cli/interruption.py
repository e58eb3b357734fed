"""Lets service managers end a command as Ctrl-C does."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM (service managers) end the block, once: nothing interrupts the clean-up that follows.

    A process that a shell starts in the background ignores Ctrl-C and would pass that on to Dagster. Handlers of our
    own
    also undo this.
    """
    ending = (signal.SIGINT, signal.SIGTERM)

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        for number in ending:
            signal.signal(number, lambda _signal, _frame: None)
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in ending}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
