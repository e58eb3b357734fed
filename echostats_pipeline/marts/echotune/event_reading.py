"""Reads from events what must outlive them: tracks that were dismissed, and how many events there were by month."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo.collection import Collection

from echostats_pipeline.marts.echotune.events import KEPT
from echostats_pipeline.marts.echotune.recommendations import Feedback, Said
from echostats_pipeline.model.operations import EventMonth
from echostats_pipeline.storage.database import Document

LATE = timedelta(minutes=10)
"""An application's events may come so much later than their time says."""


def dismissed(events: Collection[Document], user: ObjectId, since: datetime | None) -> dict[str, Said]:
    """What an application's events say a user has dismissed since an instant, by the id of the event as a text.

    A dismissal is a dislike. Some events are found that were there before the instant: see `LATE`.
    """
    query: Document = {
        "userId": user,
        "eventType": "recommendation.dismissed",
        "metadata.trackId": {"$type": "string"},
        **({} if since is None else {"timestamp": {"$gte": since - LATE}}),
    }
    found = events.find(query, {"metadata.trackId": 1, "timestamp": 1})
    return {
        str(each["_id"]): Said(
            each["timestamp"], Feedback.stored({"user_feedback": {"disliked_tracks": [each["metadata"]["trackId"]]}})
        )
        for each in found
        if isinstance(each.get("timestamp"), datetime)
    }


def months_counted(
    events: Collection[Document], user: ObjectId, kept: Iterable[EventMonth], now: datetime
) -> list[EventMonth]:
    """How many events a user had in each month.

    A month is counted again as long as none of its events can have expired. Later its last count is kept.

    Args:
        events: The collection of events.
        user: The user's id in EchoTune's database.
        kept: The months as they were counted before.
        now: The present instant.
    """
    first = _next_month(now - KEPT)
    pipeline: list[Mapping[str, Any]] = [
        {"$match": {"userId": user, "timestamp": {"$gte": first}}},
        {
            "$group": {
                "_id": {"month": {"$dateToString": {"date": "$timestamp", "format": "%Y-%m"}}, "type": "$eventType"},
                "count": {"$sum": 1},
            }
        },
        {"$sort": {"_id": 1}},
    ]
    counted: dict[str, dict[str, int]] = {}
    for each in events.aggregate(pipeline):
        counted.setdefault(each["_id"]["month"], {})[each["_id"].get("type") or ""] = each["count"]
    older = [each for each in kept if each.month < f"{first:%Y-%m}"]
    return [*older, *(EventMonth(month=month, events=of_month) for month, of_month in sorted(counted.items()))]


def _next_month(instant: datetime) -> datetime:
    """The beginning of the first month that begins at or after an instant."""
    begun = instant.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return begun if begun == instant else (begun + timedelta(days=32)).replace(day=1)
