"""Reads EchoTune's CSV: the extended streaming history joined with tables about the tracks, up to 57 columns."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple

import polars as pl

from echostats_pipeline.errors import ExportError
from echostats_pipeline.importers.delimited import csv_rows, header_of
from echostats_pipeline.importers.extended import KEPT_KEYS, RAW_SCHEMA, classified
from echostats_pipeline.importers.occurrences import Occurrences
from echostats_pipeline.importers.rows import EXPORT_SCHEMA, ExportChunk, RejectedRow
from echostats_pipeline.importers.text import chunked, text_lines
from echostats_pipeline.model.base import storable_text

NEEDED = ("ts", "ms_played", "spotify_track_uri")
PERSONAL = ("username", "ip_addr", "ip_addr_decrypted", "user_agent_decrypted")
OWN = {*RAW_SCHEMA, *PERSONAL, "episode_show_name"}
"""The columns of the extended history; all other columns were joined to them."""
DURATION = "track duration (ms)_releases"
DOUBLED = "a join of tables has duplicated an earlier row"


class CsvLayout(NamedTuple):
    """The positions of the columns.

    Attributes:
        raw: The position of each column of `RAW_SCHEMA` that the file has.
        own: The positions of all columns of the extended history.
        duration: The position of the track's length, or None.
    """

    raw: dict[str, int]
    own: list[int]
    duration: int | None


class Joins:
    """Finds the rows that a join has duplicated, over all chunks of one file.

    If a history has m equal rows and the joined table has j rows for their track, the join gives j different rows, each
    m times. So rows that are equal in the history's own columns are as many plays as the most frequent of these rows
    has copies. A row is a duplicate if the n-th copy of another row came before its own n-th copy.
    """

    def __init__(self) -> None:
        self._copies, self._plays = Occurrences(), Occurrences()

    def doubled(self, rows: list[list[str]], own: list[int]) -> list[bool]:
        """Whether each row repeats an earlier one with other joined values; `own` are the history's columns."""
        whole = pl.Series(["\x1f".join(row) for row in rows], dtype=pl.String).hash()
        played = pl.Series(["\x1f".join([row[place] for place in own]) for row in rows], dtype=pl.String).hash()
        copies = self._copies.numbered(pl.DataFrame({"import_key": whole.cast(pl.String)}))
        copy = copies["import_key"].str.extract(r"(\|\d+)$")
        plays = self._plays.numbered(pl.DataFrame({"import_key": played.cast(pl.String) + copy}))
        return (~plays["import_key"].str.ends_with("|1")).to_list()


def read_echotune(stream: BinaryIO, name: str, now: datetime, chunk_rows: int) -> Iterator[ExportChunk]:
    """Read EchoTune's CSV.

    The rows are rows of the extended history with the same identity, so the two files can be imported in any order.
    Columns may have the suffix ``_x`` of the join.

    Rows that are equal in every column of the history but differ in joined columns are one play: the first is kept, the
    others are rejected as duplicates (`Joins`). Rows that are equal in all columns, and rows that differ in a column of
    the history, are separate plays, as in the JSON. A published part of one file has no duplicated row among its
    12,409 rows: repeats of instant, track and time all differ in ``reason_start`` or ``shuffle``, as only rows of the
    history itself can. Merging by identity alone would lose these plays.

    Args:
        stream: The file.
        name: The file's name for messages.
        now: The current instant; later plays are rejected.
        chunk_rows: Rows per chunk, at least 1.

    Raises:
        ExportError: the first row is not the header of EchoTune's CSV.
        BrokenExportError: the file breaks off; the rows before the break were yielded.
    """
    lines = (line for line in text_lines(stream, name) if line != "\n")
    header = next(lines, "")
    columns = header_of(header) if isinstance(header, str) else []
    layout = _layout(columns, name)
    rows = csv_rows(lines, width=len(columns))
    joins, occurrences, first = Joins(), Occurrences(), 0
    for chunk in chunked(rows, chunk_rows, stream.tell):
        reasons = {number: row for number, row in enumerate(chunk, first) if isinstance(row, str)}
        read = {number: row for number, row in enumerate(chunk, first) if not isinstance(row, str)}
        doubled = joins.doubled(list(read.values()), layout.own)
        reasons |= {number: DOUBLED for number, again in zip(read, doubled, strict=True) if again}
        found = classified(_raw({number: row for number, row in read.items() if number not in reasons}, layout), now)
        reasons |= dict(found.rejected.select("row_number", "reason").iter_rows())
        yield ExportChunk(
            rows=len(chunk),
            plays=occurrences.numbered(_with_durations(found.plays, read, layout)),
            not_music=found.not_music,
            rejects=[
                RejectedRow(number, reason, _kept(read.get(number), layout))
                for number, reason in sorted(reasons.items())
            ],
            bytes_read=stream.tell(),
        )
        first += len(chunk)


def _layout(header: list[str], name: str) -> CsvLayout:
    columns = [column.lower() for column in header]
    bases = [column.removesuffix("_x") for column in columns]
    missing = [column for column in NEEDED if column not in bases]
    if missing:
        raise ExportError(
            f"{name} is not EchoTune's CSV: its first row names no column {' or '.join(missing)}. Nothing was imported."
        )
    return CsvLayout(
        raw={column: bases.index(column) for column in RAW_SCHEMA if column in bases},
        own=[place for place, column in enumerate(bases) if column in OWN],
        duration=columns.index(DURATION) if DURATION in columns else None,
    )


def _raw(rows: dict[int, list[str]], layout: CsvLayout) -> pl.DataFrame:
    """The rows as `classified` takes them: columns of `RAW_SCHEMA` and ``row_number``."""
    columns = {"row_number": pl.Series(list(rows), dtype=pl.UInt32)}
    columns |= {key: _texts(rows, layout.raw.get(key)) for key in RAW_SCHEMA}
    return pl.DataFrame(columns).with_columns(
        _TYPED[dtype](pl.col(key)).alias(key) for key, dtype in RAW_SCHEMA.items() if dtype in _TYPED
    )


def _texts(rows: dict[int, list[str]], place: int | None) -> pl.Series:
    """One column; empty text becomes null."""
    if place is None:
        return pl.Series([None] * len(rows), dtype=pl.String)
    return pl.Series([row[place] or None for row in rows.values()], dtype=pl.String)


def _whole(text: pl.Expr) -> pl.Expr:
    """Whole numbers; in a column with gaps, pandas writes them as ``84834.0``."""
    return text.str.replace(r"\.0+$", "").cast(pl.Int64, strict=False)


def _truth(text: pl.Expr) -> pl.Expr:
    return text.str.to_lowercase().replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)


_TYPED = {pl.Int64(): _whole, pl.Boolean(): _truth}


def _with_durations(plays: pl.DataFrame, rows: dict[int, list[str]], layout: CsvLayout) -> pl.DataFrame:
    durations = pl.DataFrame(
        {"row_number": pl.Series(list(rows), dtype=pl.UInt32), "duration_ms": _texts(rows, layout.duration)}
    ).with_columns(_whole(pl.col("duration_ms")))
    known = durations.filter(pl.col("duration_ms") > 0)
    return (
        plays.drop("duration_ms").join(known, on="row_number", how="left", maintain_order="left").select(*EXPORT_SCHEMA)
    )


def _kept(row: list[str] | None, layout: CsvLayout) -> dict[str, Any]:
    """The part of a rejected row that is kept: the columns of the history that say nothing about the person."""
    if row is None:
        return {}
    return {key: storable_text(row[place]) for key, place in layout.raw.items() if key in KEPT_KEYS}
