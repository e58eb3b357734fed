"""Reads from the core what EchoTune's documents are made of."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import polars as pl

from echostats_pipeline.marts.echotune.plays import KNOWN_SCHEMA, LISTENED_SCHEMA
from echostats_pipeline.storage.catalog import NOT_ON_SPOTIFY
from echostats_pipeline.storage.database import AWARE, Db, Document
from echostats_pipeline.storage.frame_cache.catalog_frames import SLACK
from echostats_pipeline.storage.garbage_collection import paused_collection
from echostats_pipeline.storage.play_columns import PLAY_COLUMNS
from echostats_pipeline.storage.plays import PlayStore

IDS_AT_ONCE, TRACKS_AT_ONCE = 20_000, 2_000
COLUMNS = {
    **PLAY_COLUMNS,
    "reason_start": "$playback.reason_start",
    "context_type": "$context_type",
    "platform": "$playback.platform",
}


class CoreReader:
    """Read access to the core, for one update of the mart."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._plays = PlayStore(db)

    def now(self) -> datetime:
        """The instant, by the database's clock."""
        at: datetime = self._db.command("hello", codec_options=AWARE)["localTime"]
        return at

    def plays(self, user_id: str, start: datetime, end: datetime) -> pl.DataFrame:
        """Plays of one user that ended in ``[start, end)``, as `LISTENED_SCHEMA`, in no particular order."""
        return self._plays.read_columns(user_id, start, end, COLUMNS, LISTENED_SCHEMA)

    def known(self, track_ids: Iterable[str]) -> pl.DataFrame:
        """What the catalogue says of tracks, as `KNOWN_SCHEMA`.

        Names of tracks without a Spotify id are left out: other users may have other names for them.
        """
        fields = ("spotify_id", "name", "artists", "album", "duration_ms", "popularity", "enriched_at")
        rows = [_known(track) for track in self._tracks(list(track_ids), fields)]
        return pl.DataFrame(rows, schema=KNOWN_SCHEMA, orient="row")

    def changed_tracks(self, since: datetime | None) -> Iterator[list[Document]]:
        """Yield tracks that have changed since, or were only mentioned so far; without `since`, the whole catalogue.

        A track has also changed if its album has.
        """
        tracks = self._db["tracks"]
        query: Document = {}
        if since is not None:
            lately = {"changed_at": {"$gte": since - SLACK}}
            albums = self._db["albums"].find(lately, {"_id": 0, "spotify_id": 1})
            of_albums = {"album.spotify_id": {"$in": [each["spotify_id"] for each in albums]}}
            query = {"$or": [lately, {"changed_at": None}, of_albums]}
        on_spotify = {"spotify_id": {"$not": {"$regex": NOT_ON_SPOTIFY}}}
        found = iter(tracks.find({"$and": [query, on_spotify]}, {"name_ids": 0}, batch_size=TRACKS_AT_ONCE))
        while batch := list(islice(found, TRACKS_AT_ONCE)):
            yield batch

    def albums(self, tracks: Iterable[Document]) -> dict[str, Document]:
        """The albums of tracks, by id."""
        ids = sorted({(each.get("album") or {}).get("spotify_id") or "" for each in tracks} - {""})
        fields = {"_id": 0, "spotify_id": 1, "images": 1, "total_tracks": 1, "release_date": 1}
        with paused_collection():
            return {
                album["spotify_id"]: album
                for start in range(0, len(ids), IDS_AT_ONCE)
                for album in self._db["albums"].find({"spotify_id": {"$in": ids[start : start + IDS_AT_ONCE]}}, fields)
            }

    def playlists(self, user_id: str) -> Iterator[Document]:
        """The playlists of a user, each when it is needed: some have ten thousand tracks."""
        return iter(self._db["playlists"].find({"user_id": user_id}, batch_size=20))

    def synced_playlists(self, user_id: str) -> list[str]:
        """Spotify's ids of a user's playlists."""
        found: list[str] = self._db["playlists"].distinct("spotify_id", {"user_id": user_id})
        return found

    def recommended(self, user_id: str) -> list[Document]:
        """The recommender's present lists for a user."""
        return list(self._db["recommendations"].find({"user_id": user_id}))

    def _tracks(self, track_ids: Sequence[str], fields: Collection[str]) -> list[Document]:
        projection = {"_id": 0, **dict.fromkeys(fields, 1)}
        with paused_collection():
            return [
                track
                for start in range(0, len(track_ids), IDS_AT_ONCE)
                for track in self._db["tracks"].find(
                    {"spotify_id": {"$in": track_ids[start : start + IDS_AT_ONCE], "$not": {"$regex": NOT_ON_SPOTIFY}}},
                    projection,
                )
            ]


def _known(track: Mapping[str, Any]) -> tuple[Any, ...]:
    artist: Mapping[str, Any] = next(iter(track.get("artists") or []), {})
    popularity = track.get("popularity") if track.get("enriched_at") is not None else None
    return (
        track["spotify_id"],
        track.get("name") or "",
        artist.get("name") or "",
        artist.get("spotify_id") or "",
        (track.get("album") or {}).get("name") or "",
        track.get("duration_ms") or 0,
        None if popularity is None else min(max(popularity, 0), 100),
    )
