"""Marks what must be rebuilt because its source changed (collection ``rebuild_queue``).

These rules make a rebuild and a change of its source safe at the same time, without a lock:

- A writer sets an open mark before it writes and a plain one after. No rebuild deletes an open mark, because it cannot
  know whether it read before or after the write. The mark of a killed writer stays open; after `OPEN_FOR` it counts as
  plain. So a crash may cost an unnecessary rebuild, but no rebuild is ever missed.
- A rebuild remembers the newest mark before it reads and compares it after it has written. If the mark has changed,
  the result may be older than what another process wrote meanwhile: the rebuild marks its own dates again.

All times are by the database's clock, which all processes share.
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
"""The ``date`` of the document with the newest mark of a user and target."""
WHOLE = "all"
"""The ``date`` of a target that is not built by date."""

NEVER = datetime(9999, 1, 1, tzinfo=UTC)
OPEN_FOR = timedelta(minutes=5)
"""Longer than any change takes: the process that set an older open mark has died."""
WAITING: dict[str, Any] = {
    "date": {"$ne": NEWEST},
    "$expr": {"$lt": ["$open_since", {"$subtract": ["$$NOW", int(OPEN_FOR.total_seconds() * 1000)]}]},
}
"""Selects plain marks, and open marks whose writer has died (null sorts before every date)."""


@dataclass(frozen=True)
class BegunRebuild:
    """The marks at the beginning of a rebuild: those of its dates, and the newest of its target."""

    user_id: str
    target: RebuildTarget
    dates: list[str]
    seen: list[str]
    newest: str | None


class RebuildQueue:
    """Marks of outdated documents, per user, target and date."""

    def __init__(self, db: Db) -> None:
        self._queue = db["rebuild_queue"]

    def mark(
        self, user_id: str, target: RebuildTarget, dates: Iterable[str] = (WHOLE,), *, opened: bool = False
    ) -> None:
        """Request a rebuild of `target` for the given dates (``YYYY-MM-DD``).

        Args:
            user_id: Owner of the documents.
            target: What to rebuild.
            dates: The dates to rebuild.
            opened: Whether the change of the source is still to come.
        """
        dates = sorted(set(dates))
        if not dates:
            return
        scope = {"user_id": user_id, "target": target}
        marked = [{"$set": {"mark": secrets.token_hex(8), "open_since": "$$NOW" if opened else None}}]
        # One insert and one update of many take a tenth of the time of many upserts. Inserted marks count as open until
        # the update, which knows the server's time.
        known = self._queue.distinct("date", {**scope, "date": {"$in": dates}})
        new = [{**scope, "date": day, "mark": "", "open_since": NEVER} for day in sorted(set(dates) - set(known))]
        if new:
            try:
                self._queue.insert_many(new, ordered=False)
            except BulkWriteError as error:
                duplicates(error)  # another process has just inserted the others
        found = self._queue.update_many({**scope, "date": {"$in": dates}}, marked).matched_count
        gone = dates if found < len(dates) else []  # a rebuild has just deleted some
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
        finally:  # a block that fails may have written some documents
            self.mark(user_id, "daily_rollups", dates)

    def pending(self, target: RebuildTarget) -> dict[str, list[str]]:
        """The marked dates that wait for a rebuild, in order, by user id."""
        waiting: dict[str, list[str]] = {}
        for entry in self._queue.find({"target": target, **WAITING}).sort([("user_id", 1), ("date", 1)]):
            waiting.setdefault(entry["user_id"], []).append(entry["date"])
        return waiting

    def pending_days(self, user_id: str) -> set[date]:
        """The dates of one user whose rollups wait for a rebuild."""
        query = {"user_id": user_id, "target": "daily_rollups", **WAITING}
        return {date.fromisoformat(entry["date"]) for entry in self._queue.find(query)}

    def changing_days(self, user_id: str) -> set[date]:
        """The dates of one user that are being changed now, or were when the process that changed them died."""
        query = {"user_id": user_id, "target": "daily_rollups", "date": {"$ne": NEWEST}, "open_since": {"$ne": None}}
        return {date.fromisoformat(entry["date"]) for entry in self._queue.find(query)}

    def marks(self, user_id: str, target: RebuildTarget) -> dict[str, str]:
        """All marks by date, including those of changes in progress and the newest one."""
        found = self._queue.find({"user_id": user_id, "target": target})
        return {entry["date"]: entry["mark"] for entry in found}

    @contextmanager
    def rebuilding(self, user_id: str, target: RebuildTarget, dates: Iterable[str] = (WHOLE,)) -> Iterator[None]:
        """Run the block that rebuilds `target` for `dates`, then delete the marks that this has settled."""
        begun = self.begin(user_id, target, dates)
        yield
        self.finish(begun)

    def begin(self, user_id: str, target: RebuildTarget, dates: Iterable[str]) -> BegunRebuild:
        """Remember the marks, before anything is read to rebuild `target` for `dates`."""
        dates = sorted(set(dates))
        scope = {"user_id": user_id, "target": target}
        seen = [entry["mark"] for entry in self._queue.find({**scope, **WAITING, "date": {"$in": dates}})]
        return BegunRebuild(user_id, target, dates, sorted(set(seen)), self._newest(scope))

    def finish(self, begun: BegunRebuild) -> None:
        """Delete the marks that a rebuild has settled, once everything is written."""
        scope = {"user_id": begun.user_id, "target": begun.target}
        if self._newest(scope) != begun.newest:
            self.mark(begun.user_id, begun.target, begun.dates)
        else:
            self._queue.delete_many({**scope, "date": {"$in": begun.dates}, "mark": {"$in": begun.seen}})

    def _newest(self, scope: Document) -> str | None:
        entry = self._queue.find_one({**scope, "date": NEWEST})
        return None if entry is None else entry["mark"]
