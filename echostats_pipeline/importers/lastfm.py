"""Reads what tools export from Last.fm, which has no export itself: CSVs, and pages of ``user.getRecentTracks``.

Every row is a play by name with its start to the second: no Spotify id, no length, no time played.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import dropwhile
from typing import Any, BinaryIO

from echostats_pipeline.errors import ExportError
from echostats_pipeline.importers.arrays import DECODER
from echostats_pipeline.importers.delimited import csv_rows
from echostats_pipeline.importers.named_plays import (
    NamedPlay,
    Outcome,
    Rejected,
    array_elements,
    export_chunks,
    judged,
)
from echostats_pipeline.importers.rows import ExportChunk
from echostats_pipeline.importers.scrobbles import flat, instant, joined_instants, layout_of, seconds
from echostats_pipeline.importers.text import text_lines, text_start

EARLIEST = datetime(2005, 1, 1, tzinfo=UTC)
"""Nothing older is real: Last.fm gives plays of unknown time a stamp in 1970."""
PAGES = re.compile(r'"(?:tracks?|scrobbles)"\s*:\s*(?:\[|(?=\{\s*"))')
"""Matches the text before the tracks of a page; a single track stands there without an array."""
LISTS = re.compile(r"\[\s*(?=\{)")
"""Matches the text before the tracks of a page if pages are plain arrays."""

STILL_PLAYING = "still playing: no time yet"
NO_INSTANT = "the row has no instant that can be read"


def read_lastfm(stream: BinaryIO, name: str, now: datetime, chunk_rows: int) -> Iterator[ExportChunk]:
    """Read a CSV or JSON of plays at Last.fm.

    CSVs have a header with an artist, a title and an instant, under the names in `scrobbles.NAMES`; or no header and
    the columns of `scrobbles.HEADERLESS`. JSON is one page of ``user.getRecentTracks``, an array of pages, arrays or
    tracks, or the ``scrobbles`` of lastfmstats.com.

    Args:
        stream: The file, seekable.
        name: The file's name for messages.
        now: The current instant; plays more than a day later are rejected.
        chunk_rows: Rows per chunk, at least 1.

    Raises:
        ExportError: the file is none of these.
        BrokenExportError: the file breaks off; the rows before the break were yielded.
    """
    head = text_start(stream, name)
    rows = _json_rows if head.startswith(("[", "{")) else _csv_rows
    outcomes = (row if isinstance(row, Rejected) else _outcome(row, now) for row in rows(stream, name, head))
    yield from export_chunks(outcomes, "lastfm", chunk_rows, stream.tell)


def _outcome(row: dict[str, str], now: datetime) -> Outcome:
    """The outcome of a row, given by its values under the keys of `scrobbles.NAMES`."""
    uts, written = row.get("uts", ""), row.get("utc_time", "")
    started = seconds(uts) if uts else instant(written)
    if started is None:
        return Rejected(NO_INSTANT if uts or written else STILL_PLAYING, row)
    play = NamedPlay(started, row.get("artist", ""), row.get("track", ""), row.get("album", ""))
    return judged(play, row, EARLIEST, now)


def _csv_rows(stream: BinaryIO, name: str, head: str) -> Iterator[dict[str, str] | Rejected]:
    layout = layout_of(head)
    if not layout:
        raise ExportError(
            f"{name} is not an export from Last.fm: its first row is neither a header with uts, artist and track nor "
            'artist, album, title, "dd Mon YYYY HH:MM". Nothing was imported.'
        )
    lines = dropwhile(lambda line: isinstance(line, str) and not line.strip(), text_lines(stream, name))
    if layout.header:
        next(lines)
    for row in csv_rows(joined_instants(lines), layout.delimiter, layout.width):
        yield Rejected(row, {}) if isinstance(row, str) else layout.row(row)


def _json_rows(stream: BinaryIO, name: str, head: str) -> Iterator[dict[str, str] | Rejected]:
    for element in array_elements(stream, name, opening_of(head)):
        for track in [element] if isinstance(element, Rejected) else _tracks(element):
            if isinstance(track, Rejected):
                yield track
            elif not isinstance(track, dict):
                yield Rejected("the row is not an object", {})
            elif "nowplaying" in str(track.get("@attr")):
                yield Rejected(STILL_PLAYING, flat(track))
            else:
                yield flat(track)


def opening_of(head: str) -> re.Pattern[str] | None:
    """Matches the text before arrays of tracks in JSON with this beginning; None if the whole file is one array."""
    if head.startswith("{"):
        return PAGES
    if re.match(r"\[\s*\[", head):
        return LISTS
    try:
        first = DECODER.raw_decode(head, len(head) - len(head[1:].lstrip()))[0]
    except (ValueError, RecursionError):
        first = None
    is_track = isinstance(first, dict) and not isinstance(first.get("track", first.get("recenttracks")), dict | list)
    return None if is_track or not PAGES.search(head) else PAGES


def _tracks(element: Any) -> list[Any]:
    """The tracks of a page among the elements; or the element itself, if it is a track."""
    page = element.get("recenttracks", element) if isinstance(element, dict) else element
    tracks = page.get("track", page) if isinstance(page, dict) else page
    if isinstance(tracks, str):
        return [page]
    return tracks if isinstance(tracks, list) else [tracks]
