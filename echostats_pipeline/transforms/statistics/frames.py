"""Frames from which statistics are computed: rollups taken apart and the catalogue, with their schemas."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.transforms.history.identity import made_up
from echostats_pipeline.transforms.statistics.plays import UTC_MS

DAYS_SCHEMA = pl.Schema(
    {
        "date": pl.Date(),
        "plays": pl.Int64(),
        "ms": pl.Int64(),
        "skips": pl.Int64(),
        "skips_known": pl.Int64(),
        "excluded_plays": pl.Int64(),
        "whole": pl.Boolean(),
    }
)
"""`whole` is false for rollups that an earlier version built: they lack contexts and the tracks of sessions."""
HOURS_SCHEMA = pl.Schema({"date": pl.Date(), "hour": pl.Int64(), "plays": pl.Int64(), "ms": pl.Int64()})
TRACK_DAYS_SCHEMA = pl.Schema({"date": pl.Date(), "track": pl.UInt32(), "plays": pl.Int64(), "ms": pl.Int64()})
"""`track` is the row number in the frame of `TRACK_IDS_SCHEMA`."""
TRACK_NAMES = ("name", "artist_name", "album_name")
TRACK_IDS_SCHEMA = pl.Schema({"track_id": pl.String(), **dict.fromkeys(TRACK_NAMES, pl.String())})
"""Ids of tracks. Each row is in use; a track may have several rows.

A track whose id is made of names has a row for each set of names in its plays. For other tracks the names are null.
They are also null where an earlier version built the rollups, which then have no names of plays.
"""
SESSIONS_SCHEMA = pl.Schema({"date": pl.Date(), "started_at": UTC_MS, "ended_at": UTC_MS, "continues": pl.Boolean()})
REPEATS_SCHEMA = pl.Schema(
    {"date": pl.Date(), "track_id": pl.String(), "plays": pl.Int64(), "ended_at": UTC_MS, "continues": pl.Boolean()}
)
CONTEXTS_SCHEMA = pl.Schema({"date": pl.Date(), "uri": pl.String(), "plays": pl.Int64(), "ms": pl.Int64()})
SESSION_TRACKS_SCHEMA = pl.Schema({"date": pl.Date(), "ended_at": UTC_MS, "track": pl.UInt32(), "plays": pl.Int64()})
"""Counted plays by part of a session, which `ended_at` identifies; only of tracks with a Spotify id."""
EXCLUSIONS_SCHEMA = pl.Schema({"date": pl.Date(), "rule_id": pl.String(), "plays": pl.Int64()})
CATALOG_TRACKS_SCHEMA = pl.Schema(
    {
        "track_id": pl.String(),
        "name": pl.String(),
        "artist_id": pl.String(),
        "artist_name": pl.String(),
        "album_id": pl.String(),
        "album_name": pl.String(),
        "image_url": pl.String(),
        "duration_ms": pl.Int64(),
        "isrc": pl.String(),
        "artist_ids": pl.List(pl.String),
        "artist_names": pl.List(pl.String),
        **dict.fromkeys(AVERAGED_FEATURES, pl.Float64()),
    }
)
"""Known tracks. Ids, ISRC and length are empty where only names are known; features are all null if there are none.

