"""Reads large exports in a separate process, so that parsing and writing do not share one interpreter.

The process runs this module. It receives the files on standard input and sends chunks on standard output, at most one
chunk ahead of the caller.
"""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import IO

from echostats_pipeline.errors import BrokenExportError, ExportError
from echostats_pipeline.importers.reading import read_export
from echostats_pipeline.importers.rows import ExportChunk, ExportFile

Read = Callable[[ExportFile], Iterator[ExportChunk]]


@dataclass(frozen=True)
class EndOfFile:
    """The end of a file, and the error if the file ended before its last row."""

    message: str = ""
    position: int | None = None


@contextmanager
def reading_ahead(files: Sequence[ExportFile], now: datetime, zone: tzinfo) -> Iterator[Read]:
    """A function like `read_export` for these files; call it for each file in this order.

    Args:
        files: The files to read.
        now: The current instant.
        zone: The user's time zone.
    """
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603 - ourselves
        assert process.stdin is not None  # noqa: S101 - asked for above
        assert process.stdout is not None  # noqa: S101
        chunks = process.stdout
        try:
            pickle.dump((list(files), now, zone), process.stdin)
            process.stdin.flush()
            yield lambda file: _received(file, chunks)
        finally:
            process.kill()


def _received(file: ExportFile, stream: IO[bytes]) -> Iterator[ExportChunk]:
    while True:
        try:
            received = pickle.load(stream)  # noqa: S301 - from our own process
        except (EOFError, pickle.UnpicklingError) as error:
            raise ExportError(
                f"The process that read {file.name} has ended before the file did; repeat the import."
            ) from error
        if not isinstance(received, EndOfFile):
            yield received
        elif not received.message:
            return
        elif received.position is None:
            raise ExportError(received.message)
        else:
            raise BrokenExportError(received.message, position=received.position)


def main() -> None:
    """Read files until the parent process stops taking their chunks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process ends this one
    files, now, zone = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the parent process
    try:
        for file in files:
            try:
                for chunk in read_export(file, now, zone=zone):
                    _give(chunk)
                _give(EndOfFile())
            except BrokenExportError as error:
                _give(EndOfFile(str(error), error.position))
            except ExportError as error:
                _give(EndOfFile(str(error)))
    except BrokenPipeError:
        os._exit(0)


def _give(what: ExportChunk | EndOfFile) -> None:
    pickle.dump(what, sys.stdout.buffer, protocol=pickle.HIGHEST_PROTOCOL)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    # Pickles name the classes of the imported module, and this one runs as __main__.
    from echostats_pipeline.importers.prefetch import main as imported_main

    imported_main()
