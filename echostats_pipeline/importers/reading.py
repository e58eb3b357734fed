"""Reading a found file, whatever its format."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import BinaryIO

from echostats_pipeline.errors import ExportError
from echostats_pipeline.importers.account_data import read_basic
from echostats_pipeline.importers.arrays import CHUNK_ROWS
from echostats_pipeline.importers.echotune import read_echotune
from echostats_pipeline.importers.extended import read_extended, read_no_music, read_video
from echostats_pipeline.importers.koito import read_koito
from echostats_pipeline.importers.lastfm import read_lastfm
from echostats_pipeline.importers.listenbrainz import read_listenbrainz
from echostats_pipeline.importers.maloja import read_maloja
from echostats_pipeline.importers.rows import ExportChunk, ExportFile, ExportFormat
from echostats_pipeline.importers.scrobblerlog import read_scrobbler_log

Reader = Callable[[BinaryIO, str, datetime, int], Iterator[ExportChunk]]

READERS: Mapping[ExportFormat, Reader] = {
    "extended": read_extended,
    "video": read_video,
    "basic": read_basic,
    "basic_other": read_no_music,
    "echotune": read_echotune,
    "listenbrainz": read_listenbrainz,
    "koito": read_koito,
    "maloja": read_maloja,
    "scrobblerlog": read_scrobbler_log,
    "lastfm": read_lastfm,
}


def read_export(
    file: ExportFile, now: datetime, chunk_rows: int = CHUNK_ROWS, zone: tzinfo = UTC
) -> Iterator[ExportChunk]:
    """The rows of a file in chunks; every row is in one of them as a play, no music, or rejected.

    Args:
        file: Where it is and what it holds.
        now: The present instant; aware. Plays of the future are rejected.
        chunk_rows: Rows per chunk, at least 1.
        zone: The user's, for files that hold local times.

    Raises:
        ExportError: the file is not what its format says; nothing of it was given.
        BrokenExportError: it cannot be read to its end; the rows before that were given.
    """
    try:
        opened = file.open()
    except OSError as error:
        raise ExportError(f"{file.name} cannot be opened ({error}). Nothing of it was imported.") from error
    local = file.format == "scrobblerlog"
    read = partial(read_scrobbler_log, zone=zone) if local else READERS[file.format]
    with opened as stream:
        yield from read(stream, file.name, now, chunk_rows)
