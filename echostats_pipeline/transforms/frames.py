"""What statistics are computed from: rollups taken apart and the catalogue, as frames, with their schemas."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import date

import polars as pl

from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.transforms.plays import UTC_MS

DAYS_SCHEMA = pl.Schema(
    {"date": pl.Date(), "plays": pl.Int64(), "ms": pl.Int64(), "skips": pl.Int64(), "skips_known": pl.Int64()}
)
HOURS_SCHEMA = pl.Schema({"date": pl.Date(), "hour": pl.Int64(), "plays": pl.Int64(), "ms": pl.Int64()})
TRACK_DAYS_SCHEMA = pl.Schema(
    {
        "date": pl.Date(),
        "track_id": pl.String(),
        "name": pl.String(),
        "artist_name": pl.String(),
        "album_name": pl.String(),
        "plays": pl.Int64(),
        "ms": pl.Int64(),
    }
)
SESSIONS_SCHEMA = pl.Schema(
    {"date": pl.Date(), "started_at": UTC_MS, "ended_at": UTC_MS, "plays": pl.Int64(), "continues": pl.Boolean()}
)
REPEATS_SCHEMA = pl.Schema(
    {"date": pl.Date(), "track_id": pl.String(), "plays": pl.Int64(), "ended_at": UTC_MS, "continues": pl.Boolean()}
)
CATALOG_TRACKS_SCHEMA = pl.Schema(
    {
        "track_id": pl.String(),
        "name": pl.String(),
        "artist_id": pl.String(),
        "artist_name": pl.String(),
        "album_id": pl.String(),
        "album_name": pl.String(),
        "image_url": pl.String(),
        **dict.fromkeys(AVERAGED_FEATURES, pl.Float64()),
    }
)
"""Known tracks; ids are empty where only names are known, features are all null where there are none."""
CATALOG_ARTISTS_SCHEMA = pl.Schema(
    {"artist_id": pl.String(), "name": pl.String(), "image_url": pl.String(), "genres": pl.List(pl.String)}
)
CATALOG_ALBUMS_SCHEMA = pl.Schema({"album_id": pl.String(), "name": pl.String(), "image_url": pl.String()})


@dataclass(frozen=True, eq=False)
class RollupFrames:
    """Rollups of one user, taken apart: a row per day, day and hour, day and track, part of a session, repeat.

    Each frame begins with ``date`` and is in order of it; sessions and repeats are in order of time.
    """

    days: pl.DataFrame
    hours: pl.DataFrame
    tracks: pl.DataFrame
    sessions: pl.DataFrame
    repeats: pl.DataFrame

    def __iter__(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """The frames with their names."""
        return ((each.name, getattr(self, each.name)) for each in fields(self))

    def until(self, last: date) -> "RollupFrames":
        """The rollups up to a date, that one included."""
        return RollupFrames(**{name: frame.filter(pl.col("date") <= last) for name, frame in self})


ROLLUP_SCHEMAS = {
    "days": DAYS_SCHEMA,
    "hours": HOURS_SCHEMA,
    "tracks": TRACK_DAYS_SCHEMA,
    "sessions": SESSIONS_SCHEMA,
    "repeats": REPEATS_SCHEMA,
}


@dataclass(frozen=True, eq=False)
class CatalogFrames:
    """What the catalogue knows of the tracks, artists and albums of a user's plays."""

    tracks: pl.DataFrame
    artists: pl.DataFrame
    albums: pl.DataFrame
