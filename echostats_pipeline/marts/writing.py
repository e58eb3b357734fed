"""Writes documents that other applications share, so that what these applications write survives every update.

A document has fields of three kinds. The pipeline owns most: an update replaces them. `first` ones are written only
where the field is missing. `editable` ones follow the pipeline until an application changes them: the pipeline keeps
its last values in `written`, and a field that has another value is left alone. All other fields are the application's.
The server decides in one write, so no change by an application is lost in between.
"""

from collections.abc import Collection as AnyOf
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from echostats_pipeline.storage.database import Document, duplicates

SOURCE = "pipeline"
BATCH = 2_000
WRITERS = 2
STAMPS = ("createdAt", "updatedAt", "runId")
"""Fields that say when, and by which run, a document was written: they may differ between two builds."""


@dataclass(frozen=True)
class SharedDocument:
    """A document as the pipeline wants it.

    Attributes:
        id: Its ``_id``.
        fields: The fields that the pipeline owns.
        first: Values of fields that are missing; an application may change them.
        editable: Values that are kept up to date until an application changes them.
    """

    id: ObjectId
    fields: Mapping[str, Any]
    first: Mapping[str, Any] = field(default_factory=dict)
    editable: Mapping[str, Any] = field(default_factory=dict)

    def differs(self, stored: Document) -> bool:
        """Whether the stored document has to be written again."""
        written = stored.get("written") or {}
        return (
            any(name not in stored or stored[name] != value for name, value in self.fields.items())
            or any(name not in stored for name in self.first)
            or any(
                value != written.get(name) and (name not in stored or stored[name] == written.get(name, ...))
                for name, value in self.editable.items()
            )
            or bool(written.keys() - self.editable.keys())
        )


@dataclass(frozen=True)
class Update:
    """One update of a mart: when, and by which run."""

    now: datetime
    run_id: str
    dated: bool = True
    """Whether documents have `updatedAt`."""
    marker: str = "source"
    """The field that marks documents of the pipeline."""


def insert(collection: Collection[Document], documents: Iterable[Document]) -> int:
    """Insert documents that are not there; return how many. Those that are there already are left alone."""
    remaining, inserted = iter(documents), 0
    with ThreadPoolExecutor(WRITERS) as writers:
        under_way = []
        while batch := list(islice(remaining, BATCH)):
            under_way.append(writers.submit(_insert, collection, batch))
            if len(under_way) > WRITERS:
                inserted += under_way.pop(0).result()
        return inserted + sum(each.result() for each in under_way)


def _insert(collection: Collection[Document], batch: Sequence[Document]) -> int:
    try:
        collection.insert_many(batch, ordered=False)
    except BulkWriteError as error:
        return len(batch) - len(duplicates(error))
    return len(batch)


def replace_within(collection: Collection[Document], scope: Document, wanted: Iterable[Document]) -> int:
    """Make the pipeline's documents within a query equal to `wanted`; return how many were written or deleted.

    Args:
        collection: Where they are stored.
        scope: The query that selects all documents that these replace, and those of applications among them.
        wanted: The documents with ``_id``, whose stamps count only for documents that are written. A document whose
            unique place an application's has already is left out.
    """
    stored = {each["_id"]: each for each in collection.find(scope)}
    if not stored:
        return insert(collection, wanted)
    documents = list(wanted)
    new = [each for each in documents if each["_id"] not in stored]
    changed = [each for each in documents if each["_id"] in stored and _has_changed(each, stored[each["_id"]])]
    gone = stored.keys() - {each["_id"] for each in documents}
    theirs = [made for made in gone if stored[made].get("source") == SOURCE]
    if theirs:
        collection.delete_many({"_id": {"$in": theirs}})
    updates = []
    for each in changed:
        lapsed = [name for name in ("popularity",) if name not in each and name in stored[each["_id"]]]
        kept = {"createdAt": stored[each["_id"]]["createdAt"]} if "createdAt" in stored[each["_id"]] else {}
        updates.append(_replacing(each["_id"], {**each, **kept}, lapsed))
    return len(theirs) + _write(collection, updates) + (insert(collection, new) if new else 0)


def _write(collection: Collection[Document], updates: Sequence[UpdateOne]) -> int:
    """Write updates; one whose unique place an application's document has is left out."""
    if not updates:
        return 0
    try:
        collection.bulk_write(updates, ordered=False)
    except BulkWriteError as error:
        return len(updates) - len(duplicates(error))
    return len(updates)


