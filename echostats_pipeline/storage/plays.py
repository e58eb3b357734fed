"""Plays: read as frames, written as what merging decided (collections ``listening_history``, ``recently_played``)."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import polars as pl
from bson import ObjectId
from pymongo import UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError

from echostats_pipeline.model.catalog import Track
from echostats_pipeline.model.plays import ListeningGap, RecentlyPlayedPage
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.transforms.changes import STORED_SCHEMA, PlayChanges
from echostats_pipeline.transforms.plays import PLAYS_SCHEMA, UTC_MS

BATCH = 2_000
DUPLICATE_KEY = 11000

FLAT_PLAY = {
    "_id": 0,
    "played_at": {"$toLong": "$played_at"},
    "track_id": "$track.spotify_id",
    "track_name": "$track.name",
    "artist_name": "$track.artist_name",
    "album_name": "$track.album_name",
    "duration_ms": "$track.duration_ms",
    "ms_played": 1,
    "skipped": "$playback.skipped",
    "reason_end": "$playback.reason_end",
}
"""Flattened by the server: instants as whole milliseconds and no nesting make decoding cheap."""

INSTANTS = ("played_at", "api_played_at", "import_ts", "offline_at")


class PlayStore:
    """The listening history and the pages on their way into it."""

    def __init__(self, db: Db) -> None:
        self._history = db["listening_history"]
        self._pages = db["recently_played"]
        self._gaps = db["listening_gaps"]

    def read(self, user_id: str, start: datetime | None = None, end: datetime | None = None) -> pl.DataFrame:
        """Plays of one user that ended in ``[start, end)`` as a frame of `PLAYS_SCHEMA`, in no particular order."""
        rows = list(self._history.aggregate([{"$match": _between(user_id, start, end)}, {"$project": FLAT_PLAY}]))
        return _frame(rows, PLAYS_SCHEMA, ("played_at",))

    def stored(self, user_id: str, start: datetime, end: datetime) -> pl.DataFrame:
        """Plays that ended in ``[start, end)``, or were exported with a ``ts`` in it, as a frame of `STORED_SCHEMA`."""
        exported = {"user_id": user_id, "import_ts": {"$gte": start, "$lt": end, "$type": "date"}}
        flat = {
            "_id": 0,
            "id": {"$toString": "$_id"},
            "track_id": "$track.spotify_id",
            "ms_played": 1,
            "source": 1,
            "import_key": 1,
            "played_at_estimated": 1,
            "played_at": {"$toLong": "$played_at"},
            "api_played_at": {"$toLong": "$api_played_at"},
            "import_ts": {"$toLong": "$import_ts"},
            "offline_at": {"$toLong": "$playback.offline_at"},
        }
        within = {"$match": {"$or": [_between(user_id, start, end), exported]}}
        return _frame(list(self._history.aggregate([within, {"$project": flat}])), STORED_SCHEMA, INSTANTS)

    def apply(self, changes: PlayChanges) -> None:
        """Write what a merge decided, updates first: a play may move to where another one has just left."""
        updates = [UpdateOne({"_id": ObjectId(play)}, {"$set": fields}) for play, fields in changes.updates]
        for start in range(0, len(updates), BATCH):
            self._history.bulk_write(updates[start : start + BATCH], ordered=True)
        for start in range(0, len(changes.inserts), BATCH):
            self._insert(changes.inserts[start : start + BATCH])

    def _insert(self, plays: list[Document]) -> None:
        """Insert plays; an export row whose place another play of its track holds goes a millisecond earlier."""
        while plays:
            try:
                self._history.insert_many(plays, ordered=False)
            except BulkWriteError as error:
                failures = error.details["writeErrors"]
                if any(failure["code"] != DUPLICATE_KEY for failure in failures):
                    raise
                taken = [plays[failure["index"]] for failure in failures]
                plays = [
                    {**play, "played_at": play["played_at"] - timedelta(milliseconds=1), "played_at_estimated": True}
                    for play in taken
                    if play.get("import_key") and not self._is_stored(play)
                ]
            else:
                return

    def _is_stored(self, play: Document) -> bool:
        """Whether the very row is stored: an interrupted batch may have written it before."""
        return self._history.find_one({"user_id": play["user_id"], "import_key": play["import_key"]}) is not None

    def newest(self, user_id: str) -> datetime | None:
        """When the user's newest stored play ended."""
        found = self._history.find_one({"user_id": user_id}, {"played_at": 1}, sort=[("played_at", -1)])
        return None if found is None else found["played_at"]

    def keep_page(self, page: RecentlyPlayedPage) -> bool:
        """Keep an answer of recently-played until it is merged.

        Returns:
            False if it is empty or the newest kept answer holds the same rows already; nothing was written then.
        """
        document = page.to_bson()
        newest = self._pages.find_one({"user_id": page.user_id}, {"items": 1, "withheld": 1}, sort=[("fetched_at", -1)])
        same = newest is not None and all(newest.get(rows, []) == document[rows] for rows in ("items", "withheld"))
        if same or not (page.items or page.withheld):
            return False
        self._pages.insert_one(document)
        return True

    def unmerged_pages(self, user_id: str) -> list[RecentlyPlayedPage]:
        """Answers of recently-played that are not in the history yet, oldest first."""
        query = {"user_id": user_id, "merged_at": None}
        return [RecentlyPlayedPage.model_validate(page) for page in self._pages.find(query).sort("fetched_at")]

    def page_merged(self, page: RecentlyPlayedPage, at: datetime) -> None:
        """Record that an answer is in the history."""
        self._pages.update_one({"_id": page.id}, {"$set": {"merged_at": at}})

    def record_gaps(self, gaps: Iterable[ListeningGap]) -> int:
        """Record intervals in which plays may be missing, and return how many are new; the same twice is one gap."""
        operations = [
            UpdateOne({"user_id": gap.user_id, "from": gap.from_}, {"$setOnInsert": gap.to_bson()}, upsert=True)
            for gap in gaps
        ]
        return self._gaps.bulk_write(operations).upserted_count if operations else 0

    def close_instants(self, user_id: str, stamps: Sequence[datetime], closed_by: str) -> None:
        """Close the gaps that are nothing but one of `stamps`: what ended then is known now."""
        instants = {"user_id": user_id, "closed_by": None, "from": {"$in": stamps}, "$expr": {"$eq": ["$from", "$to"]}}
        self._gaps.update_many(instants, {"$set": {"closed_by": closed_by}})

    def close_gaps(self, user_id: str, start: datetime, end: datetime, closed_by: str) -> int:
        """Close the gaps that lie within ``[start, end]``; returns how many those were."""
        within = {"user_id": user_id, "closed_by": None, "from": {"$gte": start}, "to": {"$lte": end}}
        return self._gaps.update_many(within, {"$set": {"closed_by": closed_by}}).modified_count

    def fill_tracks(self, tracks: Iterable[Track]) -> None:
        """Fill length and cover of stored plays that lack them."""
        operations = [
            UpdateMany(
                {"track.spotify_id": track.spotify_id, "track.duration_ms": 0},
                {
                    "$set": {
                        "track.duration_ms": track.duration_ms,
                        "track.album_image_url": track.album.image_url if track.album else "",
                    }
                },
            )
            for track in tracks
            if track.duration_ms > 0
        ]
        if operations:
            self._history.bulk_write(operations, ordered=False)

    def count(self, user_id: str, start: datetime, end: datetime) -> int:
        """How many plays ended in ``[start, end)``."""
        return self._history.count_documents(_between(user_id, start, end))


def _between(user_id: str, start: datetime | None, end: datetime | None) -> Document:
    bounds = {name: bound for name, bound in (("$gte", start), ("$lt", end)) if bound is not None}
    return {"user_id": user_id, "played_at": bounds} if bounds else {"user_id": user_id}


def _frame(rows: list[Document], schema: dict[str, pl.DataType] | pl.Schema, instants: Sequence[str]) -> pl.DataFrame:
    columns = {
        name: pl.Series(
            name, [row.get(name) for row in rows], dtype=pl.Int64 if name in instants else dtype, strict=True
        )
        for name, dtype in schema.items()
    }
    return pl.DataFrame(columns).with_columns(pl.col(*instants).cast(UTC_MS))
