"""Reads the account data's streaming history: the plays of the last year by name, to the minute, without track ids."""

from collections.abc import Iterator
from datetime import datetime
from typing import BinaryIO

import polars as pl

from echostats_pipeline.importers.arrays import CHUNK_ROWS, read_objects
from echostats_pipeline.importers.chunks import (
    ClassifiedRow,
    export_chunk,
    fault,
    impossible,
    known_name,
    sorted_out,
    stable_ids,
    storable_columns,
    typed_frame,
)
from echostats_pipeline.importers.occurrences import Occurrences
from echostats_pipeline.importers.rows import EXPORT_SCHEMA, ExportChunk

BASIC_SCHEMA = {"endTime": pl.String(), "artistName": pl.String(), "trackName": pl.String(), "msPlayed": pl.Int64()}
NO_MUSIC_SCHEMA = dict.fromkeys(
    ("podcastName", "episodeName", "audiobookName", "audiobookTitle", "chapterName", "chapterTitle"), pl.String()
)
"""Keys of podcasts and audiobooks. The audiobook keys are guesses, because no example file was available."""
END_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-5][0-9](:[0-5][0-9])?$"


def read_basic(stream: BinaryIO, name: str, now: datetime, chunk_rows: int = CHUNK_ROWS) -> Iterator[ExportChunk]:
    """Read one file of the account data's streaming history; arguments and errors as `extended.read_extended`."""
    occurrences = Occurrences()
    for chunk in read_objects(stream, name, chunk_rows):
        raw = typed_frame(chunk, BASIC_SCHEMA | NO_MUSIC_SCHEMA)
        yield export_chunk(chunk, _classified(raw, now), occurrences, BASIC_SCHEMA)


def _classified(raw: pl.DataFrame, now: datetime) -> ClassifiedRow:
    """Sort rows into plays, podcasts and audiobooks, and rejected rows.

    Args:
        raw: ``row_number`` and the columns of `BASIC_SCHEMA` and `NO_MUSIC_SCHEMA`.
        now: The current instant; aware.
    """
    not_music = pl.any_horizontal(pl.col(*NO_MUSIC_SCHEMA).is_not_null()) & pl.col("trackName").is_null()
    music = storable_columns(raw).filter(~not_music)
    rows = music.with_columns(
        import_ts=_end_time(),
        ms_played=pl.col("msPlayed"),
        artist_name=pl.col("artistName"),
        track_name=pl.col("trackName"),
    ).with_columns(reason=_reason(now))
    return sorted_out(rows, _plays, not_music=raw.height - music.height)


def _end_time() -> pl.Expr:
    stamp = pl.col("endTime")
    whole = pl.when(stamp.str.contains(END_TIME)).then(pl.concat_str(stamp, pl.lit(":00")).str.slice(0, 19))
    return whole.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="ms", time_zone="UTC", strict=False)


def _reason(now: datetime) -> pl.Expr:
    """Why a row is not a play; null if it is one."""
    return pl.coalesce(
        fault(pl.col("import_ts").is_null(), "endTime is not an instant like 2020-05-21 03:09"),
        fault(pl.col("ms_played").is_null(), "msPlayed is not a whole number of milliseconds"),
        *impossible(now),
        fault(
            pl.any_horizontal(pl.col("artist_name", "track_name").fill_null("") == ""),
            "the row does not name both artist and track",
        ),
        # An artist or track may really have that name, or only one name was lost: the other one still identifies the
        # play.
        fault(
            known_name("artist_name").is_null() & known_name("track_name").is_null(),
            "Spotify no longer knows what was played",
        ),
    )


def _plays(rows: pl.DataFrame) -> pl.DataFrame:
    """Valid rows as a frame of `EXPORT_SCHEMA`; their instant is the start of the minute in which they ended."""
    names = pl.concat_str("artist_name", "track_name", separator="\x1f")
    known: dict[str, pl.Expr | pl.Series] = {
        "import_key": pl.concat_str(pl.lit("basic"), "endTime", names, "ms_played", separator="|"),
        "track_id": stable_ids("unresolved", rows.select("artist_name", "track_name")),
        "album_name": pl.lit(""),
    }
    unknown = {name: pl.lit(None) for name in EXPORT_SCHEMA if name not in rows.columns}
    plays = rows.with_columns(**{**unknown, **known})
    return plays.select(pl.col(name).cast(dtype) for name, dtype in EXPORT_SCHEMA.items())
