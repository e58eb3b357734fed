"""Stores generated playlists and what became of them at Spotify; reads the songs that playlists are made of."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from bson import ObjectId

from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.model.operations import Source
from echostats_pipeline.model.playlists import GeneratedPlaylist, PlaylistEdit, SpotifyCopy
from echostats_pipeline.storage.change_marks import ChangeMarks
from echostats_pipeline.storage.conformity import stored_as
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.garbage_collection import paused_collection

SEPARATOR = "\x1f"
IDS_AT_ONCE = 20_000
KEPT = timedelta(days=400)
"""How long generated playlists are kept: longer than their feedback counts."""
FIELDS = (
    "spotify_id",
    "name",
    "artists.spotify_id",
    "artists.name",
    "album.name",
    "album.release_date",
    "duration_ms",
    "isrc",
    "genres",
    "explicit",
    *(f"audio_features.{name}" for name in ("key", "mode", *AVERAGED_FEATURES)),
)
SOURCE: Source = "generated_playlists"


class PlaylistStore:
    """Collections of `model.playlists`."""

    def __init__(self, db: Db, marks: ChangeMarks) -> None:
        self._db = db
        self._marks = marks

    def put(self, made: GeneratedPlaylist) -> GeneratedPlaylist:
        """Store a generated playlist, or a later state of it; returns it with its id.

        With a new one, those of the user go that are older than `KEPT`, but for those that Spotify has.
        """
        is_new, made.id = made.id is None, made.id or ObjectId()
        with self._marks.changing(made.user_id, source=SOURCE):
            self._db["generated_playlists"].replace_one({"_id": made.id}, made.to_bson(), upsert=True)
            if is_new:
                present = self._db["playlist_copies"].distinct("playlist_id", {"user_id": made.user_id})
                old = {"user_id": made.user_id, "created_at": {"$lt": made.created_at - KEPT}}
                self._db["generated_playlists"].delete_many({**old, "_id": {"$nin": present}})
        return made

    def of(
        self, user_id: str, since: datetime | None = None, *, with_candidates: bool = True
    ) -> list[GeneratedPlaylist]:
        """The generated playlists of a user, the oldest first; `candidates` are most of each, and may be left out."""
        query: Document = {"user_id": user_id, **({} if since is None else {"created_at": {"$gte": since}})}
        fields = None if with_candidates else {"candidates": 0}
        found = self._db["generated_playlists"].find(query, fields).sort([("created_at", 1), ("_id", 1)])
        return [stored_as(GeneratedPlaylist, "generated_playlists", each) for each in found]

    def get(self, made: ObjectId) -> GeneratedPlaylist | None:
        """A generated playlist by its id."""
        found = self._db["generated_playlists"].find_one({"_id": made})
        return None if found is None else stored_as(GeneratedPlaylist, "generated_playlists", found)

    def answered(self, user_id: str) -> set[ObjectId]:
        """Ids of the applications' queries that were answered for a user, well or not."""
        query = {"user_id": user_id, "query_id": {"$ne": None}, "status": {"$ne": "processing"}}
        return set(self._db["generated_playlists"].distinct("query_id", query))

    def mood_tracks(self, user_id: str, since: datetime) -> list[tuple[str, datetime, set[str]]]:
        """Generator, instant and tracks of the playlists of moods that were made since an instant, the oldest first."""
        query = {
            "user_id": user_id,
            "generator": {"$regex": "^mood:"},
            "created_at": {"$gte": since},
            "status": "completed",
        }
        fields = {"generator": 1, "created_at": 1, "tracks.spotify_id": 1}
        found = self._db["generated_playlists"].find(query, fields).sort([("created_at", 1), ("_id", 1)])
        return [
            (each["generator"], each["created_at"], {track["spotify_id"] for track in each["tracks"]}) for each in found
        ]

    def spotify_copy(self, user_id: str, generator: str) -> SpotifyCopy | None:
        """The playlist at Spotify of a user and generator; None if there is none."""
        found = self._db["playlist_copies"].find_one({"user_id": user_id, "generator": generator})
        return None if found is None else stored_as(SpotifyCopy, "playlist_copies", found)

    def copies(self, user_id: str) -> list[SpotifyCopy]:
        """All playlists at Spotify that are kept for a user."""
        found = self._db["playlist_copies"].find({"user_id": user_id}).sort("generator", 1)
        return [stored_as(SpotifyCopy, "playlist_copies", each) for each in found]

    def put_copy(self, copy: SpotifyCopy) -> None:
        """Store what is known of a playlist at Spotify."""
        key = {"user_id": copy.user_id, "generator": copy.generator}
        self._db["playlist_copies"].replace_one(key, copy.to_bson(), upsert=True)

    def add_edits(self, user_id: str, edits: Iterable[PlaylistEdit]) -> None:
        """Store what a user has changed at Spotify; an edit that is stored already gets its last instant."""
        with self._marks.changing(user_id, source=SOURCE):
            for edit in edits:
                body = edit.to_bson()
                key = {name: body[name] for name in ("user_id", "playlist_id", "spotify_id", "event")}
                self._db["playlist_edits"].update_one(key, {"$set": body}, upsert=True)

    def edits(self, user_id: str) -> list[PlaylistEdit]:
        """What a user has changed at Spotify, the oldest first."""
        found = self._db["playlist_edits"].find({"user_id": user_id}).sort([("seen_at", 1), ("_id", 1)])
        return [stored_as(PlaylistEdit, "playlist_edits", each) for each in found]

    def plays_within(self, user_id: str, context_uris: Collection[str]) -> list[Document]:
        """A user's plays from some playlists at Spotify, the oldest first."""
        query = {"user_id": user_id, "context_uri": {"$in": sorted(context_uris)}}
        fields = dict.fromkeys(("track.spotify_id", "played_at", "ms_played", "context_uri", "playback"), 1)
        with paused_collection():
            return list(self._db["listening_history"].find(query, fields).sort([("played_at", 1), ("_id", 1)]))

    def tracks(self, track_ids: Sequence[str], schema: pl.Schema) -> pl.DataFrame:
        """What the catalogue knows of tracks, as `playlists.pool.TRACKS_SCHEMA`."""
        names = schema.names()
        rows: list[tuple[Any, ...]] = []
        fields = {"_id": 0, **dict.fromkeys(FIELDS, 1)}
        with paused_collection():
            for start in range(0, len(track_ids), IDS_AT_ONCE):
                some = list(track_ids[start : start + IDS_AT_ONCE])
                found = self._db["tracks"].find({"spotify_id": {"$in": some}}, fields, batch_size=IDS_AT_ONCE)
                rows += map(_track, found)
            columns = zip(*rows, strict=True) if rows else ((),) * len(names)
            series = zip(names, columns, strict=True)
            return pl.DataFrame([_column(name, values, schema[name]) for name, values in series])


