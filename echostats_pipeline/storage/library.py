"""What users keep: playlists, saved tracks, Spotify's own top items."""

from collections.abc import Sequence

from pymongo import ReplaceOne

from echostats_pipeline.model.base import Document as Model
from echostats_pipeline.model.library import Playlist, SavedTrack, TopItems
from echostats_pipeline.storage.database import Db


class LibraryStore:
    """Collections ``playlists``, ``saved_tracks`` and ``top_items``."""

    def __init__(self, db: Db) -> None:
        self._db = db

    def replace_playlists(self, user_id: str, playlists: Sequence[Playlist]) -> None:
        """Make `playlists` the user's playlists; those not among them are removed."""
        self._upsert("playlists", user_id, playlists, ("spotify_id",))
        self._remove_others("playlists", user_id, [playlist.spotify_id for playlist in playlists])

    def replace_saved_tracks(self, user_id: str, tracks: Sequence[SavedTrack]) -> None:
        """Make `tracks` the user's saved tracks; those not among them are removed."""
        self._upsert("saved_tracks", user_id, tracks, ("spotify_id",))
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
