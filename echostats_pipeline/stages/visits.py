"""Library visit: reads a part of a user's library in one run, within the user's share of calls, with progress."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from echostats_pipeline.errors import WaitRequired
from echostats_pipeline.model.library import LibraryPart, LibraryReading
from echostats_pipeline.model.users import User
from echostats_pipeline.spotify.quota import Budget
from echostats_pipeline.stages import Progress
from echostats_pipeline.stages.library_progress import WINDOW, calls_for
from echostats_pipeline.storage.store import Store

DAILY_CALLS = Budget().calls


class LibraryVisit:
    """One run's reading of a part of a user's library: its remaining calls, and its progress.

    Attributes:
        user_id: The user whose library it is.
        part: The part of the library.
        now: The present instant.
    """

    def __init__(self, store: Store, user: User, part: LibraryPart, now: datetime, progress: Progress, calls: int):
        self.user_id, self.part, self.now = user.user_id, part, now
        self._store, self._progress, self._calls = store, progress, calls
        self._expected = self._done = 0

    @property
    def has_announced(self) -> bool:
        """Whether the number of items to read has been announced."""
        return self._expected > 0

    def may_call(self) -> bool:
        """Take one call of the user's share; return False if none is left."""
        if not self._calls:
            return False
        self._calls -= 1
        self._store.readings.spend(self.user_id, self.part, self.now, self.now - WINDOW)
        return True

    def reading(self) -> LibraryReading:
        """Return the stored state of the present pass."""
        return self._store.readings.get(self.user_id, self.part)

    def note(self, **fields: object) -> None:
        """Store fields of the state of the pass."""
        self._store.readings.note(self.user_id, self.part, **fields)

    def step_back(self, place: int, rows: int) -> int:
        """Return the place to continue at in a list that lost `rows` rows: at worst, all of these were before it."""
        place = max(0, place - rows)
        self.note(place=place)
        return place

    def expect(self, items: int) -> None:
        """Announce items still to be read."""
        self._expected += items
        self._progress.expect(items)

    def advance(self, items: int) -> None:
        """Report items as read, but not more than were announced: a list may have grown meanwhile."""
        items = min(items, self._expected - self._done)
        self._done += items
        self._progress.advance(items)

    def finish(self) -> None:
        """End the pass: all items are read."""
        self.advance(self._expected - self._done)
        self.note(is_open=False, finished_at=self.now, place=0)


@contextmanager
def visiting(
    store: Store, user: User, part: LibraryPart, now: datetime, progress: Progress, daily_calls: int
) -> Iterator[LibraryVisit]:
    """Open a visit with the user's share of calls, and record whether it fails; `WaitRequired` is not a failure."""
    try:
        yield LibraryVisit(store, user, part, now, progress, calls_for(store, user, part, daily_calls, now))
    except Exception as error:
        store.readings.note(user.user_id, part, failed=not isinstance(error, WaitRequired))
        raise
    store.readings.note(user.user_id, part, failed=False)
