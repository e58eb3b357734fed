"""Opens the connection to MongoDB."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import MongoClient, ReadPreference
from pymongo.database import Database
from pymongo.errors import BulkWriteError, PyMongoError

from echostats_pipeline.errors import StorageError
from echostats_pipeline.storage.mongo_errors import MongoAddress, bad_option, bad_uri, explanation

Document = dict[str, Any]
Db = Database[Document]

SERVER_SELECTION_TIMEOUT_MS = 5_000
"""How long a command and a tick wait for a server."""
RUN_SELECTION_TIMEOUT_MS = 30_000
"""How long a run waits for a primary: a replica set elects a new one within about 12 seconds."""
_SELECTION_OPTION = re.compile(r"[?&;]serverSelectionTimeoutMS=", re.IGNORECASE)
DUPLICATE_KEY = 11000
"""MongoDB's error code for a write that a unique index refuses."""
AWARE = CodecOptions[Document](tz_aware=True)
TOLERANT = CodecOptions[Document](
    tz_aware=True, unicode_decode_error_handler="replace", datetime_conversion=DatetimeConversion.DATETIME_CLAMP
)
"""Reads what no error may hide: broken text with replaced characters, and impossible instants as the nearest ones."""


@contextmanager
def connected(uri: str, database: str, home: Path | None = None, patience_ms: int | None = None) -> Iterator[Db]:
    """Open a database for as long as the block runs.

    Args:
        uri: MongoDB connection string.
        database: Name of the database; it need not exist.
        home: State folder of the embedded server, if that is used.
        patience_ms: How long to wait for a server, unless `uri` says it; None for `SERVER_SELECTION_TIMEOUT_MS`.

    Raises:
        StorageError: the server cannot be used, at the start or later in the block. The message says where, why and
            what to do. It never quotes `uri`.
    """
    if wrong := bad_option(uri):
        raise StorageError(wrong)
    options: dict[str, Any] = {"appname": "echostats_pipeline"}
    if not _SELECTION_OPTION.search(uri):  # an argument would win over the connection string
        options["serverSelectionTimeoutMS"] = SERVER_SELECTION_TIMEOUT_MS if patience_ms is None else patience_ms
    try:
        client: MongoClient[Document] = MongoClient(uri, **options)
    except (PyMongoError, ValueError, OSError) as error:  # OSError: a missing certificate file
        raise StorageError(bad_uri(error, uri)) from error
    with client:
        if wrong := _unsafe(client):
            raise StorageError(wrong)
        try:
            client.admin.command("ping")
            yield client.get_database(database, codec_options=AWARE)
        except PyMongoError as error:
            raise StorageError(explanation(error, MongoAddress.of(uri, home))) from error


def _unsafe(client: MongoClient[Document]) -> str:
    """What is wrong with options under which a process would not see what another has written; empty if nothing is."""
    if client.read_preference != ReadPreference.PRIMARY:
        return (
            f"MONGO_URI says readPreference={client.read_preference.mongos_mode}, under which a process may not see "
            "what another has written: leases and tokens need the primary. Remove the option from MONGO_URI."
        )
    if not client.write_concern.acknowledged:
        return "MONGO_URI says w=0, under which lost plays are not noticed. Remove the option from MONGO_URI."
    return ""


def duplicates(error: BulkWriteError) -> list[int]:
    """Positions of the writes that a unique index refused; any other refusal is raised."""
    failures = error.details["writeErrors"]
    if any(failure["code"] != DUPLICATE_KEY for failure in failures):
        raise error
    return [failure["index"] for failure in failures]
