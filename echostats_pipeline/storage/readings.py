"""How far the libraries of users are read (collections ``library_readings``, ``unread_playlists``).

A pass over a library may take days and several runs. Whatever it needs to go on stands here after every call.
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
    """The playlists of a user that wait for their contents.

    Attributes:
        playlists: How many.
        stored: How many of them are stored in an earlier version.
        rows: How many rows each of them still has to show.
        failed: How many of them could not be read when they were asked for.
    """

    playlists: int = 0
    stored: int = 0
    rows: tuple[int, ...] = ()
    failed: int = 0


class ReadingStore:
    """Remembers where reading goes on, and who has made how many calls for it."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._readings = db["library_readings"]
        self._unread = db["unread_playlists"]

    def get(self, user_id: str, part: LibraryPart) -> LibraryReading:
        """How far a part of a user's library is read; of one that never was, the beginning."""
        found = self._readings.find_one({"user_id": user_id, "part": part})
        return LibraryReading.model_validate(found or {"user_id": user_id, "part": part})

    def all(self, part: LibraryPart) -> dict[str, LibraryReading]:
        """The same of everybody who was ever read, by user id, without what is only of use to the pass itself."""
        found = self._readings.find({"part": part}, {"listed": 0, "newest": 0, "in_vain": 0})
        return {each["user_id"]: LibraryReading.model_validate(each) for each in found}

    def note(self, user_id: str, part: LibraryPart, **fields: Any) -> None:
        """Set some fields of a `LibraryReading`."""
        self._readings.update_one({"user_id": user_id, "part": part}, {"$set": fields}, upsert=True)

    def spend(self, user_id: str, part: LibraryPart, at: datetime, since: datetime) -> None:
        """Count a call that is made now, and forget when those before `since` were."""
        lately = {"$filter": {"input": {"$ifNull": ["$called_at", []]}, "cond": {"$gt": ["$$this", since]}}}
        counted = {"calls": {"$add": [{"$ifNull": ["$calls", 0]}, 1]}, "called_at": {"$concatArrays": [lately, [at]]}}
        self._readings.update_one({"user_id": user_id, "part": part}, [{"$set": counted}], upsert=True)

    def list_playlists(self, user_id: str, ids: Sequence[str], *, nameless: int, place: int, total: int) -> None:
        """Note a page of the list of playlists: what it names, and where the next one begins."""
        self._readings.update_one(
            {"user_id": user_id, "part": "playlists"},
            {
                "$addToSet": {"listed": {"$each": list(ids)}},
                "$inc": {"nameless": nameless},
                "$set": {"place": place, "total": total},
            },
        )

    def in_vain(self, user_id: str, asked: AskedInVain) -> None:
        """Remember that a playlist does not show its contents."""
        self._readings.update_one(
            {"user_id": user_id, "part": "playlists"}, {"$push": {"in_vain": asked.model_dump()}}, upsert=True
        )

    def put_unread(self, playlists: Sequence[UnreadPlaylist]) -> None:
        """Have the contents of playlists read; what was read of the same version already is kept."""
        operations = []
        for playlist in playlists:
            key = {"user_id": playlist.user_id, "spotify_id": playlist.spotify_id}
            anew = {name: value for name, value in playlist.to_bson().items() if name not in ("told", "number")}
            told = {"told": playlist.told, "number": playlist.number}
            same = {**key, "snapshot_id": playlist.snapshot_id}
            operations += [
                UpdateOne({**key, "snapshot_id": {"$ne": playlist.snapshot_id}}, {"$set": anew}),
                UpdateOne(key, {"$setOnInsert": {n: v for n, v in anew.items() if n not in key}}, upsert=True),
                UpdateOne(same, {"$set": told}),
            ]
        if operations:
            self._unread.bulk_write(operations)

    def unread_count(self, user_id: str) -> int:
        """How many playlists of a user wait for their contents."""
        return self._unread.count_documents({"user_id": user_id})

    def next_unread(self, user_id: str, but: Sequence[str]) -> UnreadPlaylist | None:
        """The playlist to read next, but for some: those that never failed first, in Spotify's order."""
        wanted = {"user_id": user_id, "spotify_id": {"$nin": list(but)}}
        found = self._unread.find_one(wanted, sort=[("failures", 1), ("number", 1), ("spotify_id", 1)])
        return None if found is None else UnreadPlaylist.model_validate(found)

    def keep_page(self, playlist: UnreadPlaylist, tracks: Sequence[PlaylistTrack], *, place: int, total: int) -> None:
        """Add a page of contents to what is read of a playlist."""
        rows = [track.model_dump() for track in tracks]
        self._unread.update_one(
            _of(playlist), {"$push": {"tracks": {"$each": rows}}, "$set": {"place": place, "total": total}}
        )

    def start_over(self, playlist: UnreadPlaylist) -> None:
        """Forget what is read of a playlist: it has changed meanwhile."""
        self._unread.update_one(_of(playlist), {"$set": {"tracks": [], "place": 0}})

    def fail(self, playlist: UnreadPlaylist) -> None:
        """Note that a playlist could not be read."""
        self._unread.update_one(_of(playlist), {"$inc": {"failures": 1}})

    def is_read(self, playlist: UnreadPlaylist) -> None:
        """Let a playlist wait no longer."""
        self._unread.delete_one(_of(playlist))

    def drop_unlisted(self, user_id: str, listed: Sequence[str]) -> None:
        """Let no playlist wait that Spotify does not list any more."""
        self._unread.delete_many({"user_id": user_id, "spotify_id": {"$nin": list(listed)}})

    def unread(self) -> dict[str, UnreadCounts]:
        """Of every user with playlists that wait for their contents, how much that is."""
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
