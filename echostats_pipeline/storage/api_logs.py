"""The log of calls to Spotify (collection ``api_logs``), written in batches."""

import logging

from pymongo.errors import PyMongoError

from echostats_pipeline.model.operations import ApiLog
from echostats_pipeline.storage.database import Db

BATCH = 50
logger = logging.getLogger(__name__)


class ApiLogBuffer:
    """Collects entries and writes them in batches, and at the end of the ``with`` block, even after an error.

    A failed write is logged and ignored, because losing the log must not fail the sync.
    """

    def __init__(self, db: Db) -> None:
        self._logs = db["api_logs"]
        self._entries: list[ApiLog] = []

    def __enter__(self) -> "ApiLogBuffer":
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def add(self, entry: ApiLog) -> None:
        """Add one entry; write all entries when a batch is full."""
        self._entries.append(entry)
        if len(self._entries) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Write the collected entries."""
        entries, self._entries = self._entries, []
        if not entries:
            return
        try:
            self._logs.insert_many([entry.to_bson() for entry in entries], ordered=False)
        except PyMongoError as error:
            logger.warning("%d api_logs entries could not be written: %s", len(entries), type(error).__name__)
