"""What users keep: playlists, saved tracks, Spotify's own top items."""

from collections.abc import Sequence
from datetime import datetime

from pymongo import ReplaceOne, UpdateOne

from echostats_pipeline.model.base import Document as Model
from echostats_pipeline.model.base import known_fields
from echostats_pipeline.model.library import Playlist, SavedTrack, TopItems
from echostats_pipeline.storage.database import Db


class LibraryStore:
    """Collections ``playlists``, ``saved_tracks`` and ``top_items``."""

    def __init__(self, db: Db) -> None:
        self._db = db

    def replace_playlists(self, user_id: str, playlists: Sequence[Playlist]) -> None:
        """Make `playlists` the user's playlists; those not among them are removed.

        Only what Spotify has sent is set: a playlist without contents keeps those it had.
        """
        operations = []
        for playlist in playlists:
            known = known_fields(playlist)
            first = {name: value for name, value in playlist.to_bson().items() if name not in known}
            operations.append(
                UpdateOne(
                    {"user_id": user_id, "spotify_id": playlist.spotify_id},
                    {"$set": known, **({"$setOnInsert": first} if first else {})},
                    upsert=True,
                )
            )
        if operations:
            self._db["playlists"].bulk_write(operations, ordered=False)
        self._remove_others("playlists", user_id, [playlist.spotify_id for playlist in playlists])

    def snapshot_ids(self, user_id: str) -> dict[str, str]:
        """Spotify ids of the stored playlists with the version of their contents."""
        found = self._db["playlists"].find({"user_id": user_id}, {"spotify_id": 1, "snapshot_id": 1})
        return {playlist["spotify_id"]: playlist["snapshot_id"] for playlist in found}

    def top_items_are_younger_than(self, instant: datetime, user_id: str) -> bool:
        """Whether a user's rankings were read after `instant`."""
        return self._db["top_items"].find_one({"user_id": user_id, "fetched_at": {"$gt": instant}}) is not None

    def saved_count(self, user_id: str) -> int:
        """How many saved tracks of a user are stored."""
        return self._db["saved_tracks"].count_documents({"user_id": user_id})

    def put_saved_tracks(self, user_id: str, tracks: Sequence[SavedTrack], *, all_of_them: bool) -> None:
        """Store saved tracks; if they are `all_of_them`, those not among them are removed."""
        self._upsert("saved_tracks", user_id, tracks, ("spotify_id",))
        if all_of_them:
            self._remove_others("saved_tracks", user_id, [track.spotify_id for track in tracks])

    def put_top_items(self, user_id: str, rankings: Sequence[TopItems]) -> None:
        """Replace the rankings Spotify computed for a user."""
        self._upsert("top_items", user_id, rankings, ("kind", "time_range"))

    def _upsert(self, name: str, user_id: str, documents: Sequence[Model], key: tuple[str, ...]) -> None:
        bodies = [document.to_bson() for document in documents]
        if bodies:
            self._db[name].bulk_write(
                [
                    ReplaceOne({"user_id": user_id, **{field: body[field] for field in key}}, body, upsert=True)
                    for body in bodies
                ],
                ordered=False,
            )

    def _remove_others(self, name: str, user_id: str, kept: list[str]) -> None:
        """Runs after the upserts, so that a reader never sees fewer documents than the user has."""
        self._db[name].delete_many({"user_id": user_id, "spotify_id": {"$nin": kept}})
