"""Counts the traffic to and from the database: documents and bytes read, documents written, by collection."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

WRITES = ("insert", "update", "delete")


class Traffic(CommandListener):
    """Counts what the commands of one client read and write.

    Writes are always counted. Reads are counted only while `reading` is open, because weighing decoded documents is
    slow.
    """

    def __init__(self) -> None:
        self.written: Counter[str] = Counter()
        self.documents: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self._weighing = False
        self._targets: dict[int, str] = {}
        self._lock = threading.Lock()  # a stage may read and write in several threads

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Count the reads of the block, and no earlier ones."""
        self.documents.clear()
        self.bytes.clear()
        self._weighing = True
        try:
            yield
        finally:
            self._weighing = False

    def started(self, event: CommandStartedEvent) -> None:
        """Remember the collection of a write, which its reply does not name."""
        if event.command_name in WRITES:
            self._targets[event.request_id] = event.command[event.command_name]

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Count the command."""
        target = self._targets.pop(event.request_id, None)
        cursor: dict[str, Any] = event.reply.get("cursor", {}) if self._weighing else {}
        with self._lock:
            if target is not None:
                self.written[target] += event.reply["n"]
            collection = cursor.get("ns", "").partition(".")[2]
            for entry in (*cursor.get("firstBatch", ()), *cursor.get("nextBatch", ())):
                for size in _sizes(entry):
                    self.documents[collection] += 1
                    self.bytes[collection] += size

    def failed(self, event: CommandFailedEvent) -> None:
        """Forget the command."""
        self._targets.pop(event.request_id, None)


def _sizes(entry: Any) -> Iterator[int]:
    """Bytes of a document, or of each document of a batch that is read undecoded."""
    if isinstance(entry, RawBSONDocument):
        yield len(entry.raw)
    elif isinstance(entry, bytes):
        at = 0
        while at < len(entry):
            size = int.from_bytes(entry[at : at + 4], "little")
            yield size
            at += size
    else:
        yield len(bson.encode(entry))
