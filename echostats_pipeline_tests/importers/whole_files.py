"""Reads whole files: joins the chunks that a reader returns. Every test that reads a file uses it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import BinaryIO

import polars as pl

from echostats_pipeline.errors import ExportError
from echostats_pipeline.importers.rows import EXPORT_SCHEMA, ExportChunk, RejectedRow

NOW = datetime(2025, 6, 15, 12, 0, tzinfo=UTC)
Reader = Callable[[BinaryIO, str, datetime, int], Iterator[ExportChunk]]


@dataclass(frozen=True)
class WholeFile:
    """All chunks of a file joined, and how reading it ended."""

    rows: int
    plays: pl.DataFrame
    not_music: int
    rejects: list[RejectedRow]
    error: ExportError | None


def read_whole(reader: Reader, data: bytes | BinaryIO, name: str = "F.json", chunk_rows: int = 20_000) -> WholeFile:
    """Read the file, and check what holds for every chunk of every file."""
    stream = BytesIO(data) if isinstance(data, bytes) else data
    chunks: list[ExportChunk] = []
    error = None
    try:
        for chunk in reader(stream, name, NOW, chunk_rows):
            assert chunk.rows == chunk.plays.height + chunk.not_music + len(chunk.rejects) <= chunk_rows
            assert dict(chunk.plays.schema) == EXPORT_SCHEMA
            assert chunk.bytes_read >= (chunks[-1].bytes_read if chunks else 0)
            chunks.append(chunk)
    except ExportError as raised:
        error = raised
        assert name in str(error)
    plays = pl.concat([pl.DataFrame(schema=EXPORT_SCHEMA), *(chunk.plays for chunk in chunks)])
    rejects = [reject for chunk in chunks for reject in chunk.rejects]
    rows = sum(chunk.rows for chunk in chunks)
    numbers = [*plays["row_number"], *(reject.row_number for reject in rejects)]
    assert len(set(numbers)) == len(numbers)
    assert all(number < rows for number in numbers)
    assert plays["import_key"].is_unique().all()
    assert plays.drop("ms_played", "duration_ms").null_count().row(0)[:7] == (0,) * 7
    return WholeFile(rows, plays, sum(chunk.not_music for chunk in chunks), rejects, error)
