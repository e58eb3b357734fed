"""Opens an export file and reads it with the reader of its format."""

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
    """Yield the rows of a file in chunks; every row is a play, not music, or rejected.

    Args:
        file: The file and its format.
        now: The current instant; aware. Plays in the future are rejected.
        chunk_rows: Rows per chunk, at least 1.
        zone: The user's time zone, for files with local times.

    Raises:
        ExportError: the file does not have its format; no rows were yielded.
        BrokenExportError: the file cannot be read to its end; the rows before that were yielded.
    """
    try:
        opened = file.open()
    except OSError as error:
        raise ExportError(f"{file.name} cannot be opened ({error}). Nothing of it was imported.") from error
    local = file.format == "scrobblerlog"
    read = partial(read_scrobbler_log, zone=zone) if local else READERS[file.format]
    with opened as stream:
        yield from read(stream, file.name, now, chunk_rows)
