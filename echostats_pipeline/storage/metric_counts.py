"""Counts documents for the metrics. Every query is answered by an index, because metrics are read every few seconds."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, get_args

from echostats_pipeline.model.operations import JobType
from echostats_pipeline.storage.database import Db


class Measures:
    """Counts over several collections."""

    def __init__(self, db: Db) -> None:
        self._db = db

    def calls(self, since: datetime) -> dict[tuple[str, int], int]:
        """HTTP attempts after an instant, by family of endpoints and status code; 0 means no response."""
        return self._grouped("api_logs", {"timestamp": {"$gt": since}}, ("family", "status_code"))

    def jobs(self, user_ids: Sequence[str], since: datetime) -> dict[tuple[str, str], int]:
        """Jobs of the given users that were created after an instant, by kind and status."""
        recent = {
            "user_id": {"$in": list(user_ids)},
            "job_type": {"$in": list(get_args(JobType))},
            "created_at": {"$gt": since},
        }
        return self._grouped("sync_jobs", recent, ("job_type", "status"))

    def open_jobs(self) -> int:
        """The number of jobs with the status running."""
        return self._db["sync_jobs"].count_documents({"status": "running"})

    def gaps(self, user_id: str) -> int:
        """The number of intervals in which plays of a user may be missing."""
        return self._db["listening_gaps"].count_documents({"user_id": user_id})

    def _grouped(self, name: str, query: dict[str, Any], fields: tuple[str, str]) -> dict[tuple[Any, Any], int]:
        groups: list[Any] = [
            {"$match": query},
            {"$group": {"_id": [f"${field}" for field in fields], "count": {"$sum": 1}}},
        ]
        return {tuple(group["_id"]): group["count"] for group in self._db[name].aggregate(groups)}
