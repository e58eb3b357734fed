"""Reads the extended streaming history: JSON arrays of plays with track ids, over the whole life of an account.

`classified` also serves other readers whose rows have the same columns, in any kind of file.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import BinaryIO

import polars as pl

from echostats_pipeline.importers.arrays import CHUNK_ROWS, ObjectChunk, read_objects
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
from echostats_pipeline.importers.lines import read_object_lines
from echostats_pipeline.importers.occurrences import Occurrences
from echostats_pipeline.importers.rows import EXPORT_SCHEMA, ExportChunk
from echostats_pipeline.importers.text import text_start
from echostats_pipeline.transforms.history.identity import made_up
from echostats_pipeline.transforms.statistics.plays import UTC_MS

RAW_SCHEMA = {
    "ts": pl.String(),
    "platform": pl.String(),
    "ms_played": pl.Int64(),
    "conn_country": pl.String(),
    "master_metadata_track_name": pl.String(),
    "master_metadata_album_artist_name": pl.String(),
    "master_metadata_album_album_name": pl.String(),
    "spotify_track_uri": pl.String(),
    "spotify_episode_uri": pl.String(),
    "episode_name": pl.String(),
    "audiobook_uri": pl.String(),
    "audiobook_title": pl.String(),
    "audiobook_chapter_uri": pl.String(),
    "audiobook_chapter_title": pl.String(),
    "reason_start": pl.String(),
    "reason_end": pl.String(),
    "shuffle": pl.Boolean(),
    "skipped": pl.Boolean(),
    "offline": pl.Boolean(),
    "offline_timestamp": pl.Int64(),
    "incognito_mode": pl.Boolean(),
}
"""The keys that are read. Personal ones (address, user agent, user name, device) are never stored."""
KEPT_KEYS = tuple(key for key in RAW_SCHEMA if key != "platform")
"""The keys kept of a rejected row. Not ``platform``: older files name the user's device in it."""

NAMES = {
    "track_name": "master_metadata_track_name",
    "artist_name": "master_metadata_album_artist_name",
    "album_name": "master_metadata_album_album_name",
}
NO_MUSIC_KEYS = tuple(key for key in RAW_SCHEMA if "episode" in key or "audiobook" in key)
TRACK_URI = r"^spotify:track:([0-9A-Za-z]{22})$"
INSTANT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-5][0-9]:[0-5][0-9]([.,][0-9]+)? ?(Z|z|UTC|GMT|[+-]00:?00)?$"
"""An instant in UTC as Spotify has written it over the years, and as pandas does, with or without fractions."""
NAMELESS = "the row names neither a track, an episode nor an audiobook"
MILLISECONDS_FROM = 100_000_000_000
"""Values from here on are milliseconds: ``offline_timestamp`` has changed its unit. In seconds, this is year 5138."""
MILLISECONDS_UNTIL = 253_402_300_799_999
"""The end of the year 9999; later values are no instants."""
PLATFORM_FAMILIES = (
    ("web", "web"),
    ("android", "android"),
    ("ios", "ios"),
    ("ipad", "ios"),
    ("iphone", "ios"),
    ("windows", "windows"),
    ("os x", "macos"),
    ("macos", "macos"),
    ("osx", "macos"),
    ("cast", "cast"),
    ("linux", "linux"),
)
"""Texts that identify a platform family; the first match decides, and all other platforms are ``other``."""


def read_extended(stream: BinaryIO, name: str, now: datetime, chunk_rows: int = CHUNK_ROWS) -> Iterator[ExportChunk]:
    """Read one file of the extended streaming history.

    Args:
        stream: The bytes of the file.
        name: The file's name for messages.
        now: The current instant; aware.
        chunk_rows: Rows per chunk.

    Raises:
        ExportError: the file is not a JSON array.
        BrokenExportError: the file breaks off; the rows before the break were yielded.
    """
    occurrences = Occurrences()
    for chunk in _objects(stream, name, chunk_rows):
        yield export_chunk(chunk, classified(typed_frame(chunk, RAW_SCHEMA), now), occurrences, KEPT_KEYS)


def read_video(stream: BinaryIO, name: str, now: datetime, chunk_rows: int = CHUNK_ROWS) -> Iterator[ExportChunk]:
    """Read one file of videos. Videos of tracks become plays; arguments and errors as `read_extended`."""
    for chunk in read_extended(stream, name, now, chunk_rows):
        plays = chunk.plays.filter(~made_up(pl.col("track_id"))).with_columns(video=pl.lit(value=True))
        rejects = [reject for reject in chunk.rejects if reject.reason != NAMELESS]
        others = chunk.rows - plays.height - len(rejects)
        yield replace(chunk, plays=plays, rejects=rejects, not_music=others)


def _objects(stream: BinaryIO, name: str, chunk_rows: int) -> Iterator[ObjectChunk]:
    """The rows of the array that Spotify sends, or of the JSON lines into which some tools convert it."""
    head = text_start(stream, name)
    lines = head.startswith("{") and '"ms_played"' in head
    yield from read_object_lines(stream, name, chunk_rows) if lines else read_objects(stream, name, chunk_rows)


