"""What has to be rebuilt because its source changed (collection ``rebuild_queue``).

Rules that make a rebuild and a change of its source safe side by side, without a lock:

- A writer marks before it writes (a crash then costs a rebuild too many) and again after it has written (so that a
  rebuild which read too early does not take the mark away).
- A rebuild remembers the newest mark before it reads and compares it after it has written. If it moved, what was just
  written may be older than what someone else wrote meanwhile: the rebuild marks its own dates again.
"""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from pymongo import UpdateOne

from echostats_pipeline.model.operations import RebuildTarget
from echostats_pipeline.storage.database import Db

NEWEST = ""
"""The ``date`` of the document that holds the newest mark of a user and target."""
WHOLE = "all"
"""The ``date`` of a target that is not built by date."""


class RebuildQueue:
    """Marks of what is stale, per user, target and date."""

    def __init__(self, db: Db) -> None:
        self._queue = db["rebuild_queue"]

    def mark(self, user_id: str, target: RebuildTarget, dates: Iterable[str] = (WHOLE,)) -> None:
        """Ask for a rebuild of `target` for the given dates (``YYYY-MM-DD``)."""
        dates = sorted(set(dates))
        if not dates:
            return
        mark = secrets.token_hex(8)
        self._queue.bulk_write(
            [
                UpdateOne({"user_id": user_id, "target": target, "date": day}, {"$set": {"mark": mark}}, upsert=True)
                for day in (*dates, NEWEST)
            ],
            ordered=True,
        )

    @contextmanager
    def changing(self, user_id: str, days: Iterable[date]) -> Iterator[None]:
        """Mark the rollups of `days` before and after the block that changes the history they are built from."""
        dates = [day.isoformat() for day in days]
        self.mark(user_id, "daily_rollups", dates)
        try:
            yield
        finally:  # a block that fails may have written some of it
            self.mark(user_id, "daily_rollups", dates)

    def pending(self, target: RebuildTarget) -> dict[str, list[str]]:
        """User ids with the dates that wait, in order."""
        waiting: dict[str, list[str]] = {}
        for entry in self._queue.find({"target": target, "date": {"$ne": NEWEST}}).sort([("user_id", 1), ("date", 1)]):
            waiting.setdefault(entry["user_id"], []).append(entry["date"])
        return waiting

    def pending_days(self, user_id: str) -> set[date]:
        """The dates of one user whose rollups wait."""
        query = {"user_id": user_id, "target": "daily_rollups", "date": {"$ne": NEWEST}}
        return {date.fromisoformat(entry["date"]) for entry in self._queue.find(query)}

    @contextmanager
    def rebuilding(self, user_id: str, target: RebuildTarget, dates: Iterable[str] = (WHOLE,)) -> Iterator[None]:
        """Run the block that rebuilds `target` for `dates`, then take away the marks it has dealt with."""
        dates = sorted(set(dates))
        scope: dict[str, Any] = {"user_id": user_id, "target": target}
        seen = {
            entry["date"]: entry["mark"] for entry in self._queue.find({**scope, "date": {"$in": [*dates, NEWEST]}})
        }
        yield
        newest = self._queue.find_one({**scope, "date": NEWEST})
        if newest is not None and newest["mark"] != seen.get(NEWEST):
            self.mark(user_id, target, dates)
            return
        marks = sorted(set(seen.values()))
        self._queue.delete_many({**scope, "date": {"$in": dates}, "mark": {"$in": marks}})
