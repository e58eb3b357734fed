"""Factories for rows of both sources, with short arguments: times are seconds after `EPOCH`."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import polars as pl

from echostats_pipeline.importers.extended import read_extended
from echostats_pipeline.importers.rows import EXPORT_SCHEMA
from echostats_pipeline.model.plays import RecentlyPlayedItem, TrackSnapshot

EPOCH = datetime(2024, 5, 1, tzinfo=UTC)
NOW = datetime(2025, 5, 1, tzinfo=UTC)

ExportRow = dict[str, Any]


def at(seconds: float) -> datetime:
    return EPOCH + timedelta(milliseconds=round(seconds * 1000))


def item(seconds: float, track: str = "a", duration_ms: int = 200_000, **context: str) -> RecentlyPlayedItem:
    snapshot = TrackSnapshot(spotify_id=track_id(track), name=track, duration_ms=duration_ms, album_image_url="i/api")
    return RecentlyPlayedItem(track=snapshot, played_at=at(seconds), **context)


def row(seconds: int, track: str = "a", ms_played: int = 200_000, offline_at: int | None = None) -> ExportRow:
    """A raw row of the extended history; `offline_at` in seconds after `EPOCH`."""
    return {
        "ts": at(seconds).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "platform": "ios",
        "ms_played": ms_played,
        "master_metadata_track_name": track,
        "master_metadata_album_artist_name": "Artist",
        "master_metadata_album_album_name": "Album",
        "spotify_track_uri": f"spotify:track:{track_id(track)}",
        "offline": offline_at is not None,
        "offline_timestamp": None if offline_at is None else int(at(offline_at).timestamp()),
    }


def track_id(track: str) -> str:
    return track.ljust(22, "0")


def export(rows: Sequence[ExportRow]) -> pl.DataFrame:
    """The rows as the reader returns them, the whole file at once."""
    file = BytesIO(json.dumps(rows).encode())
    chunks = [chunk.plays for chunk in read_extended(file, "Streaming_History_Audio_2024_0.json", NOW)]
    return pl.concat(chunks) if chunks else pl.DataFrame(schema=EXPORT_SCHEMA)
