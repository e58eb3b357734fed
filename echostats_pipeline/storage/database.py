"""The connection to MongoDB, configured or embedded."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bson.codec_options import CodecOptions
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from echostats_pipeline.errors import StorageError

Document = dict[str, Any]
Db = Database[Document]

SERVER_SELECTION_TIMEOUT_MS = 5_000
DUPLICATE_KEY = 11000
"""MongoDB's code for a write that a unique index refuses."""
AWARE = CodecOptions[Document](tz_aware=True)


@contextmanager
def connected(uri: str, database: str) -> Iterator[Db]:
    """Open a database for as long as the block runs.

    Args:
        uri: MongoDB connection string.
        database: Name of the database; it need not exist.

    Raises:
        StorageError: nothing answers at the address, or it refuses the credentials. The message never quotes `uri`.
    """
    try:
        client: MongoClient[Document] = MongoClient(
            uri,
            appname="echostats_pipeline",
            serverSelectionTimeoutMS=SERVER_SELECTION_TIMEOUT_MS,
        )
    except (ConfigurationError, ValueError, OSError) as error:  # OSError: a certificate file that is not there
        raise StorageError(f"MONGO_URI cannot be used: {error}") from error
    with client:
        try:
            client.admin.command("ping")
        except ServerSelectionTimeoutError as error:
            raise StorageError(
                "MongoDB does not answer. Check that the server in MONGO_URI is running and reachable from here, "
                "or unset MONGO_URI to use the embedded server."
            ) from error
        except OperationFailure as error:
            raise StorageError(
                f"MongoDB refused the connection ({error.details.get('codeName') if error.details else error.code}). "
                "Check the user, password and authSource in MONGO_URI."
            ) from error
        except PyMongoError as error:
            raise StorageError(f"MongoDB cannot be used: {type(error).__name__}") from error
        yield client.get_database(database, codec_options=AWARE)


def duplicates(error: BulkWriteError) -> list[int]:
    """Positions of the writes that a unique index refused; any other refusal is raised."""
    failures = error.details["writeErrors"]
    if any(failure["code"] != DUPLICATE_KEY for failure in failures):
        raise error
    return [failure["index"] for failure in failures]