`artist_ids` and `artist_names` are those of all credited artists, the primary one first; an artist known only by name
has an empty id.
"""
CATALOG_ARTISTS_SCHEMA = pl.Schema(
    {"artist_id": pl.String(), "name": pl.String(), "image_url": pl.String(), "genres": pl.List(pl.String)}
)
CATALOG_ALBUMS_SCHEMA = pl.Schema(
    {"album_id": pl.String(), "name": pl.String(), "image_url": pl.String(), "total_tracks": pl.Int64()}
)
"""Known albums; `total_tracks` is 0 where it is unknown."""


@dataclass(frozen=True, eq=False)
class RollupFrames:
    """Rollups of one user, taken apart: a row per day, hour, track, part of a session, repeat, rule that excludes.

    Contexts have a row per day and context, tracks of sessions one per part of a session and track. Days are in order
    of date, sessions and repeats in order of time. Tracks are numbered, because their ids would be three quarters of
    the data of a day.
    """

    days: pl.DataFrame
    hours: pl.DataFrame
    tracks: pl.DataFrame
    sessions: pl.DataFrame
    repeats: pl.DataFrame
    contexts: pl.DataFrame
    session_tracks: pl.DataFrame
    exclusions: pl.DataFrame
    track_ids: pl.DataFrame

    def dated(self) -> dict[str, pl.DataFrame]:
        """The frames of `ROLLUP_SCHEMAS`."""
        return {name: getattr(self, name) for name in ROLLUP_SCHEMAS}

    @classmethod
    def of_documents(cls, frames: Mapping[str, pl.DataFrame]) -> "RollupFrames":
        """Build from frames of `DOCUMENT_SCHEMAS`."""
        named = frames["named"]
        places = frames["tracks"].with_columns(place=pl.int_range(pl.len()).over("date"))
        unnamed = places if named.is_empty() else places.join(named, on=["date", "track_id"], how="anti")
        unnamed = unnamed.with_columns(pl.lit(None, pl.String).alias(name) for name in TRACK_NAMES)
        tracks = pl.concat(
            [unnamed, named.select(pl.lit(None, pl.Int64).alias("place"), pl.all()).select(unnamed.columns)]
        )
        ids = tracks.select(TRACK_IDS_SCHEMA.names()).unique().with_row_index("track")
        numbered = tracks.join(ids, on=TRACK_IDS_SCHEMA.names(), how="left", nulls_equal=True)
        spotifys = numbered.filter(~made_up(pl.col("track_id"))).select("date", "place", "track")
        in_sessions = frames["session_tracks"].group_by("date", "ended_at", "place").len("plays")
        return cls.joined(
            [
                cls(
                    **{
                        **{name: frames[name] for name in ROLLUP_SCHEMAS},
                        "tracks": numbered.select(TRACK_DAYS_SCHEMA.names()),
                        "session_tracks": in_sessions.join(spotifys, on=["date", "place"], how="inner")
                        .select(SESSION_TRACKS_SCHEMA.names())
                        .cast(SESSION_TRACKS_SCHEMA),
                    },
                    track_ids=ids.drop("track"),
                )
            ]
        )

    @classmethod
    def _numbered(cls, frames: Mapping[str, pl.DataFrame]) -> "RollupFrames":
        """Build from frames whose tracks have the columns of `TRACK_IDS_SCHEMA` in place of a number."""
        keys = TRACK_IDS_SCHEMA.names()
        ids = frames["tracks"].select(keys).unique().with_row_index("track")
        numbered = {
            name: frames[name].join(ids, on=keys, how="left", nulls_equal=True).select(ROLLUP_SCHEMAS[name].names())
            for name in NUMBERED
        }
        return cls.joined([cls(**{**frames, **numbered}, track_ids=ids.drop("track"))])

    @classmethod
    def joined(cls, parts: Sequence["RollupFrames"]) -> "RollupFrames":
        """All parts as one; no two parts may have the same date."""
        frames = {name: [schema.to_frame()] for name, schema in ROLLUP_SCHEMAS.items()}
        ids = 0
        for part in parts:
            for name, frame in part.dated().items():
                frames[name].append(frame.with_columns(pl.col("track") + ids) if name in NUMBERED else frame)
            ids += part.track_ids.height
        dated = {name: pl.concat(each) for name, each in frames.items()}
        for name, column in IN_ORDER_OF.items():
            if not dated[name][column].is_sorted():
                dated[name] = dated[name].sort(column, maintain_order=True)
        return cls(**dated, track_ids=pl.concat([TRACK_IDS_SCHEMA.to_frame(), *(part.track_ids for part in parts)]))

    def of_dates(self, wanted: pl.Expr) -> "RollupFrames":
        """The rollups of some dates; some ids may then be unused."""
        dated = {name: frame.filter(wanted) for name, frame in self.dated().items()}
        return RollupFrames(**dated, track_ids=self.track_ids)

    def untold_dates(self) -> list[date]:
        """Dates whose rollups an earlier version built: they lack fields, or names of tracks without a Spotify id."""
        untold = made_up(pl.col("track_id")) & pl.col("name").is_null()
        tracks = self.track_ids.with_row_index("track").filter(untold)
        nameless = self.tracks.join(tracks, on="track", how="semi").select("date")
        return (
            pl.concat([nameless, self.days.filter(~pl.col("whole")).select("date")])["date"].unique().sort().to_list()
        )

    def compact(self) -> "RollupFrames":
        """The same rollups with only the ids in use, each once."""
        named = {
            name: frame.drop("track").hstack(self.track_ids[frame["track"]])
            for name, frame in self.dated().items()
            if name in NUMBERED
        }
        return RollupFrames._numbered({**self.dated(), **named})


ROLLUP_SCHEMAS = {
    "days": DAYS_SCHEMA,
    "hours": HOURS_SCHEMA,
    "tracks": TRACK_DAYS_SCHEMA,
    "sessions": SESSIONS_SCHEMA,
    "repeats": REPEATS_SCHEMA,
    "contexts": CONTEXTS_SCHEMA,
    "session_tracks": SESSION_TRACKS_SCHEMA,
    "exclusions": EXCLUSIONS_SCHEMA,
}
"""Schemas of the frames whose rows have a date."""
NUMBERED = ("tracks", "session_tracks")
"""Frames whose tracks are numbers."""
IN_ORDER_OF = {"days": "date", "sessions": "ended_at", "repeats": "ended_at"}
DOCUMENT_SCHEMAS = {
    **ROLLUP_SCHEMAS,
    "tracks": pl.Schema({"date": pl.Date(), "track_id": pl.String(), "plays": pl.Int64(), "ms": pl.Int64()}),
    "named": pl.Schema({"date": pl.Date(), **TRACK_IDS_SCHEMA, "plays": pl.Int64(), "ms": pl.Int64()}),
    "session_tracks": pl.Schema({"date": pl.Date(), "ended_at": UTC_MS, "place": pl.Int64()}),
}
"""Schemas of the frames read from documents: tracks have ids, and tracks with ids made of names also have names.

A track of a session is a place among the tracks of its date, which are in order, those with counted plays first.
"""


@dataclass(frozen=True, eq=False)
class CatalogFrames:
    """The catalogue entries of a user's tracks, artists and albums. Tracks are lazy, because there are many."""

    tracks: pl.LazyFrame
    artists: pl.DataFrame
    albums: pl.DataFrame


STREAMED_ABOVE = 1_000_000
"""Number of rows above which a query is streamed; fourteen years of a heavy listener are a fifth of it."""


def collected(query: pl.LazyFrame, rows: int) -> pl.DataFrame:
    """The result of a query over the given number of rows.

    Polars' streaming engine, its default, needs less memory for many rows. But each query takes milliseconds, however
    few the rows; the in-memory engine takes a tenth of a millisecond.
    """
    return query.collect(engine="streaming" if rows > STREAMED_ABOVE else "in-memory")
