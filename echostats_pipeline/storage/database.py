"""Opens the connection to MongoDB."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bson.codec_options import CodecOptions
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import BulkWriteError, PyMongoError

from echostats_pipeline.errors import StorageError
from echostats_pipeline.storage.mongo_errors import MongoAddress, bad_option, bad_uri, explanation

Document = dict[str, Any]
Db = Database[Document]

SERVER_SELECTION_TIMEOUT_MS = 5_000
DUPLICATE_KEY = 11000
"""MongoDB's error code for a write that a unique index refuses."""
AWARE = CodecOptions[Document](tz_aware=True)


@contextmanager
def connected(uri: str, database: str, home: Path | None = None) -> Iterator[Db]:
    """Open a database for as long as the block runs.

    Args:
        uri: MongoDB connection string.
        database: Name of the database; it need not exist.
        home: State folder of the embedded server, if that is used.

    Raises:
        StorageError: the server cannot be used, at the start or later in the block. The message says where, why and
            what to do. It never quotes `uri`.
    """
    if wrong := bad_option(uri):
        raise StorageError(wrong)
    try:
        client: MongoClient[Document] = MongoClient(
            uri,
            appname="echostats_pipeline",
            serverSelectionTimeoutMS=SERVER_SELECTION_TIMEOUT_MS,
        )
    except (PyMongoError, ValueError, OSError) as error:  # OSError: a missing certificate file
        raise StorageError(bad_uri(error, uri)) from error
    with client:
        try:
            client.admin.command("ping")
            yield client.get_database(database, codec_options=AWARE)
        except PyMongoError as error:
            raise StorageError(explanation(error, MongoAddress.of(uri, home))) from error


def duplicates(error: BulkWriteError) -> list[int]:
    """Positions of the writes that a unique index refused; any other refusal is raised."""
    failures = error.details["writeErrors"]
    if any(failure["code"] != DUPLICATE_KEY for failure in failures):
        raise error
    return [failure["index"] for failure in failures]
