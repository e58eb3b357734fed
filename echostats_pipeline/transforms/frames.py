"""What statistics are computed from: rollups taken apart and the catalogue, as frames, with their schemas."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.transforms.plays import UTC_MS

DAYS_SCHEMA = pl.Schema(
    {"date": pl.Date(), "plays": pl.Int64(), "ms": pl.Int64(), "skips": pl.Int64(), "skips_known": pl.Int64()}
)
HOURS_SCHEMA = pl.Schema({"date": pl.Date(), "hour": pl.Int64(), "plays": pl.Int64(), "ms": pl.Int64()})
TRACK_DAYS_SCHEMA = pl.Schema({"date": pl.Date(), "names": pl.UInt32(), "plays": pl.Int64(), "ms": pl.Int64()})
"""`names` is a row of the frame of `NAMES_SCHEMA`."""
NAMES_SCHEMA = pl.Schema(
    {"track_id": pl.String(), "name": pl.String(), "artist_name": pl.String(), "album_name": pl.String()}
)
"""Tracks with the names they had on some day; each row is in use, perhaps not the only one of its content."""
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

    Days are in order of date, sessions and repeats in order of time. What tracks are called is said apart from their
    days, in `names`: lazily, for few of them are ever looked at.
    """

    days: pl.DataFrame
    hours: pl.DataFrame
    tracks: pl.DataFrame
    sessions: pl.DataFrame
    repeats: pl.DataFrame
    names: pl.LazyFrame

    def dated(self) -> dict[str, pl.DataFrame]:
        """The frames of `ROLLUP_SCHEMAS`."""
        return {name: getattr(self, name) for name in ROLLUP_SCHEMAS}

    @classmethod
    def of_documents(cls, frames: Mapping[str, pl.DataFrame]) -> "RollupFrames":
        """From frames of `DOCUMENT_SCHEMAS`."""
        names = frames["tracks"].select(NAMES_SCHEMA.names()).unique().with_row_index("names")
        numbered = frames["tracks"].join(names, on=NAMES_SCHEMA.names(), how="left", maintain_order="left")
        tracks = numbered.select(TRACK_DAYS_SCHEMA.names())
        return cls.joined([cls(**{**frames, "tracks": tracks}, names=names.drop("names").lazy())])

    @classmethod
    def joined(cls, parts: Sequence["RollupFrames"]) -> "RollupFrames":
        """All of the parts, of which no two tell of one date."""
        frames = {name: [schema.to_frame()] for name, schema in ROLLUP_SCHEMAS.items()}
        names = 0
        for part in parts:
            numbered = part.tracks.with_columns(pl.col("names") + names)
            for name, frame in {**part.dated(), "tracks": numbered}.items():
                frames[name].append(frame)
            names += part.names.select(pl.len()).collect().item()
        dated = {name: pl.concat(each) for name, each in frames.items()}
        for name, column in IN_ORDER_OF.items():
            if not dated[name][column].is_sorted():
                dated[name] = dated[name].sort(column, maintain_order=True)
        return cls(**dated, names=pl.concat([NAMES_SCHEMA.to_frame().lazy(), *(part.names for part in parts)]))

    def of_dates(self, wanted: pl.Expr) -> "RollupFrames":
        """The rollups of some dates, with the names of all."""
        return RollupFrames(**{name: frame.filter(wanted) for name, frame in self.dated().items()}, names=self.names)

    def compact(self) -> "RollupFrames":
        """The same with names that are in use, each combination once."""
        tracks = self.tracks.with_columns(self.names.collect()[self.tracks["names"]]).drop("names")
        return RollupFrames.of_documents({**self.dated(), "tracks": tracks})


ROLLUP_SCHEMAS = {
    "days": DAYS_SCHEMA,
    "hours": HOURS_SCHEMA,
    "tracks": TRACK_DAYS_SCHEMA,
    "sessions": SESSIONS_SCHEMA,
    "repeats": REPEATS_SCHEMA,
}
"""Of the frames that have rows of dates."""
IN_ORDER_OF = {"days": "date", "sessions": "ended_at", "repeats": "ended_at"}
DOCUMENT_SCHEMAS = {
    **ROLLUP_SCHEMAS,
    "tracks": pl.Schema({"date": pl.Date(), **NAMES_SCHEMA, "plays": pl.Int64(), "ms": pl.Int64()}),
}
"""As documents tell it: what tracks are called stands with each of their days."""


@dataclass(frozen=True, eq=False)
class CatalogFrames:
    """What the catalogue knows of the tracks, artists and albums of a user's plays; tracks are the many."""

    tracks: pl.LazyFrame
    artists: pl.DataFrame
    albums: pl.DataFrame
