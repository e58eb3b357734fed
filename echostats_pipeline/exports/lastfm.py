"""What others export from Last.fm, which has no export of its own: CSVs, and the pages of ``user.getRecentTracks``.

Every row is a play with the second of its start, by name: no Spotify id, no length, no time listened.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO

from echostats_pipeline.errors import BrokenExportError, ExportError
from echostats_pipeline.exports.named_plays import (
    NamedPlay,
    Outcome,
    Rejected,
    array_elements,
    export_chunks,
    judged,
)
from echostats_pipeline.exports.rows import ExportChunk
from echostats_pipeline.exports.text import csv_rows, read_block, text_start

EARLIEST = datetime(2005, 1, 1, tzinfo=UTC)
"""Nothing older is real: Last.fm stamps plays of unknown time with 1970."""
LARGEST_PAGE = 1 << 26
"""Bytes of a file that is one page; a page of the API, 200 plays, has about 200 kB."""
PAGES_HELD = 100

STILL_PLAYING = "still playing: no instant"
NO_INSTANT = "the row has no instant that can be read"
SECONDS = re.compile(r"[0-9]{1,12}")
UTC_TIME = re.compile(r"([0-9]{1,2}) ([A-Za-z]{3})[a-z]* ([0-9]{4}),? +([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
HEADERLESS = ("artist", "album", "track", "utc_time")


def read_lastfm(stream: BinaryIO, name: str, now: datetime, chunk_rows: int) -> Iterator[ExportChunk]:
    """Read a CSV or JSON of plays at Last.fm.

    CSVs have a header with at least ``artist``, ``track`` and ``uts`` or ``utc_time``, or no header and the columns
    artist, album, title, ``dd Mon YYYY HH:MM``. JSON is one page of ``user.getRecentTracks``, an array of pages, or an
    array of their tracks.

    Args:
        stream: The file, seekable.
        name: Its name, for messages.
        now: The current instant; later plays, by more than a day, are rejected.
        chunk_rows: Rows per chunk, at least 1.

    Raises:
        ExportError: it is none of these.
        BrokenExportError: it breaks off; the rows before the break were given.
    """
    rows = _json_rows if text_start(stream, name).startswith(("[", "{")) else _csv_rows
    outcomes = (_outcome(row, now) for row in rows(stream, name))
    yield from export_chunks(outcomes, "lastfm", chunk_rows, stream.tell)


def _outcome(row: dict[str, Any] | str, now: datetime) -> Outcome:
    """What became of a row: its values by the names of the CSVs' columns, or why it cannot be read."""
    if isinstance(row, str):
        return Rejected(row, {})
    texts = {key: value if isinstance(value, str) else "" for key, value in row.items()}
    started = seconds(texts.get("uts", "")) if texts.get("uts") else _seconds_of_text(texts.get("utc_time", ""))
    if started is None:
        stamped = any(texts.get(key) for key in ("uts", "utc_time"))
        return Rejected(NO_INSTANT if stamped else STILL_PLAYING, texts)
    play = NamedPlay(started, texts.get("artist", ""), texts.get("track", ""), texts.get("album", ""))
    return judged(play, texts, EARLIEST, now)


def seconds(text: str) -> int | None:
    """Whole seconds since 1970, or None where the text is something else."""
    return int(text) if SECONDS.fullmatch(text.strip()) else None


def _seconds_of_text(text: str) -> int | None:
    """The second of ``14 Nov 2023, 22:13`` in UTC; the seconds may follow, the comma may be missing."""
    found = UTC_TIME.fullmatch(text.strip())
    if not found or found[2].lower() not in MONTHS:
        return None
    day, year, hour, minute, second = (int(found[part] or 0) for part in (1, 3, 4, 5, 6))
    try:
        instant = datetime(year, MONTHS.index(found[2].lower()) + 1, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return int(instant.timestamp())


def _csv_rows(stream: BinaryIO, name: str) -> Iterator[dict[str, Any] | str]:
    rows = csv_rows(stream, name)
    first = next(rows, "")
    columns = [column.strip().lower() for column in first]
    if {"artist", "track"}.issubset(columns) and not {"uts", "utc_time"}.isdisjoint(columns):
        wanted = {column: columns.index(column) for column in ("uts", *HEADERLESS) if column in columns}
    elif len(first) == len(HEADERLESS) and _seconds_of_text(first[-1]) is not None:
        wanted = {column: place for place, column in enumerate(HEADERLESS)}
        yield {column: first[place] for column, place in wanted.items()}
    else:
        raise ExportError(
            f"{name} is not an export from Last.fm: its first row is neither a header with uts, artist and track nor "
            'artist, album, title, "dd Mon YYYY HH:MM". Nothing was imported.'
        )
    for row in rows:
        yield row if isinstance(row, str) else {column: row[place] for column, place in wanted.items()}


def _json_rows(stream: BinaryIO, name: str) -> Iterator[dict[str, Any] | str]:
    for element in _elements(stream, name):
        for track in [element] if isinstance(element, Rejected) else _tracks(element):
            yield _flat(track) if isinstance(track, dict) else "the row is not an object"


def _elements(stream: BinaryIO, name: str) -> Iterator[Any]:
    """The elements of an array, or the one page that the file is."""
    if text_start(stream, name).startswith("["):
        yield from array_elements(stream, name, PAGES_HELD)
        return
    page = read_block(stream, name, LARGEST_PAGE)
    try:
        yield json.loads(page)
    except (ValueError, RecursionError) as error:
        raise BrokenExportError(
            f"{name} is not one whole page of user.getRecentTracks ({error}). It may have been cut off; export it "
            "again and repeat the import.",
            position=stream.tell(),
        ) from error


def _tracks(element: Any) -> list[Any]:
    """The tracks of a page, whose only track may stand there without an array; or the element, which is a track."""
    page = element.get("recenttracks", element) if isinstance(element, dict) else element
    tracks = page.get("track", page) if isinstance(page, dict) else page
    return tracks if isinstance(tracks, list) else [tracks]


def _flat(track: dict[str, Any]) -> dict[str, Any]:
    """The track as a row of the CSVs. Its artist carries a name or, in short answers, a ``#text``."""
    artist, album, date = (
        value if isinstance(value, dict) else {"#text": value} for value in map(track.get, ("artist", "album", "date"))
    )
    return {
        "uts": date.get("uts"),
        "utc_time": date.get("#text"),
        "artist": artist.get("#text") or artist.get("name"),
        "album": album.get("#text"),
        "track": track.get("name"),
    }
