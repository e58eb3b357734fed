"""The common form of export rows, whatever file they came from."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from echostats_pipeline.transforms.plays import UTC_MS

EXPORT_SCHEMA = {
    "row_number": pl.UInt32(),
    "import_key": pl.String(),
    "import_ts": UTC_MS,
    "ms_played": pl.Int64(),
    "track_id": pl.String(),
    "track_name": pl.String(),
    "artist_name": pl.String(),
    "album_name": pl.String(),
    "reason_start": pl.String(),
    "reason_end": pl.String(),
    "shuffle": pl.Boolean(),
    "skipped": pl.Boolean(),
    "offline": pl.Boolean(),
    "offline_at": UTC_MS,
    "incognito": pl.Boolean(),
    "country": pl.String(),
    "platform": pl.String(),
}
"""One row per play. Everything from ``reason_start`` on is null where the export does not say."""


@dataclass(frozen=True)
class RejectedRow:
    """A row that cannot become a play: its position in the file (0 is the first), why, and what it held."""

    row_number: int
    reason: str
    row: dict[str, Any]


@dataclass(frozen=True)
class ExportRows:
    """Everything a file held: plays, what was no music, what was rejected. The three add up to `rows`."""

    rows: int
    plays: pl.DataFrame
    not_music: int
    rejects: list[RejectedRow]
