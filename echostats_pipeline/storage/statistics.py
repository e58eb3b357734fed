"""Rollups and snapshots: replaced in place, never with a hole for a reader; rollups read back as frames."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

import polars as pl
from pymongo import DeleteOne, ReplaceOne

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.model.statistics import AnalyticsSnapshot, Period
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.transforms.snapshots import DAYS_SCHEMA, HOURS_SCHEMA, TRACK_DAYS_SCHEMA, RollupFrames

BATCH = 1_000


class StatisticsStore:
    """Collections ``daily_rollups`` and ``analytics_snapshots``."""

    def __init__(self, db: Db) -> None:
        self._rollups = db["daily_rollups"]
        self._snapshots = db["analytics_snapshots"]

    def replace_rollups(self, user_id: str, days: Iterable[date], documents: Sequence[Document]) -> int:
        """Make `documents` the rollups of `days`: replace what differs, remove what is no longer there.

        Returns:
            How many documents were written or removed; 0 if nothing had changed.
        """
        dates = {day.isoformat() for day in days}
        span = {"user_id": user_id, "date": {"$gte": min(dates, default=""), "$lte": max(dates, default="")}}
        stored = {found["date"]: found for found in self._rollups.find(span, {"_id": 0}) if found["date"] in dates}
        changed: list[Any] = [
            ReplaceOne({"user_id": user_id, "date": document["date"]}, document, upsert=True)
            for document in documents
            if stored.pop(document["date"], None) != document
        ]
        changed += [DeleteOne({"user_id": user_id, "date": day}) for day in stored]
        for start in range(0, len(changed), BATCH):
            self._rollups.bulk_write(changed[start : start + BATCH], ordered=False)
        return len(changed)

    def rollup_frames(self, user_id: str) -> RollupFrames:
        """All rollups of one user, taken apart for the snapshots."""
        days: list[tuple[Any, ...]] = []
        hours: list[tuple[Any, ...]] = []
        tracks: list[tuple[Any, ...]] = []
        projection = {"_id": 0, "artist_plays": 0, "album_plays": 0, "user_id": 0}
        for rollup in self._rollups.find({"user_id": user_id}, projection).sort("date"):
            day = date.fromisoformat(rollup["date"])
            days.append((day, rollup["total_plays"], rollup["total_ms"]))
            hours.extend((day, bucket["hour"], bucket["count"], bucket["ms"]) for bucket in rollup["hourly"])
            tracks.extend(
                (
                    day,
                    track["spotify_id"],
                    track["name"],
                    track["artist_name"],
                    track["album_name"],
                    track["count"],
                    track["ms"],
                )
                for track in (*rollup["track_plays"], *rollup["uncounted_tracks"])
            )
        return RollupFrames(
            days=pl.DataFrame(days, schema=DAYS_SCHEMA, orient="row"),
            hours=pl.DataFrame(hours, schema=HOURS_SCHEMA, orient="row"),
            tracks=pl.DataFrame(tracks, schema=TRACK_DAYS_SCHEMA, orient="row"),
        )

    def replace_snapshots(self, documents: Sequence[Document], computed_at: datetime) -> int:
        """Replace the snapshots of one user, each in one write; `computed_at` moves even if nothing else did."""
        self._snapshots.bulk_write(
            [
                ReplaceOne(
                    {"user_id": document["user_id"], "period": document["period"]},
                    {**document, "computed_at": computed_at},
                    upsert=True,
                )
                for document in documents
            ],
            ordered=False,
        )
        return len(documents)

    def snapshot(self, user_id: str, period: Period) -> AnalyticsSnapshot:
        """The snapshot of one user and period.

        Raises:
            NotFoundError: it was never built.
        """
        found = self._snapshots.find_one({"user_id": user_id, "period": period})
        if found is None:
            raise NotFoundError(f"There is no snapshot {period} of user {user_id} yet.")
        return AnalyticsSnapshot.model_validate(found)

    def period_ends(self) -> dict[str, datetime]:
        """User ids with the end of their current periods: from then on their snapshots are yesterday's."""
        found = self._snapshots.find({"period": "week"}, {"user_id": 1, "period_end": 1})
        return {snapshot["user_id"]: snapshot["period_end"] for snapshot in found}
