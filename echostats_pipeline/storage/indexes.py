"""Creates the declared indexes beside those of EchoStats.

MongoDB allows two indexes on the same keys if they differ in one of `DISTINGUISHING` and in their names. So the indexes
of this package and of EchoStats can exist side by side, as long as neither takes the other's name. An index with the
keys and options of a declared one counts as that one, under any name. An index with other options belongs to EchoStats
and is left alone, unless it prevents a declared one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pymongo.collection import Collection as MongoCollection
from pymongo.errors import OperationFailure

from echostats_pipeline.errors import IndexConflictError, StorageError
from echostats_pipeline.model.collections import ONLY_CORE, TEXT, Database, Index
from echostats_pipeline.storage.database import DUPLICATE_KEY, Db, Document
from echostats_pipeline.storage.installed import installed

REPAIR_COMMAND = "echostats indexes --repair"
CONFLICT_CODES = {85, 86}  # IndexOptionsConflict, IndexKeySpecsConflict
INDEX_NOT_FOUND = 27
EXPIRES = "expireAfterSeconds"
DISTINGUISHING = ("unique", "sparse", "partialFilterExpression", "collation")
"""Options by which MongoDB distinguishes two indexes on the same keys."""
NO_OPTIONS = {"v", "key", "ns", "background", "weights", "default_language", "language_override", "textIndexVersion"}
"""What the server says of an index besides its options."""
Existing = Mapping[str, Mapping[str, Any]]
"""Indexes of a collection by name, as `index_information` returns them."""


def ensure_indexes(db: Db, databases: Iterable[Database] = ONLY_CORE) -> None:
    """Create every declared index that is missing; a second call changes nothing.

    Indexes that an earlier version created under MongoDB's automatic names are replaced by the declared ones, because
    EchoStats may need these names. Unique fields stay unique at every moment.

    Raises:
        IndexConflictError: some indexes contradict declared ones; the message names them. All others have been created.
        StorageError: a unique index cannot be built because the collection contains duplicates.
    """
    problems = []
    for _, declared, stored in installed(db, databases):
        existing: Existing = stored.index_information()
        _drop(stored, [name for name in declared.retired if name in existing])
        for index in declared.indexes:
            wrong = contradicting(existing, index)
            problems += [f"{stored.full_name}.{name}" for name in wrong]
            if not wrong:
                _ensure(stored, index, existing)
    if problems:
        raise IndexConflictError(
            f"Indexes contradict those that are needed: {', '.join(problems)}. Documents are unchanged. "
            f"Rebuild these indexes with: {REPAIR_COMMAND}"
        )


def repair_indexes(db: Db, databases: Iterable[Database] = ONLY_CORE) -> list[str]:
    """Drop and rebuild the indexes that contradict the declared ones. Documents are never touched.

    Returns:
        The rebuilt indexes as ``collection.index``.

    Raises:
        StorageError: a unique index cannot be built because of duplicates in the collection. Its indexes are unchanged.
    """
    repaired = []
    for label, declared, stored in installed(db, databases):
        for index in declared.indexes:
            existing: Existing = stored.index_information()
            wrong = contradicting(existing, index)
            for name in wrong:
                stored.drop_index(name)
            try:
                kept = {name: known for name, known in existing.items() if name not in wrong}
                _ensure(stored, index, kept)
            except StorageError:
                for name, known in wrong.items():
                    stored.create_index(list(_keys(known)), name=name, **existing_options(known))
                raise
            repaired += [f"{label}.{name}" for name in wrong]
    return repaired


@dataclass(frozen=True)
class IndexProblem:
    """A declared index that the database does not have as declared.

    Attributes:
        collection: Name of its collection.
        index: Its name, or the name of the index in its place.
        found: The options of the index in its place; None if there is none.
    """

    collection: str
    index: str
    found: dict[str, Any] | None

    @property
    def name(self) -> str:
        """The index, as ``collection.index``."""
        return f"{self.collection}.{self.index}"


def index_problems(db: Db, databases: Iterable[Database] = ONLY_CORE) -> list[IndexProblem]:
    """Every declared index that is missing, or is replaced by contradicting ones."""
    problems = []
    for label, declared, stored in installed(db, databases):
        existing: Existing = stored.index_information()
        for index in declared.indexes:
            wrong = contradicting(existing, index)
            problems += [IndexProblem(label, name, existing_options(known)) for name, known in wrong.items()]
            if not wrong and not present(existing, index):
                problems.append(IndexProblem(label, index.name, None))
    return problems


def present(existing: Existing, index: Index) -> list[str]:
    """Names of the existing indexes with the keys and options of the declared one."""
    return [name for name, known in existing.items() if _is(known, index)]


def contradicting(existing: Existing, index: Index) -> dict[str, Mapping[str, Any]]:
    """The existing indexes of a collection that prevent a declared one.

    These have its name, or are the same index for MongoDB, or let documents expire at another time. Indexes of an
    earlier version of this package are not included.
    """
    return {
        name: known
        for name, known in existing.items()
        if not _is(known, index) and not _is_former(name, known, index) and _in_the_way(name, known, index)
    }


def index_hint(collection: MongoCollection[Document], index: Index) -> dict[str, Any]:
    """The hint by which a query names an index, under its name in this database; empty if it does not exist.

    The keys alone are not enough: the server refuses them if two indexes have the same keys.
    """
    names = present(collection.index_information(), index)
    return {"hint": names[0]} if names else {}


def existing_options(existing: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an index of the database, as `Index.options` has them."""
    return {name: value for name, value in existing.items() if name not in NO_OPTIONS}


