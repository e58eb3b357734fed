"""Stores how far the libraries of users have been read (``library_readings``, ``unread_playlists``).

A pass over a library may take days and several runs. After every call, all that it needs to continue is stored here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pymongo import UpdateOne

from echostats_pipeline.model.library import AskedInVain, LibraryPart, LibraryReading, PlaylistTrack, UnreadPlaylist
from echostats_pipeline.storage.database import Db, Document


@dataclass(frozen=True)
class UnreadCounts:
    """Counts of a user's playlists whose contents are still to be read.

    Attributes:
        playlists: The number of playlists.
        stored: How many of these are stored in an earlier version.
        rows: For each playlist, the number of rows still to be read.
        failed: How many of these could not be read at the last attempt.
    """

    playlists: int = 0
    stored: int = 0
    rows: tuple[int, ...] = ()
    failed: int = 0


class ReadingStore:
    """Remembers where reading continues, and how many calls were made for each user."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._readings = db["library_readings"]
        self._unread = db["unread_playlists"]

    def get(self, user_id: str, part: LibraryPart) -> LibraryReading:
        """How far a part of a user's library has been read; the initial state if it never was."""
        found = self._readings.find_one({"user_id": user_id, "part": part})
        return LibraryReading.model_validate(found or {"user_id": user_id, "part": part})

    def all(self, part: LibraryPart) -> dict[str, LibraryReading]:
        """The same for all users, by user id, without the fields that only the pass itself needs."""
        found = self._readings.find({"part": part}, {"listed": 0, "newest": 0, "in_vain": 0})
        return {each["user_id"]: LibraryReading.model_validate(each) for each in found}

    def note(self, user_id: str, part: LibraryPart, **fields: Any) -> None:
        """Set some fields of a `LibraryReading`."""
        self._readings.update_one({"user_id": user_id, "part": part}, {"$set": fields}, upsert=True)

    def spend(self, user_id: str, part: LibraryPart, at: datetime, since: datetime) -> None:
        """Count a call made now, and forget the times of calls before `since`."""
        lately = {"$filter": {"input": {"$ifNull": ["$called_at", []]}, "cond": {"$gt": ["$$this", since]}}}
        counted = {"calls": {"$add": [{"$ifNull": ["$calls", 0]}, 1]}, "called_at": {"$concatArrays": [lately, [at]]}}
        self._readings.update_one({"user_id": user_id, "part": part}, [{"$set": counted}], upsert=True)

    def list_playlists(self, user_id: str, ids: Sequence[str], *, nameless: int, place: int, total: int) -> None:
        """Record a page of the list of playlists: the playlists on it, and where the next page begins."""
        self._readings.update_one(
            {"user_id": user_id, "part": "playlists"},
            {
                "$addToSet": {"listed": {"$each": list(ids)}},
                "$inc": {"nameless": nameless},
                "$set": {"place": place, "total": total},
            },
        )

    def in_vain(self, user_id: str, asked: AskedInVain) -> None:
        """Record that Spotify does not show the contents of a playlist."""
        self._readings.update_one(
            {"user_id": user_id, "part": "playlists"}, {"$push": {"in_vain": asked.model_dump()}}, upsert=True
        )

    def put_unread(self, playlists: Sequence[UnreadPlaylist]) -> None:
        """Add playlists whose contents are to be read; contents already read of the same version are kept."""
        operations = []
        for playlist in playlists:
            key = {"user_id": playlist.user_id, "spotify_id": playlist.spotify_id}
            fresh = {name: value for name, value in playlist.to_bson().items() if name not in ("told", "number")}
            listed = {"told": playlist.told, "number": playlist.number}
            same = {**key, "snapshot_id": playlist.snapshot_id}
            operations += [
                UpdateOne({**key, "snapshot_id": {"$ne": playlist.snapshot_id}}, {"$set": fresh}),
                UpdateOne(key, {"$setOnInsert": {n: v for n, v in fresh.items() if n not in key}}, upsert=True),
                UpdateOne(same, {"$set": listed}),
            ]
        if operations:
            self._unread.bulk_write(operations)

    def unread_count(self, user_id: str) -> int:
        """The number of a user's playlists whose contents are still to be read."""
        return self._unread.count_documents({"user_id": user_id})

    def next_unread(self, user_id: str, but: Sequence[str]) -> UnreadPlaylist | None:
        """The playlist to read next, except `but`: playlists that never failed first, in Spotify's order."""
        wanted = {"user_id": user_id, "spotify_id": {"$nin": list(but)}}
        found = self._unread.find_one(wanted, sort=[("failures", 1), ("number", 1), ("spotify_id", 1)])
        return None if found is None else UnreadPlaylist.model_validate(found)

    def keep_page(self, playlist: UnreadPlaylist, tracks: Sequence[PlaylistTrack], *, place: int, total: int) -> None:
        """Add a page of rows to the contents read so far."""
        rows = [track.model_dump() for track in tracks]
        self._unread.update_one(
            _of(playlist), {"$push": {"tracks": {"$each": rows}}, "$set": {"place": place, "total": total}}
        )

    def start_over(self, playlist: UnreadPlaylist) -> None:
        """Forget the contents read so far, because the playlist has changed meanwhile."""
        self._unread.update_one(_of(playlist), {"$set": {"tracks": [], "place": 0}})

    def fail(self, playlist: UnreadPlaylist) -> None:
        """Record that a playlist could not be read."""
        self._unread.update_one(_of(playlist), {"$inc": {"failures": 1}})

    def is_read(self, playlist: UnreadPlaylist) -> None:
        """Remove a playlist whose contents have been read."""
        self._unread.delete_one(_of(playlist))

    def drop_unlisted(self, user_id: str, listed: Sequence[str]) -> None:
        """Remove the playlists that Spotify no longer lists."""
        self._unread.delete_many({"user_id": user_id, "spotify_id": {"$nin": list(listed)}})

    def unread(self) -> dict[str, UnreadCounts]:
        """For every user with playlists to read, how much there is to read."""
        stages: list[Document] = [
            {
                "$lookup": {
                    "from": "playlists",
                    "let": {"user": "$user_id", "id": "$spotify_id"},
                    "pipeline": [
                        {
                            "$match": {
                                "$expr": {"$and": [{"$eq": ["$user_id", "$$user"]}, {"$eq": ["$spotify_id", "$$id"]}]}
                            }
                        },
                        {"$project": {"_id": 1}},
                    ],
                    "as": "stored",
                }
            },
            {
                "$group": {
                    "_id": "$user_id",
                    "playlists": {"$sum": 1},
                    "stored": {"$sum": {"$size": "$stored"}},
                    "rows": {"$push": {"$subtract": ["$total", "$place"]}},
                    "failed": {"$sum": {"$cond": [{"$gt": ["$failures", 0]}, 1, 0]}},
                }
            },
        ]
        return {
            each["_id"]: UnreadCounts(each["playlists"], each["stored"], tuple(each["rows"]), each["failed"])
            for each in self._unread.aggregate(stages)
        }


def _of(playlist: UnreadPlaylist) -> Document:
    return {"user_id": playlist.user_id, "spotify_id": playlist.spotify_id}
