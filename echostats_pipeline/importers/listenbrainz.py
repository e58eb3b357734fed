"""Reads the export of ListenBrainz: one JSON object per play, as lines of files in a zip or, formerly, as one array."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, BinaryIO

from echostats_pipeline.importers.lines import json_lines
from echostats_pipeline.importers.named_plays import (
    NamedPlay,
    Outcome,
    Rejected,
    array_elements,
    judged,
    judged_chunks,
)
from echostats_pipeline.importers.rows import ExportChunk
from echostats_pipeline.importers.text import text_start
from echostats_pipeline.transforms.isrcs import ISRC

EARLIEST = datetime(2002, 10, 1, tzinfo=UTC)
"""ListenBrainz's own ``LISTEN_MINIMUM_DATE``: it refuses older listens, because most were wrong."""

SPOTIFY_PAGE = r"(?:https?://)?(?:open|play)\.spotify\.com/(?:intl-[A-Za-z-]+/)?(?:embed/)?"
SPOTIFY_TRACK = re.compile(rf"(?:(?:spotify:|{SPOTIFY_PAGE})track[:/])?([0-9A-Za-z]{{22}})(?:[/?#].*)?")
"""A Spotify track as clients name it: its page in any language, its URI, or the id alone."""
SPOTIFY_EPISODE = re.compile(rf"(?:spotify:|{SPOTIFY_PAGE})(?:episode|show|chapter)[:/]")
RECORDING = re.compile(ISRC)
LISTENS = re.compile(r'"listens"\s*:\s*\[')
SPOTIFY_FIELDS = ("spotify_id", "spotify_track_id", "origin_url")
"""Fields in which clients name a Spotify track, the most reliable first."""
LONGEST_MS = 2**53
"""Larger numbers are no lengths, and floats of that size are not exact."""


def read_listenbrainz(stream: BinaryIO, name: str, now: datetime, chunk_rows: int) -> Iterator[ExportChunk]:
    """Read one ``.jsonl`` of the zip, the array of the older export, or the ``listens`` of an API response.

    ``listened_at`` is the start of the play by ListenBrainz's rules; in its own imports from Spotify it is the end. The
    file does not show which, so the value is stored as it is.

    Args:
        stream: The file, seekable.
        name: The file's name for messages.
        now: The current instant; plays more than a day later are rejected.
        chunk_rows: Rows per chunk, at least 1.

    Raises:
        BrokenExportError: the file breaks off; the rows before the break were yielded.
    """
    head = text_start(stream, name)
    if head.startswith("["):
        objects = array_elements(stream, name)
    else:
        objects = array_elements(stream, name, LISTENS) if LISTENS.search(head) else json_lines(stream, name)
    yield from judged_chunks(objects, partial(_outcome, now=now), "listenbrainz", chunk_rows, stream.tell)


def _outcome(listen: Any, now: datetime) -> Outcome:
    if not isinstance(listen, dict):
        return Rejected("the row is not an object", {})
    metadata = _object(listen.get("track_metadata"))
    info = _object(metadata.get("additional_info"))
    links = [link.strip() for link in map(info.get, SPOTIFY_FIELDS) if isinstance(link, str)]
    names = [_text(metadata.get(key)) for key in ("artist_name", "track_name", "release_name")]
    kept = dict(zip(("artist_name", "track_name", "release_name"), names, strict=True))
    started = listen.get("listened_at")
    if type(started) is not int:
        reason = "still playing: no time yet" if started is None else "listened_at is not a whole number of seconds"
        return Rejected(reason, kept)
    kept["listened_at"] = str(started)[:20]
    if any(SPOTIFY_EPISODE.match(link) for link in links):
        return None
    tracks = (SPOTIFY_TRACK.fullmatch(link) for link in links)
    play = NamedPlay(
        started=started,
        artist=names[0],
        track=names[1],
        album=names[2],
        track_id=next((found[1] for found in tracks if found), None),
        ms_played=_ms_played(info.get("ms_played")),
        duration_ms=_milliseconds(info.get("duration_ms")) or _milliseconds(info.get("duration"), unit=1000),
        isrc=_isrc(info.get("isrc")),
    )
    return judged(play, kept, EARLIEST, now)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _isrc(value: Any) -> str | None:
    """The first recording code, in Spotify's form; clients may send one or several."""
    codes = value if isinstance(value, list) else [value]
    plain = (re.sub(r"[\s-]", "", _text(code)).upper().removeprefix("ISRC:") for code in codes)
    return next((code for code in plain if RECORDING.fullmatch(code)), None)


def _ms_played(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < LONGEST_MS else None


def _milliseconds(value: Any, unit: int = 1) -> int | None:
    """A length that clients send, whole or not, in units of `unit` milliseconds; None if it is no length."""
    return round(value * unit) if type(value) in (int, float) and 0 < value * unit < LONGEST_MS else None
