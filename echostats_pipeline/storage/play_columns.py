"""Projections with which the server turns plays into columns, including plays written by other programs."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from echostats_pipeline.storage.database import Document

PLAY_COLUMNS: Document = {
    "played_at": {"$toLong": "$played_at"},
    "track_id": "$track.spotify_id",
    "track_name": "$track.name",
    "artist_name": "$track.artist_name",
    "album_name": "$track.album_name",
    "duration_ms": "$track.duration_ms",
    "ms_played": "$ms_played",
    "skipped": "$playback.skipped",
    "reason_end": "$playback.reason_end",
    "context_uri": "$context_uri",
    "private_session": "$playback.incognito",
}
CONVERTED: Mapping[pl.DataType, tuple[str, Any]] = {
    pl.Int64(): ("long", None),
    pl.String(): ("string", ""),
    pl.Boolean(): ("bool", None),
}
"""MongoDB's name for the type of a column, and the replacement for a value of another type."""


def converted(columns: Document, schema: Mapping[str, pl.DataType]) -> Document:
    """The same columns for fields of any type, because other programs write plays; wrong values become unknown."""

    def as_it_should_be(value: Any, name: str) -> Any:
        if schema.get(name) not in CONVERTED or isinstance(value, dict):
            return value
        kind, unknown = CONVERTED[schema[name]]
        length = name == "duration_ms"  # 0 if unknown
        conversion = {"input": f"${name}" if value == 1 else value, "to": kind}
        return {"$convert": {**conversion, "onError": 0 if length else unknown, "onNull": 0 if length else None}}

    return {name: as_it_should_be(value, name) for name, value in columns.items()}


NAMES = ("track_name", "artist_name", "album_name")
NAMELESS_COLUMNS: Document = {name: value for name, value in PLAY_COLUMNS.items() if name not in NAMES}
"""The same without names, which are most of what is transferred."""

STORED_PLAY: Document = {
    "_id": 0,
    "id": {"$toString": "$_id"},
    "track_id": "$track.spotify_id",
    "duration_ms": "$track.duration_ms",
    "ms_played": 1,
    "import_key": 1,
    "also_imported": 1,
    "played_at_estimated": 1,
    "played_at": {"$toLong": "$played_at"},
    "api_played_at": {"$toLong": "$api_played_at"},
    "import_ts": {"$toLong": "$import_ts"},
    "offline_at": {"$toLong": "$playback.offline_at"},
    "reason_start": "$playback.reason_start",
    "reason_end": "$playback.reason_end",
    "shuffle": "$playback.shuffle",
}
STORED_NAMES = {"track_name": "$track.name", "artist_name": "$track.artist_name"}
