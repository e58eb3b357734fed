"""Stores incidents (collection ``incidents``): what is wrong, since when, and who has been notified.

There is one document per key, for the latest incident of that key. Several processes may see, close and notify an
incident at the same time, so every change is one conditional write.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.operations import Incident, IncidentKind
from echostats_pipeline.storage.conformity import sound_part
from echostats_pipeline.storage.database import TOLERANT, Db, Document

RETRY_AFTER = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 720, 720))
"""How long to wait after each failed attempt to send a notice; after the last one the notice is given up."""


class IncidentStore:
    """Opens, counts and closes incidents, and hands out the notices that are due."""

    def __init__(self, db: Db) -> None:
        self._incidents = db["incidents"]

    def see(self, seen: Incident) -> bool:
        """Record that something is wrong. True if that opens an incident, False if it is already open.

        A report that is not newer than the last one is not counted.
        """
        while True:
            if self.get(seen.key, open_only=True) is not None:
                newer = {"key": seen.key, "closed_at": None, "last_seen_at": {"$lt": seen.last_seen_at}}
                last = {"last_seen_at": seen.last_seen_at, "run_id": seen.run_id}
                self._incidents.update_one(newer, {"$inc": {"count": 1}, "$set": last})
                return False
            again = {"key": seen.key, "closed_at": {"$ne": None, "$lt": seen.last_seen_at}}
            if self._incidents.replace_one(again, seen.to_bson()).matched_count:
                return True
            if self.get(seen.key) is not None:
                return False  # it was solved after this report
            try:
                self._incidents.insert_one(seen.to_bson())
            except DuplicateKeyError:
                continue  # another process has just opened it
            return True

    def close(self, key: str, at: datetime, *, notify: bool = True) -> bool:
        """Record that a problem is solved; False if no incident was open.

        Args:
            key: Key of the incident.
            at: When it was solved.
            notify: Whether to notify the receivers of the first notice that it has ended.
        """
        fresh: Document = {"closed_at": at, "attempts": 0, "next_attempt_at": None, "accepted_by": []}
        was_notified = {"$and": [notify, {"$ne": ["$notified_at", None]}]}
        change = [{"$set": {**fresh, "pending": {"$cond": [was_notified, "closed", ""]}}}]
        return self._incidents.update_one({"key": key, "closed_at": None}, change).modified_count == 1

    def get(self, key: str, *, open_only: bool = False) -> Incident | None:
        """The latest incident of a key, if there is one."""
        found = self._incidents.find_one({"key": key, **({"closed_at": None} if open_only else {})})
        return None if found is None else Incident.model_validate(found)

    def open(self, kinds: Iterable[IncidentKind] = ("run", "check", "user")) -> list[Incident]:
        """Open incidents, the oldest first."""
        found = self._incidents.find({"closed_at": None, "kind": {"$in": list(kinds)}})
        return [Incident.model_validate(each) for each in found.sort([("opened_at", 1), ("key", 1)])]

    def open_in_part(self) -> list[Incident]:
        """Open incidents, the oldest first. A value that does not fit its field hides no incident."""
        found = self._incidents.with_options(TOLERANT).find({"closed_at": None}).sort([("opened_at", 1), ("key", 1)])
        return [sound_part(Incident, each, _needed(each)) for each in found]

    def due(self, now: datetime, limit: int) -> list[Incident]:
        """Incidents whose notice is to be sent now, the oldest first."""
        query = {
            "pending": {"$in": ["opened", "closed"]},
            "attempts": {"$lt": len(RETRY_AFTER)},
            "$or": [{"next_attempt_at": None}, {"next_attempt_at": {"$lte": now}}],
        }
        found = self._incidents.find(query).sort([("opened_at", 1), ("key", 1)]).limit(limit)
        return [Incident.model_validate(each) for each in found]

    def claim(self, incident: Incident, now: datetime) -> bool:
        """Reserve the notice that is due for one attempt to send it; False if another process has reserved it.

        If the process dies meanwhile, the notice is sent at the next attempt.
        """
        change = {"$inc": {"attempts": 1}, "$set": {"next_attempt_at": now + RETRY_AFTER[incident.attempts]}}
        return self._incidents.update_one(_as_seen(incident, incident.attempts), change).modified_count == 1

    def sent(self, incident: Incident, accepted_by: Sequence[str], now: datetime, *, complete: bool) -> None:
        """Record which addresses have accepted a reserved notice; `complete` if all have."""
        fields: Document = {"accepted_by": list(accepted_by)}
        if complete:
            fields |= {"pending": ""}
        if incident.pending == "opened" and accepted_by and incident.notified_at is None:
            fields |= {"notified_at": now}
        self._incidents.update_one(_as_seen(incident, incident.attempts + 1), {"$set": fields})


def _as_seen(incident: Incident, attempts: int) -> Document:
    return {
        "key": incident.key,
        "opened_at": incident.opened_at,
        "pending": incident.pending,
        "attempts": attempts,
    }


def _needed(incident: Document) -> Document:
    """The fields that an incident must have, for one whose own cannot be read."""
    made = incident["_id"].generation_time if isinstance(incident["_id"], ObjectId) else utc_now()
    return {
        "key": str(incident["_id"]),
        "kind": "run",
        "subject": "Something failed",
        "cause": "Its record cannot be read",
        "opened_at": made,
        "last_seen_at": made,
    }
