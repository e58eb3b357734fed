"""Carries over what earlier versions stored in other collections, when a database is opened at a start.

Earlier versions kept the dates that wait for a rebuild in ``rebuild_queue``, and the dates of changed rollups in
``rollup_changes``.
"""

import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import get_args

from pymongo.errors import BulkWriteError

from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.operations import Source
from echostats_pipeline.storage.change_marks import CONSUMERS, NEWEST, ChangeMarks
from echostats_pipeline.storage.database import Db, Document, duplicates

SOURCES: tuple[Source, ...] = get_args(Source)
BUILT_BEFORE = ("analytics_snapshots", "daily_rollups", "statistics_years")
"""The consumers that earlier versions have built; a later consumer is built from nothing."""


def carry_over_marks(db: Db) -> int:
    """Turn the entries of ``rebuild_queue`` into marks, and drop both collections; return the number of entries.

    An entry is deleted only after its mark is set, so an interrupted start is completed by the next one. Entries that a
    process of an earlier version adds meanwhile are also left for the next start.
    """
    existing = set(db.list_collection_names())
    marked = _carry_over_queue(db) if "rebuild_queue" in existing else 0
    if "rollup_changes" in existing:
        # A process may have died after it wrote rollups and before it asked for snapshots.
        for user_id in db["rollup_changes"].distinct("user_id", {"stale.0": {"$exists": True}}):
            ChangeMarks(db).ask(user_id, "analytics_snapshots")
        db["rollup_changes"].drop()
    return marked


def _carry_over_queue(db: Db) -> int:
    queue, now = db["rebuild_queue"], utc_now()
    _insert(db, (_newest(str(user_id), source, now) for user_id in db["users"].distinct("_id") for source in SOURCES))
    found = list(queue.find())
    marks = [_mark(entry, now) for entry in found if entry["date"] and entry["target"] in CONSUMERS]
    _insert(db, marks)
    if found:
        queue.delete_many({"$or": [{"_id": entry["_id"], "mark": entry["mark"]} for entry in found]})
    if queue.find_one() is None:
        queue.drop()
    return len(marks)


def _insert(db: Db, marks: Iterable[Document]) -> None:
    if documents := list(marks):
        try:
            db["change_marks"].insert_many(documents, ordered=False)
        except BulkWriteError as error:
            duplicates(error)  # carried over by a start that was interrupted


def _newest(user_id: str, source: Source, now: datetime) -> Document:
    """The newest mark of a source whose changes until now have been read."""
    newest = {"user_id": user_id, "source": source, "date": NEWEST, "writer": "", "mark": secrets.token_hex(8)}
    return {**newest, "marked_at": now, "open_since": None, "read_by": list(BUILT_BEFORE)}


def _mark(entry: Document, now: datetime) -> Document:
    """The mark of an entry, in the first source of what had to be rebuilt."""
    opened = entry["open_since"]
    return {
        "user_id": entry["user_id"],
        "source": CONSUMERS[entry["target"]].sources[0],
        "date": entry["date"],
        "writer": f"rebuild_queue {entry['mark']}",
        "mark": f"rebuild_queue {entry['mark']}",
        "marked_at": now,
        "open_since": opened and min(opened, now),
        "read_by": [],
    }
