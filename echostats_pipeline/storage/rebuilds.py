"""What has to be rebuilt because its source changed (collection ``rebuild_queue``).

Rules that make a rebuild and a change of its source safe side by side, without a lock:

- A writer sets an open mark before it writes and a plain one after. No rebuild takes an open mark away, for it cannot
  know whether it read before or after the write. A writer that was killed leaves its mark open; after `OPEN_FOR` it
  counts as plain. A crash then costs a rebuild too many, and never one too few.
- A rebuild remembers the newest mark before it reads and compares it after it has written. If it moved, what was just
  written may be older than what someone else wrote meanwhile: the rebuild marks its own dates again.

Time is the database's, the one clock that all processes share.
"""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from echostats_pipeline.model.operations import RebuildTarget
from echostats_pipeline.storage.database import Db, Document, duplicates

NEWEST = ""
"""The ``date`` of the document that holds the newest mark of a user and target."""
WHOLE = "all"
"""The ``date`` of a target that is not built by date."""

NEVER = datetime(9999, 1, 1, tzinfo=UTC)
OPEN_FOR = timedelta(minutes=5)
"""Longer than any change is under way: whoever opened an older mark is gone."""
WAITING: dict[str, Any] = {
    "date": {"$ne": NEWEST},
    "$expr": {"$lt": ["$open_since", {"$subtract": ["$$NOW", int(OPEN_FOR.total_seconds() * 1000)]}]},
}
"""Plain marks, and open ones whose writer is gone (null sorts before every date)."""


@dataclass(frozen=True)
class BegunRebuild:
    """What was marked when a rebuild began: marks of its dates, and the newest of its target."""

    user_id: str
    target: RebuildTarget
    dates: list[str]
    seen: list[str]
    newest: str | None


class RebuildQueue:
    """Marks of what is stale, per user, target and date."""

    def __init__(self, db: Db) -> None:
        self._queue = db["rebuild_queue"]

    def mark(
        self, user_id: str, target: RebuildTarget, dates: Iterable[str] = (WHOLE,), *, opened: bool = False
    ) -> None:
        """Ask for a rebuild of `target` for the given dates (``YYYY-MM-DD``).

        Args:
            user_id: Whose.
            target: What.
            dates: Which of it.
            opened: Whether the change that makes it stale is still to come.
        """
        dates = sorted(set(dates))
        if not dates:
            return
        scope = {"user_id": user_id, "target": target}
        marked = [{"$set": {"mark": secrets.token_hex(8), "open_since": "$$NOW" if opened else None}}]
        # One insert and one update of many cost a tenth of as many upserts. What is inserted counts as open until the
        # update, which knows the server's time.
        known = self._queue.distinct("date", {**scope, "date": {"$in": dates}})
        new = [{**scope, "date": day, "mark": "", "open_since": NEVER} for day in sorted(set(dates) - set(known))]
        if new:
            try:
                self._queue.insert_many(new, ordered=False)
            except BulkWriteError as error:
                duplicates(error)  # somebody else was faster with those
        found = self._queue.update_many({**scope, "date": {"$in": dates}}, marked).matched_count
        gone = dates if found < len(dates) else []  # a rebuild has just taken some away
        self._queue.bulk_write(
            [UpdateOne({**scope, "date": day}, marked, upsert=True) for day in (*gone, NEWEST)], ordered=True
        )

    @contextmanager
    def changing(self, user_id: str, days: Iterable[date]) -> Iterator[None]:
        """Mark the rollups of `days` before and after the block that changes the history they are built from."""
        dates = [day.isoformat() for day in days]
        self.mark(user_id, "daily_rollups", dates, opened=True)
        try:
            yield
        finally:  # a block that fails may have written some of it
            self.mark(user_id, "daily_rollups", dates)

    def pending(self, target: RebuildTarget) -> dict[str, list[str]]:
        """User ids with the dates that wait, in order."""
        waiting: dict[str, list[str]] = {}
        for entry in self._queue.find({"target": target, **WAITING}).sort([("user_id", 1), ("date", 1)]):
            waiting.setdefault(entry["user_id"], []).append(entry["date"])
        return waiting

    def pending_days(self, user_id: str) -> set[date]:
        """The dates of one user whose rollups wait."""
        query = {"user_id": user_id, "target": "daily_rollups", **WAITING}
        return {date.fromisoformat(entry["date"]) for entry in self._queue.find(query)}

    def changing_days(self, user_id: str) -> set[date]:
        """The dates of one user that are just being changed, or were when the process died that changed them."""
        query = {"user_id": user_id, "target": "daily_rollups", "date": {"$ne": NEWEST}, "open_since": {"$ne": None}}
        return {date.fromisoformat(entry["date"]) for entry in self._queue.find(query)}

    def marks(self, user_id: str, target: RebuildTarget) -> dict[str, str]:
        """All marks by their date, those of changes that are still under way and the newest one included."""
        found = self._queue.find({"user_id": user_id, "target": target})
        return {entry["date"]: entry["mark"] for entry in found}

    @contextmanager
    def rebuilding(self, user_id: str, target: RebuildTarget, dates: Iterable[str] = (WHOLE,)) -> Iterator[None]:
        """Run the block that rebuilds `target` for `dates`, then take away the marks it has dealt with."""
        begun = self.begin(user_id, target, dates)
        yield
        self.finish(begun)

    def begin(self, user_id: str, target: RebuildTarget, dates: Iterable[str]) -> BegunRebuild:
        """Remember what is marked, before anything is read to rebuild `target` for `dates`."""
        dates = sorted(set(dates))
        scope = {"user_id": user_id, "target": target}
        seen = [entry["mark"] for entry in self._queue.find({**scope, **WAITING, "date": {"$in": dates}})]
        return BegunRebuild(user_id, target, dates, sorted(set(seen)), self._newest(scope))

    def finish(self, begun: BegunRebuild) -> None:
        """Take away the marks that a rebuild has dealt with, once all of it is written."""
        scope = {"user_id": begun.user_id, "target": begun.target}
        if self._newest(scope) != begun.newest:
            self.mark(begun.user_id, begun.target, begun.dates)
        else:
            self._queue.delete_many({**scope, "date": {"$in": begun.dates}, "mark": {"$in": begun.seen}})

    def _newest(self, scope: Document) -> str | None:
        entry = self._queue.find_one({**scope, "date": NEWEST})
        return None if entry is None else entry["mark"]