def _ensure(stored: MongoCollection[Document], index: Index, existing: Existing) -> None:
    """Make sure that a declared index exists, given the existing ones, none of which contradicts it."""
    former = [name for name, known in existing.items() if _is_former(name, known, index)]
    made = [name for name in present(existing, index) if name not in former]
    bridge = f"{index.name}_while_renamed"
    bridged = bridge in existing  # left by a process that was killed
    if not made and any(_distinguishing(existing[name]) == _distinguishing(index.options) for name in former):
        # MongoDB takes the two for the same index. A third, different from both, keeps documents unique in between.
        _create(stored, index, name=bridge, sparse=True)
        bridged = True
        _drop(stored, former)
    if not made:
        _create(stored, index)
    _drop(stored, [*former, bridge] if bridged else former)


def _create(stored: MongoCollection[Document], index: Index, **changes: Any) -> None:
    try:
        stored.create_index(list(index.keys), **{"name": index.name, **index.options, **changes})
    except OperationFailure as error:
        if error.code in CONFLICT_CODES:
            raise IndexConflictError(
                f"{stored.full_name} has an index that contradicts {index.name} on {dict(index.keys)} with "
                f"{index.options or 'no options'}. Rebuild it with: {REPAIR_COMMAND}"
            ) from error
        if error.code == DUPLICATE_KEY:
            raise StorageError(
                f"{stored.full_name} holds documents that are equal in {list(dict(index.keys))}, which must be "
                "unique. Remove the duplicates, then try again; nothing was changed."
            ) from error
        raise


def _drop(stored: MongoCollection[Document], names: Iterable[str]) -> None:
    for name in names:
        try:
            stored.drop_index(name)
        except OperationFailure as error:  # another process, or EchoStats, was faster
            if error.code != INDEX_NOT_FOUND:
                raise


def _is_former(name: str, known: Mapping[str, Any], index: Index) -> bool:
    """Whether an index is what an earlier version of this package created in place of the declared one."""
    options = {option: index.options[option] for option in ("unique", EXPIRES) if option in index.options}
    named = name == index.automatic_name != index.name
    return named and _keys(known) == _ordered(index) and existing_options(known) == options


def _keys(known: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    if "weights" in known:  # the keys of a text index have other names on the server, and lose their order
        return tuple((field, TEXT) for field in sorted(known["weights"]))
    return tuple((field, direction) for field, direction in known["key"])


def _ordered(index: Index) -> tuple[tuple[str, Any], ...]:
    """The keys of a declared index, in the order in which `_keys` has those of an existing one."""
    return tuple(sorted(index.keys)) if TEXT in dict(index.keys).values() else index.keys


def _is(known: Mapping[str, Any], index: Index) -> bool:
    return _keys(known) == _ordered(index) and existing_options(known) == index.options


def _in_the_way(name: str, known: Mapping[str, Any], index: Index) -> bool:
    if "weights" in known and TEXT in dict(index.keys).values():
        return True  # a collection has one text index
    if _keys(known) != _ordered(index) or name == index.name:
        return name == index.name
    other_expiry = EXPIRES in known and known[EXPIRES] != index.expire_after_seconds
    return other_expiry or _distinguishing(known) == _distinguishing(index.options)


def _distinguishing(options: Mapping[str, Any]) -> dict[str, Any]:
    return {option: options[option] for option in DISTINGUISHING if option in options}
