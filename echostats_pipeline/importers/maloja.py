"""Reads the export of Maloja: one JSON object whose ``scrobbles`` are plays with the names of all artists."""

import re
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any, BinaryIO

from echostats_pipeline.importers.lastfm import EARLIEST
from echostats_pipeline.importers.named_plays import (
    NamedPlay,
    Outcome,
    Rejected,
    array_elements,
    judged,
    judged_chunks,
)
from echostats_pipeline.importers.rows import ExportChunk

SCROBBLES = re.compile(r'"scrobbles"\s*:\s*\[')
LONGEST_S = 24 * 60 * 60


def read_maloja(stream: BinaryIO, name: str, now: datetime, chunk_rows: int) -> Iterator[ExportChunk]:
    """Read an export.

    ``time`` is the second that the client sent, which is the start of the play by the rules of ListenBrainz and
    Last.fm. In plays that Maloja itself has imported from Spotify it is the start or the end, moved by seconds if two
    plays had the same. ``duration`` is the time played and ``length`` the length of the track, both in seconds.

    Args:
        stream: The file.
        name: The file's name for messages.
        now: The current instant; plays more than a day later are rejected.
        chunk_rows: Rows per chunk, at least 1.

    Raises:
        ExportError: the file holds no scrobbles.
        BrokenExportError: the file breaks off; the rows before the break were yielded.
    """
    elements = array_elements(stream, name, SCROBBLES)
    yield from judged_chunks(elements, partial(_outcome, now=now), "maloja", chunk_rows, stream.tell)


def _outcome(scrobble: dict[str, Any], now: datetime) -> Outcome:
    track = _object(scrobble.get("track"))
    album = _object(track.get("album"))
    kept = {
        "artist": _primary(_names(track.get("artists")), _names(album.get("artists"))),
        "track": _text(track.get("title")),
        "album": _text(album.get("albumtitle")) or _text(album.get("name")),
    }
    started = scrobble.get("time")
    if type(started) is not int:
        return Rejected("time is not a whole number of seconds", kept)
    play = NamedPlay(
        started,
        kept["artist"],
        kept["track"],
        kept["album"],
        ms_played=_milliseconds(scrobble.get("duration")),
        duration_ms=_milliseconds(track.get("length")),
    )
    return judged(play, kept | {"time": str(started)[:20]}, EARLIEST, now)


def _primary(artists: list[str], of_album: list[str]) -> str:
    """The main artist, as other sources name it. Maloja orders the artists of an album, but not those of a track."""
    return next((artist for artist in of_album if artist in artists), artists[0] if artists else "")


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str) and name.strip()] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _milliseconds(seconds: Any) -> int | None:
    return round(seconds * 1000) if type(seconds) in (int, float) and 0 < seconds < LONGEST_S else None