def _column(name: str, values: Sequence[Any], dtype: pl.DataType) -> pl.Series:
    """A column; lists of texts by one split of joined texts, because each list of its own would become a series."""
    if dtype != pl.List(pl.String):
        return pl.Series(name, list(values), dtype=dtype)
    texts = [SEPARATOR.join(text for text in each if isinstance(text, str)) for each in values]
    joined = pl.Series(name, texts, dtype=pl.String)
    split = pl.when(joined == "").then(pl.lit([], pl.List(pl.String))).otherwise(joined.str.split(SEPARATOR))
    return pl.select(split.alias(name)).to_series()


def _track(track: Document) -> tuple[Any, ...]:
    """A track of the catalogue, in the order of columns. Other programs may have written null for any field."""
    artists, features = track.get("artists"), track.get("audio_features") or {}
    artist: Document = artists[0] if artists else {}
    album = track.get("album") or {}
    key: Any = features.get("key")
    known = features.get
    return (
        track["spotify_id"],
        track.get("name") or "",
        artist.get("spotify_id") or "",
        artist.get("name") or "",
        album.get("name") or "",
        (track.get("isrc") or "").upper(),
        track.get("duration_ms") or 0,
        track.get("explicit"),
        _year(album.get("release_date")),
        track.get("genres") or [],
        key if isinstance(key, int) and key >= 0 else None,
        known("mode"),
        *[known(name) for name in AVERAGED_FEATURES],
    )


def _year(released: Any) -> int | None:
    """The year of a release date as ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``."""
    begun = released[:4] if isinstance(released, str) else ""
    return int(begun) if begun.isdecimal() and begun != "0000" else None
