"""Pauses Python's garbage collector while thousands of documents are decoded or built."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_at_work = 0
_resume = False


@contextmanager
def paused_collection() -> Iterator[None]:
    """Pause Python's garbage collector while many documents are decoded or built.

    Documents contain no cycles, but Python searches all of its objects for cycles as their number grows. That takes an
    eighth of the time of building snapshots, and a tenth of that of rollups. The pause affects the whole process;
    blocks in several threads may overlap.
    """
    global _at_work, _resume  # noqa: PLW0603 - the garbage collector is global, too
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