def read_no_music(
    stream: BinaryIO,
    name: str,
    now: datetime,  # noqa: ARG001 - readers of all formats are called alike
    chunk_rows: int = CHUNK_ROWS,
) -> Iterator[ExportChunk]:
    """Count the rows of a file of podcasts or audiobooks; arguments and errors as `read_extended`."""
    for chunk in read_objects(stream, name, chunk_rows):
        nothing = pl.DataFrame(schema=EXPORT_SCHEMA)
        yield ExportChunk(chunk.rows, nothing, len(chunk.objects), chunk.rejects, chunk.bytes_read)


def classified(raw: pl.DataFrame, now: datetime) -> ClassifiedRow:
    """Sort rows into plays, podcasts and audiobooks, and rejected rows.

    Args:
        raw: ``row_number`` and the columns of `RAW_SCHEMA`.
        now: The current instant; aware.
    """
    named = storable_columns(raw).with_columns(**{name: known_name(column) for name, column in NAMES.items()})
    no_track = pl.col("spotify_track_uri").is_null() | (pl.col("spotify_track_uri") == "")
    not_music = no_track & pl.any_horizontal(pl.col(key).is_not_null() & (pl.col(key) != "") for key in NO_MUSIC_KEYS)
    music = named.filter(~not_music)
    rows = (
        music.with_columns(stamp=_stamp(), track_id=pl.col("spotify_track_uri").str.extract(TRACK_URI))
        .with_columns(import_ts=_instant())
        .with_columns(reason=_reason(now))
    )
    return sorted_out(rows, _plays, not_music=raw.height - music.height)


def _stamp() -> pl.Expr:
    """The instant in the one form that identifies a row, with milliseconds if it has any; null if it is no instant."""
    ts = pl.col("ts")
    milliseconds = ts.str.extract(r"[.,]([0-9]{1,3})").str.pad_end(3, "0")
    fraction = pl.when(milliseconds != "000").then("." + milliseconds).otherwise(pl.lit(""))
    spelt = pl.concat_str(ts.str.slice(0, 10), pl.lit("T"), ts.str.slice(11, 8), fraction, pl.lit("Z"))
    return pl.when(ts.str.contains(INSTANT)).then(spelt)


def _instant() -> pl.Expr:
    stamp = pl.col("stamp")
    seconds = stamp.str.slice(0, 19).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="ms", time_zone="UTC", strict=False)
    return seconds + pl.duration(milliseconds=stamp.str.slice(20, 3).cast(pl.Int64, strict=False).fill_null(0))


def _reason(now: datetime) -> pl.Expr:
    """Why a row is not a play; null if it is one."""
    return pl.coalesce(
        fault(pl.col("import_ts").is_null(), "ts is not an instant like 2023-03-19T18:31:37Z"),
        fault(pl.col("ms_played").is_null(), "ms_played is not a whole number of milliseconds"),
        *impossible(now),
        fault(
            pl.col("track_id").is_null() & pl.col("track_name").is_null(),
            NAMELESS,
        ),
    )


def _plays(rows: pl.DataFrame) -> pl.DataFrame:
    """Valid rows of tracks as a frame of `EXPORT_SCHEMA`."""
    offline_ms = (
        pl.when(pl.col("offline_timestamp").is_between(MILLISECONDS_FROM, MILLISECONDS_UNTIL))
        .then(pl.col("offline_timestamp"))
        .when(pl.col("offline_timestamp").is_between(1, MILLISECONDS_FROM - 1))
        .then(pl.col("offline_timestamp") * 1000)
    )
    plays = _identified(rows.with_columns(pl.col(*NAMES).fill_null(""))).with_columns(
        duration_ms=None,
        offline_at=offline_ms.cast(UTC_MS),
        incognito=pl.col("incognito_mode"),
        country=pl.when(pl.col("conn_country") != "ZZ").then(pl.col("conn_country")),
        platform=_platform_family(rows["platform"]),
        video=None,
        import_key=pl.concat_str("stamp", "track_id", "ms_played", separator="|"),
    )
    return plays.select(pl.col(name).cast(dtype) for name, dtype in EXPORT_SCHEMA.items())


def _identified(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with ids for files from the user's own disk, which have only artist and title."""
    local = rows.filter(pl.col("track_id").is_null())
    if local.is_empty():
        return rows
    ids = local.select("row_number", local_id=stable_ids("local", local.select("artist_name", "track_name")))
    return rows.join(ids, on="row_number", how="left", maintain_order="left").with_columns(
        track_id=pl.coalesce("track_id", "local_id")
    )


def _platform_family(platform: pl.Series) -> pl.Series:
    """Platform families; computed once per text, because a file has few different ones."""
    text = pl.col("platform").str.to_lowercase()
    families = [fault(text.str.contains(rf"(^|[^a-z]){re.escape(part)}"), family) for part, family in PLATFORM_FAMILIES]
    stated = text.is_not_null() & ~text.is_in(["", "not_applicable"])
    texts = (
        platform.unique().to_frame().with_columns(family=pl.when(stated).then(pl.coalesce(*families, pl.lit("other"))))
    )
    return platform.to_frame().join(texts, on="platform", how="left", nulls_equal=True, maintain_order="left")["family"]
