"""Fills a database with generated documents, with little time and memory."""

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

from pymongo import IndexModel

from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.storage.database import Db

BATCH, WRITERS = 5_000, 2
"""One batch is generated and encoded while the server works on the other."""


def insert(db: Db, collection: str, documents: Iterable[dict[str, Any]]) -> None:
    """Insert documents as they come. At most `WRITERS` batches and the next one are in memory."""
    coming, under_way = iter(documents), deque[Future[Any]]()
    with ThreadPoolExecutor(max_workers=WRITERS) as pool:
        while batch := list(islice(coming, BATCH)):
            if len(under_way) == WRITERS:
                under_way.popleft().result()
            under_way.append(pool.submit(db[collection].insert_many, batch, ordered=False))
        for insertion in under_way:
            insertion.result()


def insert_many(db: Db, collection: str, documents: Iterable[dict[str, Any]]) -> None:
    """Insert many documents: drop the indexes first, and build them afterwards in one pass, which is faster."""
    declared = COLLECTIONS[collection].indexes
    db[collection].drop_indexes()
    insert(db, collection, documents)
    db[collection].create_indexes([IndexModel(list(index.keys), **index.options) for index in declared])
