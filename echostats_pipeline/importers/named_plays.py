"""Shared code for exports of other services: plays by name, with their start, without playback details."""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from operator import itemgetter
from typing import Any, BinaryIO, NamedTuple

import polars as pl

from echostats_pipeline.importers.arrays import read_objects
from echostats_pipeline.importers.chunks import AHEAD, LONGEST_NAME, shown, stable_ids
from echostats_pipeline.importers.occurrences import Occurrences
from echostats_pipeline.importers.rows import EXPORT_SCHEMA, ExportChunk, RejectedRow
from echostats_pipeline.importers.text import chunked
from echostats_pipeline.model.base import storable_text

ELEMENTS_HELD = 1000
"""How many objects of an array are held at a time; with pictures and aliases each takes some kB."""


class NamedPlay(NamedTuple):
    """One play: the second of its start, names, and other facts that the service knows."""

    started: int
    artist: str
    track: str
    album: str = ""
    track_id: str | None = None
    ms_played: int | None = None
    duration_ms: int | None = None
    isrc: str | None = None


class Rejected(NamedTuple):
    """Why a row cannot become a play, and the part of the row that is kept."""

    reason: str
    row: dict[str, Any]


Outcome = NamedPlay | Rejected | None
"""The outcome of a row; None if it is not music."""


def judged(play: NamedPlay, kept: dict[str, Any], earliest: datetime, now: datetime) -> NamedPlay | Rejected:
    """The play as it can be stored, or why it cannot: a name is missing or too long, or the instant is impossible."""
    artist, track, album = (storable_text(name).strip() for name in (play.artist, play.track, play.album))
    play = play._replace(artist=artist, track=track, album=album)
    if not play.artist or not play.track:
        return Rejected("the row does not name artist and track", kept)
    if max(map(len, (artist, track, album))) > LONGEST_NAME:
        return Rejected(f"a name has more than {LONGEST_NAME} characters", kept)
    if play.started < earliest.timestamp():
        return Rejected(f"the play is stamped before {earliest:%Y-%m-%d}", kept)
    if play.started > (now + AHEAD).timestamp():
        return Rejected("the play is stamped in the future", kept)
    return play


def array_elements(
    stream: BinaryIO, name: str, opening: re.Pattern[str] | None = None
) -> Iterator[dict[str, Any] | Rejected]:
    """Yield the objects of a JSON array in order, or why an element is rejected.

    Args:
        stream: The file, from its beginning.
        name: The file's name for messages.
        opening: Matches the text before the array if the file is not the array itself, as in `read_objects`.

    Raises:
        ExportError: there is no array after `opening`.
        BrokenExportError: the array breaks off.
    """
    for chunk in read_objects(stream, name, ELEMENTS_HELD, opening=opening):
        elements: list[tuple[int, dict[str, Any] | Rejected]] = list(zip(chunk.numbers, chunk.objects, strict=True))
        elements += [(reject.row_number, Rejected(reject.reason, reject.row)) for reject in chunk.rejects]
        yield from map(itemgetter(1), sorted(elements, key=itemgetter(0)))


def judged_chunks(
    rows: Iterable[Any], judge: Callable[[Any], Outcome], service: str, chunk_rows: int, bytes_read: Callable[[], int]
) -> Iterator[ExportChunk]:
    """Judge each row of an export that could be read, and yield chunks as `export_chunks` does."""
    outcomes = (row if isinstance(row, Rejected) else judge(row) for row in rows)
    yield from export_chunks(outcomes, service, chunk_rows, bytes_read)


def export_chunks(
    outcomes: Iterable[Outcome], service: str, chunk_rows: int, bytes_read: Callable[[], int]
) -> Iterator[ExportChunk]:
    """Yield chunks of at most `chunk_rows` rows.

    Args:
        outcomes: The outcome of each row of the file, in order.
        service: The first part of every ``import_key``.
        chunk_rows: Rows per chunk, at least 1.
        bytes_read: Returns how far into the file the outcomes have come.

    Raises:
        ExportError: an error raised by `outcomes`, after a chunk with the rows before it.
    """
    occurrences, first = Occurrences(), 0
    for rows in chunked(outcomes, chunk_rows, bytes_read):
        plays = [(number, row) for number, row in enumerate(rows, first) if isinstance(row, NamedPlay)]
        rejects = [
            RejectedRow(number, row.reason, shown(row.row))
            for number, row in enumerate(rows, first)
            if isinstance(row, Rejected)
        ]
        numbered = occurrences.numbered(_frame(plays, service))
        yield ExportChunk(len(rows), numbered, len(rows) - len(plays) - len(rejects), rejects, bytes_read())
        first += len(rows)


def _frame(plays: list[tuple[int, NamedPlay]], service: str) -> pl.DataFrame:
    """A frame of `EXPORT_SCHEMA`; its keys still lack the occurrence number."""
    columns: dict[str, list[Any]] = {
        "row_number": [number for number, _ in plays],
        "import_key": [_import_key(service, play) for _, play in plays],
        "import_ts": [play.started * 1000 for _, play in plays],
        "ms_played": [play.ms_played for _, play in plays],
        "track_id": [play.track_id for _, play in plays],
        "track_name": [play.track for _, play in plays],
        "artist_name": [play.artist for _, play in plays],
        "album_name": [play.album for _, play in plays],
        "duration_ms": [play.duration_ms for _, play in plays],
    }
    unknown = [None] * len(plays)
    frame = pl.DataFrame(
        [pl.Series(name, columns.get(name, unknown), dtype=dtype) for name, dtype in EXPORT_SCHEMA.items()]
    )
    unresolved = frame.filter(pl.col("track_id").is_null())
    made = stable_ids("unresolved", unresolved.select("artist_name", "track_name"))
    return frame.update(unresolved.select("row_number", track_id=made), on="row_number")


def _import_key(service: str, play: NamedPlay) -> str:
    r"""The key that `named_rows.parsed_key` reads, without the occurrence number."""
    known_id = play.track_id or play.isrc
    suffix = f"\x1f{known_id}" if known_id else ""
    lasted = "" if play.ms_played is None else play.ms_played
    return f"{service}|{play.started}|{play.artist}\x1f{play.track}{suffix}|{lasted}"