def _has_changed(wanted: Document, stored: Document) -> bool:
    if "popularity" in stored and "popularity" not in wanted:
        return True
    return any(name not in STAMPS and stored.get(name, ...) != value for name, value in wanted.items())


def put(
    collection: Collection[Document],
    documents: Iterable[SharedDocument],
    update: Update,
    known: AnyOf[str],
    batch_size: int = BATCH,
) -> int:
    """Write the documents that differ from the stored ones; return how many.

    Args:
        collection: Where they are stored.
        documents: The documents as the pipeline wants them.
        update: When, and by which run.
        known: Fields that the pipeline owns and some documents lack; they are removed where they are lacking.
        batch_size: Documents that are compared at a time.
    """
    remaining, count = iter(documents), 0
    while batch := list(islice(remaining, batch_size)):
        stored = {each["_id"]: each for each in collection.find({"_id": {"$in": [each.id for each in batch]}})}
        new = [each for each in batch if each.id not in stored]
        changed = [
            each
            for each in batch
            if each.id in stored and (each.differs(stored[each.id]) or _lapsed(each, known) & stored[each.id].keys())
        ]
        if new:
            count += insert(collection, (as_new(each, update, known) for each in new))
        if changed:
            writes = [_update(each, update, known, stored[each.id].get("written") or {}) for each in changed]
            count += _write(collection, writes)
    return count


def as_new(wanted: SharedDocument, update: Update, known: AnyOf[str]) -> Document:
    """A document that is not stored yet. It has no time of its making if that is among the fields it lacks."""
    stamps = {} if not update.dated else {"createdAt": update.now, "updatedAt": update.now}
    return {
        "_id": wanted.id,
        **{name: at for name, at in stamps.items() if name not in known},
        **wanted.fields,
        **wanted.first,
        **wanted.editable,
        **({"written": dict(wanted.editable)} if wanted.editable else {}),
        update.marker: SOURCE,
        "runId": update.run_id,
    }


def _lapsed(wanted: SharedDocument, known: AnyOf[str]) -> set[str]:
    return set(known) - {*wanted.fields, *wanted.first, *wanted.editable}


def _update(wanted: SharedDocument, update: Update, known: AnyOf[str], before: Document) -> UpdateOne:
    """The write that brings a stored document up to date and keeps what applications have written.

    A value that was written `before` and is no longer known goes, unless an application has changed it.
    """
    content: Document = {name: {"$literal": value} for name, value in as_new(wanted, update, known).items()}
    kept = {"createdAt", *wanted.first} - wanted.fields.keys()
    for name in kept & content.keys():
        content[name] = {"$ifNull": [f"${name}", content[name]]}
    written: Document = {}
    for name, value in wanted.editable.items():
        untouched = {"$or": [{"$eq": [{"$type": f"${name}"}, "missing"]}, _as_written(name)]}
        content[name] = {"$cond": [untouched, {"$literal": value}, f"${name}"]}
        written[name] = {"$cond": [untouched, {"$literal": value}, f"$written.{name}"]}
    if written:
        content["written"] = written
    unknown = {
        name: {"$cond": [_as_written(name), "$$REMOVE", f"${name}"]} for name in before.keys() - wanted.editable.keys()
    }
    return _merged(wanted.id, content, sorted(_lapsed(wanted, known)), unknown)


def _as_written(name: str) -> Document:
    return {"$eq": [f"${name}", f"$written.{name}"]}


def _replacing(made: ObjectId, content: Document, lapsed: Sequence[str]) -> UpdateOne:
    return _merged(made, {name: {"$literal": value} for name, value in content.items()}, lapsed)


def _merged(made: ObjectId, content: Document, lapsed: Sequence[str], unknown: Document | None = None) -> UpdateOne:
    """Set fields in their order, before the fields that the document has besides, which stay as they are.

    The order matters: a document that is kept up to date has the same bytes as one that is built from nothing.
    """
    merged = {"$mergeObjects": [content, "$$ROOT", content]}
    first = [{"$set": unknown}] if unknown else []
    return UpdateOne({"_id": made}, [*first, {"$replaceWith": merged}, *([{"$unset": list(lapsed)}] if lapsed else [])])
