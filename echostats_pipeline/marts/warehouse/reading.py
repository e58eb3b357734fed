"""Reads from the core what the rows of the warehouse are made of."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import polars as pl

from echostats_pipeline.marts.warehouse.plays import READ_SCHEMA
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.play_columns import PLAY_COLUMNS
from echostats_pipeline.storage.plays import PlayStore

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


class CoreReader:
    """Read access to the core, for one update of the warehouse."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._plays = PlayStore(db)

    def plays(self, user_id: str, start: datetime, end: datetime) -> pl.DataFrame:
        """Plays of one user that ended in ``[start, end)``, as `plays.READ_SCHEMA`, in no particular order."""
        return self._plays.read_columns(user_id, start, end, COLUMNS, READ_SCHEMA)

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
