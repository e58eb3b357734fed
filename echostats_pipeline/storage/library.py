"""Stores the libraries of users: playlists, saved tracks, Spotify's own top items."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pymongo import UpdateOne

from echostats_pipeline.model.base import Document as Model
from echostats_pipeline.model.base import known_fields
from echostats_pipeline.model.library import Playlist, SavedTrack, TopItems
from echostats_pipeline.storage.database import Db


class LibraryStore:
    """Collections ``playlists``, ``saved_tracks`` and ``top_items``."""

    def __init__(self, db: Db) -> None:
        self._db = db

    def put_playlists(self, playlists: Sequence[Playlist]) -> None:
        """Store playlists, each in one write.

        Only fields that Spotify has sent are set: a playlist without contents keeps its stored ones.
        """
        operations = []
        for playlist in playlists:
            known = known_fields(playlist)
            first = {name: value for name, value in playlist.to_bson().items() if name not in known}
            operations.append(
                UpdateOne(
                    {"user_id": playlist.user_id, "spotify_id": playlist.spotify_id},
                    {"$set": known, **({"$setOnInsert": first} if first else {})},
                    upsert=True,
                )
            )
        if operations:
            self._db["playlists"].bulk_write(operations, ordered=False)

    def keep_playlists(self, user_id: str, kept: Sequence[str]) -> None:
        """Remove all playlists of a user except these ids."""
        self._db["playlists"].delete_many({"user_id": user_id, "spotify_id": {"$nin": list(kept)}})

    def remove_playlist(self, user_id: str, spotify_id: str) -> None:
        """Remove one playlist of a user, if it exists."""
        self._db["playlists"].delete_one({"user_id": user_id, "spotify_id": spotify_id})

    def snapshot_ids(self, user_id: str) -> dict[str, str]:
        """Spotify ids of the stored playlists with the version of their contents."""
        found = self._db["playlists"].find({"user_id": user_id}, {"spotify_id": 1, "snapshot_id": 1})
        return {playlist["spotify_id"]: playlist.get("snapshot_id", "") for playlist in found}

    def playlist_names(self, user_id: str) -> dict[str, str]:
        """The names of a user's stored playlists by Spotify id."""
        found = self._db["playlists"].find({"user_id": user_id}, {"spotify_id": 1, "name": 1})
        return {playlist["spotify_id"]: playlist["name"] for playlist in found}

    def playlist_count(self, user_id: str) -> int:
        """The number of a user's stored playlists."""
        return self._db["playlists"].count_documents({"user_id": user_id})

    def saved_count(self, user_id: str) -> int:
        """The number of a user's stored saved tracks."""
        return self._db["saved_tracks"].count_documents({"user_id": user_id})

    def put_saved_tracks(self, tracks: Sequence[SavedTrack]) -> None:
        """Store saved tracks, each with the number of the pass that has seen it."""
        self._upsert("saved_tracks", tracks, ("user_id", "spotify_id"))

    def keep_seen_tracks(self, user_id: str, number: int) -> None:
        """Remove a user's saved tracks that the pass with this number has not seen."""
        self._db["saved_tracks"].delete_many({"user_id": user_id, "seen_in": {"$ne": number}})

    def forget_pass(self, user_id: str) -> None:
        """Remove the number of a finished pass from a user's saved tracks."""
        self._db["saved_tracks"].update_many(
            {"user_id": user_id, "seen_in": {"$ne": None}}, {"$set": {"seen_in": None}}
        )

    def put_top_items(self, ranking: TopItems) -> None:
        """Replace a ranking that Spotify computed for a user."""
        self._upsert("top_items", [ranking], ("user_id", "kind", "time_range"))

    def top_items_read(self) -> dict[str, dict[tuple[str, str], datetime]]:
        """When each ranking was read: by user id, then by kind and time range."""
        found: dict[str, dict[tuple[str, str], datetime]] = {}
        fields = {"user_id": 1, "kind": 1, "time_range": 1, "fetched_at": 1}
        for each in self._db["top_items"].find({}, fields):
            found.setdefault(each["user_id"], {})[each["kind"], each["time_range"]] = each["fetched_at"]
        return found

    def _upsert(self, name: str, documents: Sequence[Model], key: tuple[str, ...]) -> None:
        """Set all fields of documents; fields that other programs have added stay."""
        bodies: list[dict[str, Any]] = [document.to_bson() for document in documents]
        if bodies:
            self._db[name].bulk_write(
                [UpdateOne({field: body[field] for field in key}, {"$set": body}, upsert=True) for body in bodies],
                ordered=False,
            )
