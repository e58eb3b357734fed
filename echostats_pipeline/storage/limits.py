"""Spotify's limits as every process of this installation sees them: calls made, waits imposed, routes refused."""

from collections.abc import Sequence
from datetime import datetime

from echostats_pipeline.storage.database import Db


class LimitStore:
    """Collections ``spotify_calls``, ``spotify_limits`` and ``refused_endpoints``.

    Satisfies `spotify.quota.CallLedger` and `spotify.endpoint_access.RegimeMemory`.
    """

    def __init__(self, db: Db) -> None:
        self._calls = db["spotify_calls"]
        self._limits = db["spotify_limits"]
        self._refused = db["refused_endpoints"]

    def record(self, family: str, at: datetime) -> None:
        """Count a call."""
        self._calls.insert_one({"family": family, "at": at})

    def calls(self, family: str, since: datetime) -> tuple[int, datetime | None]:
        """How many calls of a family were made after `since`, and when the oldest of them was."""
        within = {"family": family, "at": {"$gt": since}}
        oldest = self._calls.find_one(within, {"at": 1}, sort=[("at", 1)])
        if oldest is None:
            return 0, None
        return self._calls.count_documents(within), oldest["at"]

    def not_before(self, family: str) -> datetime | None:
        """Until when no call of a family is made; None if that was never said. The instant may have passed."""
        found = self._limits.find_one({"family": family})
        return None if found is None else found["not_before"]

    def postpone(self, family: str, until: datetime, reason: str) -> None:
        """Make no call of a family before `until`; an earlier word for longer stays."""
        self._limits.update_one(
            {"family": family},
            [
                {
                    "$set": {
                        "reason": {"$cond": [{"$gt": [until, "$not_before"]}, reason, "$reason"]},
                        "not_before": {"$max": [until, "$not_before"]},
                    }
                }
            ],
            upsert=True,
        )

    def waiting(self, families: Sequence[str], now: datetime) -> dict[str, tuple[datetime, str]]:
        """Of the given families those that wait, with until when and why."""
        found = self._limits.find({"family": {"$in": list(families)}, "not_before": {"$gt": now}})
        return {limit["family"]: (limit["not_before"], limit["reason"]) for limit in found}

    def refused_until(self, endpoint: str) -> datetime | None:
        """Until when a route is taken as refused; None if it never was."""
        found = self._refused.find_one({"endpoint": endpoint})
        return None if found is None else found["until"]

    def remember_refused(self, endpoint: str, until: datetime) -> None:
        """Take a route as refused until then."""
        self._refused.update_one({"endpoint": endpoint}, {"$set": {"until": until}}, upsert=True)
