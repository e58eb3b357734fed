"""Decoding documents by the thousand."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_at_work = 0
_resume = False


@contextmanager
def bulk_decoding() -> Iterator[None]:
    """Keep Python from looking for unreachable cycles while many documents are decoded.

    There are none among documents, yet each time many have come Python looks through all it has: an eighth of the time
    that snapshots take. This goes for the process; blocks of several threads may overlap.
    """
    global _at_work, _resume  # noqa: PLW0603 - so is the collector of a process
    with _lock:
        if not _at_work:
            _resume = gc.isenabled()
            gc.disable()
        _at_work += 1
    try:
        yield
    finally:
        with _lock:
            _at_work -= 1
            if not _at_work and _resume:
                gc.enable()
