"""Reads the export of Koito: one JSON object whose ``listens`` are plays, with all known names of track and artists."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, BinaryIO

from echostats_pipeline.importers.lastfm import EARLIEST
from echostats_pipeline.importers.listenbrainz import LISTENS
from echostats_pipeline.importers.named_plays import (
    NamedPlay,
    Outcome,
    Rejected,
    array_elements,
    judged,
    judged_chunks,
)
from echostats_pipeline.importers.rows import ExportChunk

LONGEST_S = 24 * 60 * 60
INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})")


def read_koito(stream: BinaryIO, name: str, now: datetime, chunk_rows: int) -> Iterator[ExportChunk]:
    """Read an export of version 1.

    ``listened_at`` is the value that the client sent, which is the start of the play by the rules of ListenBrainz and
    Last.fm. For plays that Koito itself has imported from Spotify it is the end. ``duration`` is the length of the
    track in seconds, 0 if unknown.

    Args:
        stream: The file.
        name: The file's name for messages.
        now: The current instant; plays more than a day later are rejected.
        chunk_rows: Rows per chunk, at least 1.

    Raises:
        ExportError: the file holds no listens.
        BrokenExportError: the file breaks off; the rows before the break were yielded.
    """
    elements = array_elements(stream, name, LISTENS)
    yield from judged_chunks(elements, partial(_outcome, now=now), "koito", chunk_rows, stream.tell)


def _outcome(listen: dict[str, Any], now: datetime) -> Outcome:
    track, stamp = listen.get("track"), listen.get("listened_at")
    artist, title, album = _primary(listen.get("artists")), _alias(track), _alias(listen.get("album"))
    kept = {"artist": artist, "track": title, "album": album, "listened_at": stamp}
    started = _second(stamp)
    if started is None:
        return Rejected("listened_at is not an instant like 2025-10-01T12:00:00Z", kept)
    seconds = track.get("duration") if isinstance(track, dict) else None
    duration_ms = seconds * 1000 if type(seconds) is int and 0 < seconds < LONGEST_S else None
    return judged(NamedPlay(started, artist, title, album, duration_ms=duration_ms), kept, EARLIEST, now)


def _primary(artists: Any) -> str:
    """The name of the primary artist, else of the first one."""
    known = [artist for artist in artists if isinstance(artist, dict)] if isinstance(artists, list) else []
    known.sort(key=lambda artist: artist.get("is_primary") is not True)
    return _alias(known[0]) if known else ""


def _alias(of: Any) -> str:
    """The primary name of an artist, album or track, else the first one."""
    aliases = of.get("aliases") if isinstance(of, dict) else None
    known = [alias for alias in aliases if isinstance(alias, dict)] if isinstance(aliases, list) else []
    known.sort(key=lambda alias: alias.get("is_primary") is not True)
    names = (alias.get("alias") for alias in known)
    return next((name for name in names if isinstance(name, str)), "")


def _second(stamp: Any) -> int | None:
    if not isinstance(stamp, str) or not INSTANT.fullmatch(stamp):
        return None
    try:
        return int(datetime.fromisoformat(stamp).astimezone(UTC).timestamp())
    except (ValueError, OverflowError):
        return None
