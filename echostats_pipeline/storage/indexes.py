"""The declared indexes, made to exist."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pymongo.errors import OperationFailure

from echostats_pipeline.errors import IndexConflictError, StorageError
from echostats_pipeline.model.collections import COLLECTIONS, Collection, Index
from echostats_pipeline.storage.database import DUPLICATE_KEY, Db

REPAIR_COMMAND = "echostats indexes --repair"
CONFLICT_CODES = {85, 86}  # IndexOptionsConflict, IndexKeySpecsConflict


def ensure_indexes(db: Db, collections: Iterable[Collection] = COLLECTIONS.values()) -> None:
    """Create every declared index that is missing; run again it changes nothing.

    Raises:
        IndexConflictError: an index of the same keys has other options, as an older EchoStats may have left it.
        StorageError: a unique index cannot be built because the collection holds duplicates.
    """
    for collection in collections:
        for index in collection.indexes:
            _ensure(db, collection.name, index)


def repair_indexes(db: Db, collections: Iterable[Collection] = COLLECTIONS.values()) -> list[str]:
    """Drop and rebuild the indexes that contradict the declared ones. Documents are never touched.

    Returns:
        The rebuilt indexes as ``collection.index``.

    Raises:
        StorageError: a unique index cannot be built because the collection holds duplicates; its indexes are as before.
    """
    repaired = []
    for collection in collections:
        for index in collection.indexes:
            wrong = contradicting(db[collection.name].index_information(), index)
            for name in wrong:
                db[collection.name].drop_index(name)
            try:
                _ensure(db, collection.name, index)
            except StorageError:
                for name, existing in wrong.items():
                    db[collection.name].create_index(existing["key"], name=name, **existing_options(existing))
                raise
            repaired += [f"{collection.name}.{name}" for name in wrong]
    return repaired


@dataclass(frozen=True)
class IndexProblem:
    """A declared index that the database does not have as declared.

    Attributes:
        collection: Where it belongs.
        index: Its name.
        found: The options of what stands in its place; None if nothing does.
    """

    collection: str
    index: str
    found: dict[str, Any] | None

    @property
    def name(self) -> str:
        """The index, as ``collection.index``."""
        return f"{self.collection}.{self.index}"


def index_problems(db: Db) -> list[IndexProblem]:
    """Every declared index that is missing, or has a contradicting one in its place."""
    problems = []
    for collection in COLLECTIONS.values():
        existing = db[collection.name].index_information()
        for index in collection.indexes:
            wrong = contradicting(existing, index)
            if wrong:
                problems.append(IndexProblem(collection.name, index.name, existing_options(next(iter(wrong.values())))))
            elif index.keys not in {tuple(known["key"]) for known in existing.values()}:
                problems.append(IndexProblem(collection.name, index.name, None))
    return problems


def contradicting(existing: Mapping[str, Any], index: Index) -> dict[str, dict[str, Any]]:
    """Of the indexes of a collection, as `index_information` tells them, those that a declared one cannot live with."""
    return {
        name: known
        for name, known in existing.items()
        if (tuple(known["key"]) == index.keys and existing_options(known) != index.options)
        or (tuple(known["key"]) != index.keys and name == index.name)
    }


def _ensure(db: Db, collection: str, index: Index) -> None:
    try:
        db[collection].create_index(list(index.keys), name=index.name, **index.options)
    except OperationFailure as error:
        if error.code in CONFLICT_CODES:
            raise IndexConflictError(
                f"{db.name}.{collection} has an index on {dict(index.keys)} with other options than "
                f"{index.options or 'none'}. Rebuild it with: {REPAIR_COMMAND}"
            ) from error
        if error.code == DUPLICATE_KEY:
            raise StorageError(
                f"{db.name}.{collection} holds documents that are equal in {list(dict(index.keys))}, which must be "
                "unique. Remove the duplicates, then try again; nothing was changed."
            ) from error
        raise


def existing_options(existing: dict[str, Any]) -> dict[str, Any]:
    """The options of an index of the database, as `Index.options` has them."""
    return {name: value for name, value in existing.items() if name not in {"v", "key", "ns", "background"}}
