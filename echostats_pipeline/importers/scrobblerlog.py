"""Reads ``.scrobbler.log``, in which portable players (Rockbox and others) record what they have played.

The first lines name the format, the time zone and the player. Every other line is a play in columns separated by tabs:
artist, album, title, position, length in seconds, rating, start, MusicBrainz id.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import BinaryIO

from echostats_pipeline.importers.lastfm import EARLIEST, NO_INSTANT
from echostats_pipeline.importers.named_plays import NamedPlay, Outcome, Rejected, export_chunks, judged
from echostats_pipeline.importers.rows import ExportChunk
from echostats_pipeline.importers.scrobbles import seconds
from echostats_pipeline.importers.text import UnreadText, is_damaged, text_lines

HEADER = "#AUDIOSCROBBLER/"
ZONE = "#TZ/"
ROW = re.compile(r"^(?:[^\t\n]*\t){4}-?[0-9]*\t[LS]?\t[0-9]+(?:\t[^\n]*)?$", re.MULTILINE | re.IGNORECASE)
"""A play; recognises a log that has lost its first lines."""
COLUMNS = ("artist", "album", "track", "position", "length", "rating", "start")
FAILED = "# FAILED"
"""The beginning of a line that Rockbox could not write."""
UNTAGGED = "<untagged>"
"""Rockbox's placeholder for a missing name."""
LONGEST_S = 24 * 60 * 60


def read_scrobbler_log(
    stream: BinaryIO, name: str, now: datetime, chunk_rows: int, zone: tzinfo = UTC
) -> Iterator[ExportChunk]:
    """Read a log.

    Plays that the player marked as skipped (rating S: less than half was heard) are rejected, as all other readers of
    these logs do: the time played is unknown, so the play would count as a whole one.

    Args:
        stream: The file.
        name: The file's name for messages.
        now: The current instant; plays more than a day later are rejected.
        chunk_rows: Rows per chunk, at least 1.
        zone: The time zone of the player's clock, unless the log says that its times are UTC.

    Raises:
        BrokenExportError: the file cannot be read to its end; the rows before that were yielded.
    """
    outcomes = _outcomes(text_lines(stream, name), now, zone)
    yield from export_chunks(outcomes, "scrobblerlog", chunk_rows, stream.tell)


def _outcomes(lines: Iterator[str | UnreadText], now: datetime, local: tzinfo) -> Iterator[Outcome]:
    zone = local
    for line in lines:
        if isinstance(line, UnreadText):
            yield Rejected(line.reason, {})
        elif line.startswith(FAILED):
            yield Rejected("the player could not write the row", {})
        elif line.startswith("#") and line.count("\t") < len(COLUMNS) - 1:
            if line.startswith(ZONE):
                zone = UTC if line.removeprefix(ZONE).strip().upper() == "UTC" else local
        elif line.strip():
            yield _outcome(line.removesuffix("\n"), now, zone)


def _outcome(line: str, now: datetime, zone: tzinfo) -> Outcome:
    if is_damaged(line):
        return Rejected("the row is not UTF-8", {})
    columns = ["" if value.lower() == UNTAGGED else value for value in line.split("\t")]
    if len(columns) < len(COLUMNS):
        return Rejected(f"the row has {len(columns)} columns, not {len(COLUMNS)} or more", {})
    row = dict(zip(COLUMNS, columns, strict=False))
    if row["rating"].upper() not in ("L", ""):
        skipped = row["rating"].upper() == "S"
        return Rejected("skipped: less than half was heard" if skipped else "the rating is neither L nor S", row)
    stamp, length = seconds(row["start"]), seconds(row["length"])
    started = _instant(stamp, zone) if stamp else None
    if started is None:
        return Rejected("the player has no clock, so the play has no time" if stamp == 0 else NO_INSTANT, row)
    duration_ms = length * 1000 if length and length < LONGEST_S else None
    play = NamedPlay(started, row["artist"], row["track"], row["album"], duration_ms=duration_ms)
    return judged(play, row, EARLIEST, now)


def _instant(stamp: int, zone: tzinfo) -> int | None:
    """The second at which a clock in the zone shows this number of seconds since the beginning of 1970."""
    try:
        return int(datetime.fromtimestamp(stamp, UTC).replace(tzinfo=zone).timestamp())
    except (ValueError, OverflowError):
        return None
