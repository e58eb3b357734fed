"""Profiles each operation on a database with the server's own profiler: index used, documents read."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from echostats_pipeline.storage.database import Db, Document

ROOM = 64 * 2**20
"""Size of the profile. By default the server keeps only the last megabyte."""


@dataclass(frozen=True)
class Operation:
    """One operation as the server executed it. Each batch of a cursor is one operation.

    Attributes:
        collection: The collection.
        asked: The filter, or the whole of an aggregation.
        plan: The plans as in ``planSummary``: ``COLLSCAN``, ``IXSCAN { user_id: 1 }`` …
        examined: Number of documents read.
        returned: Number of documents found, changed or removed.
        sorted_afterwards: Whether the order came from no index.
    """

    collection: str
    asked: str
    plan: str
    examined: int
    returned: int
    sorted_afterwards: bool

    @property
    def scans(self) -> bool:
        """Whether the whole collection was read."""
        return "COLLSCAN" in self.plan

    @property
    def indexes(self) -> set[str]:
        """Fields of the indexes that were used: ``user_id, date``."""
        return {", ".join(re.findall(r"([\w.]+): -?1", keys)) for keys in re.findall(r"\{(.*?)\}", self.plan)}


@contextmanager
def profiled(db: Db) -> Iterator[list[Operation]]:
    """Give a list that, after the block, holds every operation of the block, from any process."""
    db.command("profile", 0)
    db.drop_collection("system.profile")
    db.create_collection("system.profile", capped=True, size=ROOM)
    operations: list[Operation] = []
    db.command("profile", 2)
    try:
        yield operations
    finally:
        db.command("profile", 0)
        operations += [_operation(entry) for entry in db["system.profile"].find() if "planSummary" in entry]


def _operation(entry: Document) -> Operation:
    command = entry.get("originatingCommand", entry.get("command", {}))
    asked = next((command[name] for name in ("filter", "query", "q", "pipeline") if name in command), {})
    return Operation(
        collection=entry["ns"].partition(".")[2],
        asked=str(asked),
        plan=entry["planSummary"],
        examined=entry.get("docsExamined", 0),
        returned=sum(entry.get(name, 0) for name in ("nreturned", "nMatched", "ndeleted")),
        sorted_afterwards=entry.get("hasSortStage", False),
    )
