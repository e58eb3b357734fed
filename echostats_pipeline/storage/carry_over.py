"""What databases of earlier versions hold elsewhere, carried over when a database is opened at a start.

They kept what waits for a rebuild in ``rebuild_queue``, and in ``rollup_changes`` which rollups had changed.
"""

from datetime import datetime

from pymongo.errors import BulkWriteError

from echostats_pipeline.model.base import utc_now
from echostats_pipeline.storage.change_marks import READERS, ChangeMarks
from echostats_pipeline.storage.database import Db, Document, duplicates


def carry_over_marks(db: Db) -> int:
    """Make marks of all that waits in ``rebuild_queue``, and drop both collections; returns how many.

    Nothing is taken away before its mark is set: what is interrupted is done again at the next start. What a process of
    an earlier version marks meanwhile stays for that.
    """
    queue, now = db["rebuild_queue"], utc_now()
    found = list(queue.find())
    if marks := [_mark(entry, now) for entry in found if entry["date"] and entry["target"] in READERS]:
        try:
            db["change_marks"].insert_many(marks, ordered=False)
        except BulkWriteError as error:
            duplicates(error)  # carried over by a start that was interrupted
    if found:
        queue.delete_many({"$or": [{"_id": entry["_id"], "mark": entry["mark"]} for entry in found]})
        if queue.find_one() is None:
            queue.drop()
    # A process may have died after it wrote rollups and before it asked for snapshots.
    for user_id in db["rollup_changes"].distinct("user_id", {"stale.0": {"$exists": True}}):
        ChangeMarks(db).ask(user_id, "analytics_snapshots")
    db["rollup_changes"].drop()
    return len(marks)


def _mark(entry: Document, now: datetime) -> Document:
    """What waited for a rebuild, as a mark of the first source of what was to be rebuilt."""
    opened = entry["open_since"]
    return {
        "user_id": entry["user_id"],
        "source": READERS[entry["target"]][0],
        "date": entry["date"],
        "writer": f"rebuild_queue {entry['mark']}",
        "mark": f"rebuild_queue {entry['mark']}",
        "marked_at": now,
        "open_since": opened and min(opened, now),
        "read_by": [],
    }
