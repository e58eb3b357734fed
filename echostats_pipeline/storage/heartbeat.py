"""Signs of life while a block works, sent by a separate thread: the work itself may be silent for minutes."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from pymongo.errors import PyMongoError

BEAT_S = 15.0


@contextmanager
def beating(*beats: Callable[[], object], every_s: float = BEAT_S) -> Iterator[None]:
    """Call every one of `beats` again after each pause of so many seconds, until the block ends.

    A failed beat needs no handling: the next one replaces it, and the work itself notices a database that is gone.
    """
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(every_s):
            for each in beats:
                with suppress(PyMongoError):
                    each()

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
