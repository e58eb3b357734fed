"""EchoTune's CSV: the extended streaming history joined with tables about the tracks, up to 57 columns."""

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
"""The extended history's columns; every other one was joined to them."""
DURATION = "track duration (ms)_releases"
DOUBLED = "the join of tables has doubled an earlier row"


class CsvLayout(NamedTuple):
    """Where the columns stand.

    Attributes:
        raw: The place of each column of `RAW_SCHEMA` that the file has.
        own: The places of all columns of the extended history.
        duration: The place of the track's length, or None.
    """

    raw: dict[str, int]
    own: list[int]
    duration: int | None


class Joins:
    """Finds the rows that a join has doubled, over the chunks of one file.

    A history with m equal rows, joined with a table that holds j rows for their track, gives each of j different rows m
    times. So rows that are equal in the history's own columns are as many plays as the most frequent of them has
    copies: a row is doubled where the n-th copy of another one was there before its own n-th copy.
    """

    def __init__(self) -> None:
        self._copies, self._plays = Occurrences(), Occurrences()

    def doubled(self, rows: list[list[str]], own: list[int]) -> list[bool]:
        """Whether each row is an earlier one joined with something else; its own columns stand at the places `own`."""
        whole = pl.Series(["\x1f".join(row) for row in rows], dtype=pl.String).hash()
        played = pl.Series(["\x1f".join([row[place] for place in own]) for row in rows], dtype=pl.String).hash()
        copies = self._copies.numbered(pl.DataFrame({"import_key": whole.cast(pl.String)}))
        copy = copies["import_key"].str.extract(r"(\|\d+)$")
        plays = self._plays.numbered(pl.DataFrame({"import_key": played.cast(pl.String) + copy}))
        return (~plays["import_key"].str.ends_with("|1")).to_list()


def read_echotune(stream: BinaryIO, name: str, now: datetime, chunk_rows: int) -> Iterator[ExportChunk]:
    """Read EchoTune's CSV.

    Its rows are rows of the extended history, with the same identity, so that either file may be imported after the
    other. Columns may carry the suffix ``_x`` of the join or not.

    Rows that are equal in every column of the history and differ in what was joined are one play: the first is kept,
    the others are rejected as doubled (`Joins`). Rows that are equal in all columns, and rows that differ in a column
    of the history, are plays of their own, as in the JSON. A published part of such a file has no doubled row among
    its 12,409: its repeats of instant, track and time all differ in ``reason_start`` or ``shuffle``, as only rows of
    the history itself can. To merge by identity alone would lose them.

    Args:
        stream: The file.
        name: Its name, for messages.
        now: The current instant; later plays are rejected.
        chunk_rows: Rows per chunk, at least 1.

    Raises:
        ExportError: its first row is not the header of such a CSV.
        BrokenExportError: it breaks off; the rows before the break were given.
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
    """One column; empty text is none."""
    if place is None:
        return pl.Series([None] * len(rows), dtype=pl.String)
    return pl.Series([row[place] or None for row in rows.values()], dtype=pl.String)


def _whole(text: pl.Expr) -> pl.Expr:
    """Whole numbers; pandas writes those of a column with gaps as ``84834.0``."""
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
    """What a rejected row shows: its columns of the history that tell nothing about the person."""
    if row is None:
        return {}
    return {key: storable_text(row[place]) for key, place in layout.raw.items() if key in KEPT_KEYS}
