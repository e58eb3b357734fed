"""Repeats work that the loss of a replica set's primary has interrupted.

The driver repeats a single read or write by itself. It cannot repeat the next page of a cursor, a write to many
documents, or a command that makes an index. All work of this pipeline can be repeated: it changes nothing twice.
"""

from collections.abc import Callable
from typing import TypeVar

from pymongo.errors import AutoReconnect, BulkWriteError, OperationFailure, PyMongoError, ServerSelectionTimeoutError

Result = TypeVar("Result")
TRIES = 3
LOST = frozenset({43, 91, 175, 189, 10107, 11600, 11602, 13435, 13436})
"""MongoDB's codes for what a primary that steps down or shuts down does to the work under way; 43 is a lost cursor."""


def through_failover(work: Callable[[], Result], before_again: Callable[[], object] | None = None) -> Result:
    """Do work that may be repeated; repeat it if the primary was lost meanwhile.

    Waiting for a new primary is the driver's part: the first command after the loss waits for it.

    Args:
        work: What to do.
        before_again: Called before each repetition.
    """
    for left in reversed(range(TRIES)):
        try:
            return work()
        except PyMongoError as error:
            if not left or not primary_was_lost(error):
                raise
        if before_again is not None:
            before_again()
    raise AssertionError("unreachable")


def primary_was_lost(error: PyMongoError) -> bool:
    """Whether an error says that the primary was lost under way. False if no new one was found in time."""
    if isinstance(error, ServerSelectionTimeoutError):
        return False
    if isinstance(error, AutoReconnect) or error.has_error_label("RetryableWriteError"):
        return True
    if isinstance(error, BulkWriteError):
        details = error.details
        codes = {each.get("code") for kind in ("writeErrors", "writeConcernErrors") for each in details.get(kind, ())}
        return bool(codes) and codes <= LOST
    return isinstance(error, OperationFailure) and error.code in LOST
