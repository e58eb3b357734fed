"""Reads all databases of an installation into a backup."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bson import json_util
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection

from echostats_pipeline import __version__
from echostats_pipeline.backup import archive
from echostats_pipeline.backup.archive import ArchiveWriter
from echostats_pipeline.backup.manifest import (
    FORMAT,
    NOT_KEPT,
    Keys,
    Manifest,
    StoredCollection,
    StoredDatabase,
    in_order,
    moved,
)
from echostats_pipeline.backup.moment import Moment
from echostats_pipeline.model.collections import Database
from echostats_pipeline.stages import Progress
from echostats_pipeline.storage.database import AWARE, Db, Document
from echostats_pipeline.storage.restores import RESTORES
from echostats_pipeline.storage.store import Store

CORE_ROLE = "core"
DOCUMENTS_AT_ONCE = 1_000
RAW = CodecOptions[RawBSONDocument](document_class=RawBSONDocument)
"""Leaves documents as the bytes that the server has."""
OPTIONS_OF_A_SERVER = {"storageEngine", "autoIndexId"}
"""Options of a collection that do not belong to its content."""


@dataclass(frozen=True)
class Source:
    """A database that is backed up.

    Attributes:
        role: ``core``, or the mart's name.
        db: The database.
        declared: Its declaration.
        names: The collections to read, in order: all of the core's, which EchoStats may share; ours in that of a mart.
    """

    role: str
    db: Db
    declared: Database
    names: Sequence[str]


@dataclass(frozen=True)
class Secrets:
    """The keys of an installation.

    Attributes:
        keys: What to write; None to leave them out.
        key_id: Id of the key that encrypts tokens; empty if there is none.
    """

    keys: Keys | None = field(repr=False)
    key_id: str


def sources(store: Store, marts: Iterable[tuple[str, Database]]) -> list[Source]:
    """The databases to back up.

    Args:
        store: The core.
        marts: The marts that the settings name or that were ever built, with their databases.
    """
    core = store.databases[0]
    found = [Source(CORE_ROLE, store.db, core, in_order(_existing(store.db) - {RESTORES}))]
    for mart, database in marts:
        if database.collections:
            db = store.db.client.get_database(database.name, codec_options=AWARE)
            existing = _existing(db)
            names = [each.name for each in database.collections if each.name in existing]
            found.append(Source(mart, db, database, names))
    return found


def _existing(db: Db) -> set[str]:
    """The collections of a database, without views and without those of the server."""
    return {name for name in db.list_collection_names(filter={"type": "collection"}) if not name.startswith("system.")}


def dump(
    store: Store,
    found: Sequence[Source],
    target: ArchiveWriter,
    still: AbstractContextManager[Moment],
    secrets: Secrets,
    runs: Callable[[ArchiveWriter], Iterable[Any]],
    at: datetime,
    progress: Progress,
) -> Manifest:
    """Write everything into the archive; return what it holds then.

    Args:
        store: The core.
        found: The databases to read.
        target: Where to write.
        still: Keeps the data still.
        secrets: The keys.
        runs: Writes Dagster's history.
        at: The present instant.
        progress: Receives the number of documents.
    """
    keys = secrets.keys
    said = archive.WITHOUT_KEYS if keys is None else archive.WITH_KEYS
    note = archive.NOTE_TEXT.format(version=__version__, at=at.isoformat(timespec="seconds"), keys=said)
    target.add(archive.NOTE, [note.encode()])
    with still as moment:
        before = store.marks.newest()
        read = [each.db[name] for each in found for name in each.names if name not in NOT_KEPT]
        progress.expect(sum(each.estimated_document_count() for each in read))
        databases = tuple(_database(each, target, moment, progress) for each in found)
        history = tuple(runs(target))
        after = store.marks.newest() if moment.still == "pause" else before
    written = None if keys is None else target.add(archive.KEYS, [keys.model_dump_json(indent=2).encode()])
    manifest = Manifest(
        format=FORMAT,
        made_by=__version__,
        made_at=at,
        still=moment.still,
        databases=databases,
        moved=moved(before, after),
        key_id=secrets.key_id,
        keys=written,
        runs=history,
    )
    target.add(archive.MANIFEST, [manifest.model_dump_json(indent=1).encode()])
    return manifest


def _database(source: Source, target: ArchiveWriter, moment: Moment, progress: Progress) -> StoredDatabase:
    options = {each["name"]: each.get("options", {}) for each in source.db.list_collections()}
    return StoredDatabase(
        role=source.role,
        name=source.db.name,
        declared=tuple(each.name for each in source.declared.collections),
        collections=tuple(
            _collection(source.db, name, options.get(name, {}), target, moment, progress) for name in source.names
        ),
    )


def _collection(
    db: Db, name: str, options: Document, target: ArchiveWriter, moment: Moment, progress: Progress
) -> StoredCollection:
    indexes = [dict(each) for each in db[name].list_indexes()]
    kept = {key: value for key, value in options.items() if key not in OPTIONS_OF_A_SERVER}
    metadata = {"collectionName": name, "type": "collection", "options": kept, "indexes": indexes}
    text = json_util.dumps(metadata, json_options=json_util.CANONICAL_JSON_OPTIONS, indent=1)
    target.add(metadata_entry(db.name, name), [text.encode()])
    counted = _Counted(progress, moment)
    batches = () if name in NOT_KEPT else raw_batches(db[name], moment)
    part = target.add(f"{db.name}/{name}.bson", map(counted.passed, batches))
    return StoredCollection(**part.model_dump(), name=name, documents=counted.documents)


def metadata_entry(database: str, collection: str) -> str:
    """The part with the options and indexes of a collection."""
    return f"{database}/{collection}.metadata.json"


def raw_batches(collection: Collection[Any], moment: Moment | None = None) -> Iterator[bytes]:
    """All documents of a collection as BSON, many at a time, in the order of the server."""
    session = None if moment is None else moment.session
    yield from collection.with_options(codec_options=RAW).find_raw_batches(
        {}, batch_size=DOCUMENTS_AT_ONCE, session=session
    )


class _Counted:
    """Counts documents while they pass."""

    def __init__(self, progress: Progress, moment: Moment) -> None:
        self.documents = 0
        self._progress = progress
        self._moment = moment

    def passed(self, batch: bytes) -> bytes:
        """Count a batch."""
        found = count(batch)
        self.documents += found
        self._progress.advance(found)
        self._moment.keep()
        return batch


def count(batch: bytes) -> int:
    """The number of BSON documents that lie one after another."""
    position, documents = 0, 0
    while position < len(batch):
        position += int.from_bytes(batch[position : position + 4], "little")
        documents += 1
    return documents


def fingerprint(collection: Collection[Any]) -> tuple[int, str]:
    """The number of documents of a collection and the SHA-256 of all, in the order of the server."""
    digest, documents = hashlib.sha256(), 0
    for batch in raw_batches(collection):
        digest.update(batch)
        documents += count(batch)
    return documents, digest.hexdigest()
