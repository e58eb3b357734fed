"""Defines the common form of export rows, for files of all formats."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import polars as pl

from echostats_pipeline.transforms.statistics.plays import UTC_MS

ExportFormat = Literal[
    "extended",
    "video",
    "basic",
    "basic_other",
    "echotune",
    "listenbrainz",
    "koito",
    "maloja",
    "scrobblerlog",
    "lastfm",
]
"""The kind of a file. ``video``: the extended history's videos, of which those of songs are plays. ``basic_other``: the
account data's podcasts and audiobooks, which are counted and not stored. ``echotune``: EchoTune's CSV of 57 columns.
``scrobblerlog``: the log of a portable player."""

EXPORT_SCHEMA = {
    "row_number": pl.UInt32(),
    "import_key": pl.String(),
    "import_ts": UTC_MS,
    "ms_played": pl.Int64(),
    "track_id": pl.String(),
    "track_name": pl.String(),
    "artist_name": pl.String(),
    "album_name": pl.String(),
    "duration_ms": pl.Int64(),
    "reason_start": pl.String(),
    "reason_end": pl.String(),
    "shuffle": pl.Boolean(),
    "skipped": pl.Boolean(),
    "offline": pl.Boolean(),
    "offline_at": UTC_MS,
    "incognito": pl.Boolean(),
    "country": pl.String(),
    "platform": pl.String(),
    "video": pl.Boolean(),
}
"""One row per play.

``row_number`` is the position in the file, from 0. ``import_key`` identifies the row by its raw content and by the
number of earlier rows with the same content. ``import_ts`` is the instant in the file. ``ms_played`` is null only if
the format does not have it, ``duration_ms`` (of the track) if the row does not have it. ``track_id`` is a Spotify id,
or made by `transforms.history.identity.stable_id`. Names are empty if unknown. All columns from ``reason_start`` on
are null if the export does not have them; ``video`` is true for the video of a song.
"""


@dataclass(frozen=True)
class RejectedRow:
    """A row that cannot become a play: its position in the file (from 0), the reason, and its content."""

    row_number: int
    reason: str
    row: dict[str, Any]


@dataclass(frozen=True)
class ExportChunk:
    """Consecutive rows of a file: plays, rows that are not music, rejected rows. The three add up to `rows`.

    `bytes_read` is how far into the file the chunk reaches.
    """

    rows: int
    plays: pl.DataFrame
    not_music: int
    rejects: list[RejectedRow]
    bytes_read: int


@dataclass(frozen=True)
class ExportFile:
    """One file of an export, on disk or in a zip; `open` returns its content, `size` is the length in bytes."""

    name: str
    format: ExportFormat
    size: int
    open: Callable[[], BinaryIO]
