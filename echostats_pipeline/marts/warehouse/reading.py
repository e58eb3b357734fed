"""Reads from the core what the rows of the warehouse are made of."""

from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from typing import Any

import polars as pl

from echostats_pipeline.marts.warehouse.plays import READ_SCHEMA, no_plays
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.garbage_collection import paused_collection
from echostats_pipeline.storage.indexes import index_hint
from echostats_pipeline.storage.play_columns import PLAY_COLUMNS, converted
from echostats_pipeline.storage.plays import BY_END
from echostats_pipeline.transforms.statistics.plays import UTC_MS

COLUMNS = {
    **PLAY_COLUMNS,
    "source": "$source",
    "context_type": "$context_type",
    "reason_start": "$playback.reason_start",
    "shuffle": "$playback.shuffle",
    "offline": "$playback.offline",
    "platform": "$playback.platform",
    "country": "$playback.country",
}
CONVERTED = converted(COLUMNS, {**READ_SCHEMA, "played_at": pl.Int64()})
BY_DAY: Document = {
    "_id": {"$dateTrunc": {"date": "$played_at", "unit": "day"}},
    **{name: {"$push": {"$ifNull": [value, None]}} for name, value in CONVERTED.items()},
}
"""A day's plays as columns, built by the server; values of a wrong type, from other programs, become unknown."""


class CoreReader:
    """Read access to the core, for one update of the warehouse."""

    def __init__(self, db: Db) -> None:
        self._db = db

    def plays(self, user_id: str, start: datetime, end: datetime) -> pl.DataFrame:
        """Plays of one user that ended in ``[start, end)``, as `plays.READ_SCHEMA`, in no particular order."""
        history = self._db["listening_history"]
        match = {"user_id": user_id, "played_at": {"$gte": start, "$lt": end}}
        with paused_collection():
            days = list(history.aggregate([{"$match": match}, {"$group": BY_DAY}], **index_hint(history, BY_END)))
            if not days:
                return no_plays()
            columns = {
                name: pl.Series(
                    list(chain.from_iterable(day[name] for day in days)),
                    dtype=pl.Int64 if name == "played_at" else dtype,
                )
                for name, dtype in READ_SCHEMA.items()
            }
        return pl.DataFrame(columns).cast({"played_at": UTC_MS})

    def playlists(self, user_id: str) -> Iterator[dict[str, Any]]:
        """The playlists of a user without their tracks, with the number and the oldest instant of these."""
        added: Document = {"$min": "$tracks.added_at"}
        fields = ("spotify_id", "name", "description", "public", "owner_name")
        projected = {**dict.fromkeys(fields, 1), "first_added_at": added, "track_count": {"$size": _listed("$tracks")}}
        yield from self._db["playlists"].aggregate([{"$match": {"user_id": user_id}}, {"$project": projected}])

    def gaps(self, user_id: str) -> list[Document]:
        """The gaps of a user."""
        return list(self._db["listening_gaps"].find({"user_id": user_id}))

    def snapshots(self, user_id: str) -> list[Document]:
        """The snapshots of a user, by period."""
        return list(self._db["analytics_snapshots"].find({"user_id": user_id}, {"_id": 0}))


def _listed(field: str) -> Document:
    return {"$cond": [{"$isArray": [field]}, field, []]}
