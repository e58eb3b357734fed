"""Stores Spotify's limits for all processes of this installation: calls made, waits imposed, endpoints refused."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from pymongo import ReturnDocument

from echostats_pipeline.storage.database import Db


class LimitStore:
    """Collections ``spotify_calls``, ``spotify_limits`` and ``refused_endpoints``.

    Satisfies `spotify.quota.CallLedger` and `spotify.endpoint_access.RefusalMemory`.
    """

    def __init__(self, db: Db) -> None:
        self._calls = db["spotify_calls"]
        self._limits = db["spotify_limits"]
        self._refused = db["refused_endpoints"]

    def record(self, family: str, at: datetime) -> None:
        """Count a call."""
        self._calls.insert_one({"family": family, "at": at})

    def calls(self, family: str, since: datetime) -> tuple[int, datetime | None]:
        """The number of a family's calls after `since`, and the instant of the oldest of these."""
        within = {"family": family, "at": {"$gt": since}}
        oldest = self._calls.find_one(within, {"at": 1}, sort=[("at", 1)])
        if oldest is None:
            return 0, None
        return self._calls.count_documents(within), oldest["at"]

    def not_before(self, family: str) -> datetime | None:
        """The time before which no call of a family is made; it may have passed. None if it was never set."""
        found = self._limits.find_one({"family": family})
        return None if found is None else found["not_before"]

    def postpone(self, family: str, until: datetime, reason: str) -> None:
        """Make no call of a family before `until`; a longer postponement stays."""
        self._limits.update_one(
            {"family": family},
            [
                {
                    "$set": {
                        "reason": {"$cond": [{"$gt": [until, "$not_before"]}, reason, "$reason"]},
                        "not_before": {"$max": [until, "$not_before"]},
                        "next_at": {"$ifNull": ["$next_at", None]},
                    }
                }
            ],
            upsert=True,
        )

    def reserve(self, family: str, now: datetime, pace: timedelta) -> datetime:
        """Reserve the next place in a family whose calls keep a pace, for one process of all; return its instant."""
        pace_ms = pace / timedelta(milliseconds=1)
        found = self._limits.find_one_and_update(
            {"family": family},
            [
                {
                    "$set": {
                        "not_before": {"$ifNull": ["$not_before", now]},
                        "reason": {"$ifNull": ["$reason", ""]},
                        "next_at": {"$add": [{"$max": [now, "$next_at"]}, pace_ms]},
                    }
                }
            ],
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return now if found is None else max(now, found["next_at"] - pace)

    def waiting(self, families: Sequence[str], now: datetime) -> dict[str, tuple[datetime, str]]:
        """The given families that are postponed, with the time and the reason."""
        found = self._limits.find({"family": {"$in": list(families)}, "not_before": {"$gt": now}})
        return {limit["family"]: (limit["not_before"], limit["reason"]) for limit in found}

    def refused_until(self, endpoint: str) -> datetime | None:
        """The time until which an endpoint counts as refused; None if it was never refused."""
        found = self._refused.find_one({"endpoint": endpoint})
        return None if found is None else found["until"]

    def remember_refused(self, endpoint: str, until: datetime) -> None:
        """Record that an endpoint counts as refused until then."""
        self._refused.update_one({"endpoint": endpoint}, {"$set": {"until": until}}, upsert=True)
