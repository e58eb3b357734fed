"""The shared catalogue: stubs for what plays mention, full documents, and frames for the statistics."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal, get_args

import polars as pl
from pymongo import UpdateMany, UpdateOne

from echostats_pipeline.model.catalog import AVERAGED_FEATURES, Album, Artist, AudioFeatures, Enriched, Track
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.transforms.snapshots import (
    CATALOG_ALBUMS_SCHEMA,
    CATALOG_ARTISTS_SCHEMA,
    CATALOG_TRACKS_SCHEMA,
    CatalogFrames,
)

CatalogName = Literal["tracks", "artists", "albums"]
NOT_ON_SPOTIFY = r"^(local|unresolved):"
"""Ids this pipeline made up for plays Spotify has no id for; the catalogue endpoints are never asked for them."""

WANTING: Document = {
    "enriched_at": None,
    "unavailable_at": None,
    "spotify_id": {"$not": {"$regex": NOT_ON_SPOTIFY}, "$ne": ""},
}
UNHEARD: Document = {"enriched_at": {"$ne": None}, "audio_features": None, "audio_features_checked_at": None}


class CatalogStore:
    """Collections ``tracks``, ``artists`` and ``albums``."""

    def __init__(self, db: Db) -> None:
        self._db = db

    def add_stubs(self, name: CatalogName, documents: Iterable[Track | Artist | Album]) -> int:
        """Add documents that are not there yet; what is known already stays as it is.

        Returns:
            How many were new.
        """
        operations = [
            UpdateOne({"spotify_id": stub.spotify_id}, {"$setOnInsert": stub.to_bson()}, upsert=True)
            for stub in documents
        ]
        return self._db[name].bulk_write(operations, ordered=False).upserted_count if operations else 0

    def wanting(self, name: CatalogName) -> list[str]:
        """Spotify ids of stubs that Spotify was not asked about yet, in the order they appeared."""
        return [found["spotify_id"] for found in self._db[name].find(WANTING, {"spotify_id": 1}).sort("_id")]

    def wanting_audio_features(self) -> list[str]:
        """Spotify ids of known tracks whose audio features were never asked for, in the order they appeared."""
        return [found["spotify_id"] for found in self._db["tracks"].find(UNHEARD, {"spotify_id": 1}).sort("_id")]

    def lacks_anything(self) -> bool:
        """Whether anything is still to be asked of Spotify."""
        queries = [*((name, WANTING) for name in get_args(CatalogName)), ("tracks", UNHEARD)]
        return any(self._db[name].find_one(query, {"_id": 1}) is not None for name, query in queries)

    def put(self, name: CatalogName, documents: Sequence[Enriched], *, missing: Iterable[str], at: datetime) -> None:
        """Store full documents, and remember what Spotify does not know.

        Fields filled by other steps (genres of tracks, audio features) and the first `fetched_at` are kept.
        """
        kept = {"fetched_at", "audio_features", "audio_features_checked_at"} | (
            {"genres"} if name == "tracks" else set()
        )
        operations = []
        for document in documents:
            fields = document.to_bson()
            spotify_id = fields.pop("spotify_id")
            first = {key: fields.pop(key) for key in kept & fields.keys()}
            operations.append(
                UpdateOne({"spotify_id": spotify_id}, {"$set": fields, "$setOnInsert": first}, upsert=True)
            )
        operations += [
            UpdateOne({"spotify_id": spotify_id}, {"$set": {"unavailable_at": at}}) for spotify_id in missing
        ]
        if operations:
            self._db[name].bulk_write(operations, ordered=False)

    def put_audio_features(self, features: dict[str, AudioFeatures | None], at: datetime) -> None:
        """Store the audio features of tracks; None records that Spotify has none, never a zero."""
        operations = [
            UpdateOne(
                {"spotify_id": spotify_id},
                {
                    "$set": {
                        "audio_features": None if found is None else found.model_dump(),
                        "audio_features_checked_at": at,
                    }
                },
            )
            for spotify_id, found in features.items()
        ]
        if operations:
            self._db["tracks"].bulk_write(operations, ordered=False)

    def pass_genres_to_tracks(self, artists: Iterable[Artist]) -> None:
        """Give tracks the genres of their primary artist: Spotify tells genres of artists only."""
        operations = [
            UpdateMany({"artists.0.spotify_id": artist.spotify_id}, {"$set": {"genres": artist.genres}})
            for artist in artists
            if artist.genres
        ]
        if operations:
            self._db["tracks"].bulk_write(operations, ordered=False)

    def documents(self, name: CatalogName, spotify_ids: Iterable[str]) -> list[Document]:
        """Stored documents of the given ids, without ``_id``."""
        return list(self._db[name].find({"spotify_id": {"$in": list(spotify_ids)}}, {"_id": 0}))

    def progress(self, name: CatalogName) -> tuple[int, int]:
        """How many documents are complete, and how many there are."""
        return (
            self._db[name].count_documents({"enriched_at": {"$ne": None}}),
            self._db[name].estimated_document_count(),
        )

    def frames(self, track_ids: Sequence[str]) -> CatalogFrames:
        """The catalogue of the given tracks, their artists and albums, for the snapshots."""
        tracks = self._track_frame(track_ids)
        artist_ids = tracks["artist_id"].unique().to_list()
        album_ids = tracks["album_id"].unique().to_list()
        artists = self._db["artists"].find(
            {"spotify_id": {"$in": artist_ids}}, {"_id": 0, "spotify_id": 1, "name": 1, "images": 1, "genres": 1}
        )
        albums = self._db["albums"].find(
            {"spotify_id": {"$in": album_ids}}, {"_id": 0, "spotify_id": 1, "name": 1, "images": 1}
        )
        return CatalogFrames(
            tracks=tracks,
            artists=pl.DataFrame(
                [(found["spotify_id"], found["name"], _image(found), found["genres"]) for found in artists],
                schema=CATALOG_ARTISTS_SCHEMA,
                orient="row",
            ),
            albums=pl.DataFrame(
                [(found["spotify_id"], found["name"], _image(found)) for found in albums],
                schema=CATALOG_ALBUMS_SCHEMA,
                orient="row",
            ),
        )

    def _track_frame(self, track_ids: Sequence[str]) -> pl.DataFrame:
        projection = {"_id": 0, "spotify_id": 1, "name": 1, "artists": {"$slice": 1}, "album": 1, "audio_features": 1}
        rows = []
        for track in self._db["tracks"].find({"spotify_id": {"$in": list(track_ids)}}, projection):
            artist = track["artists"][0] if track["artists"] else {}
            album = track["album"] or {}
            features = track["audio_features"] or {}
            rows.append(
                (
                    track["spotify_id"],
                    track["name"],
                    artist.get("spotify_id", ""),
                    artist.get("name", ""),
                    album.get("spotify_id", ""),
                    album.get("name", ""),
                    album.get("image_url", ""),
                    *(features.get(name) for name in AVERAGED_FEATURES),
                )
            )
        return pl.DataFrame(rows, schema=CATALOG_TRACKS_SCHEMA, orient="row")


def _image(found: dict[str, Any]) -> str:
    return found["images"][0]["url"] if found["images"] else ""
