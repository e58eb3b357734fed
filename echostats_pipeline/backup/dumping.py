"""Reads all databases of an installation into a backup."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import bson
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
VIEW, TIME_SERIES = "view", "timeseries"
"""Kinds of collections, as the server calls them."""
SHRINKS_TO = 4
"""A backup takes less than a fourth of the documents' size: 36 of 197 MB."""
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
        collections: What the server says of each collection and view to read, by name and in order: all of the core's,
            which EchoStats may share; ours in that of a mart.
        left_out: Collections of kinds that a backup does not hold.
    """

    role: str
    db: Db
    declared: Database
    collections: Mapping[str, Document]
    left_out: Sequence[str] = ()

    @property
    def in_snapshot(self) -> list[str]:
        """The collections that a snapshot of the server shows."""
        return [name for name, each in self.collections.items() if not (_is_view(each) or _is_capped(each))]

    @property
    def capped(self) -> list[str]:
        """The collections of a fixed size, which servers before version 8 show as they are now and in no snapshot."""
        return [name for name, each in self.collections.items() if _is_capped(each)]


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
    existing = _existing(store.db)
    kept = in_order(name for name, each in existing.items() if name != RESTORES and each["type"] != TIME_SERIES)
    left_out = sorted(name for name, each in existing.items() if each["type"] == TIME_SERIES)
    core = {name: existing[name] for name in kept}
    found = [Source(CORE_ROLE, store.db, store.databases[0], core, left_out)]
    for mart, database in marts:
        if database.collections:
            db = store.db.client.get_database(database.name, codec_options=AWARE)
            existing = _existing(db)
            ours = {each.name: existing[each.name] for each in database.collections if each.name in existing}
            found.append(Source(mart, db, database, ours))
    return found


def expected_bytes(found: Iterable[Source]) -> int:
    """How large a backup of some databases becomes at most, by experience."""
    return sum(int(each.db.command("dbStats")["dataSize"]) for each in found) // SHRINKS_TO


def _existing(db: Db) -> dict[str, Document]:
    """What the server says of each collection and view of a database, but for its own."""
    return {each["name"]: dict(each) for each in db.list_collections() if not each["name"].startswith("system.")}


def _is_view(collection: Document) -> bool:
    return bool(collection["type"] == VIEW)


def _is_capped(collection: Document) -> bool:
    return bool(collection["options"].get("capped"))


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
        read = [each.db[name] for each in found for name in each.in_snapshot if name not in NOT_KEPT]
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
    return StoredDatabase(
        role=source.role,
        name=source.db.name,
        declared=tuple(each.name for each in source.declared.collections),
        collections=tuple(
            _collection(source.db[name], each, target, moment, progress) for name, each in source.collections.items()
        ),
    )


def _collection(
    source: Collection[Any], said: Document, target: ArchiveWriter, moment: Moment, progress: Progress
) -> StoredCollection:
    name, database = source.name, source.database.name
    indexes = [] if _is_view(said) else [dict(each) for each in source.list_indexes()]
    options = {key: value for key, value in said["options"].items() if key not in OPTIONS_OF_A_SERVER}
    target.add(metadata_entry(database, name), [metadata(name, said["type"], options, indexes)])
    counted = _Counted(progress, moment)
    is_empty = _is_view(said) or name in NOT_KEPT
    batches = () if is_empty else raw_batches(source, None if _is_capped(said) else moment)
    part = target.add(f"{database}/{name}.bson", map(counted.passed, batches))
    return StoredCollection(**part.model_dump(), name=name, documents=counted.documents)


def metadata(name: str, kind: str, options: Document, indexes: Sequence[Document]) -> bytes:
    """The options and indexes of a collection or view as `mongodump` writes them, and once more as BSON.

    The JSON of MongoDB's tools loses what stands beside ``$regex`` in a validator, a partial index or a view.
    """
    found = {"collectionName": name, "type": kind, "options": options, "indexes": list(indexes)}
    text = json_util.dumps(found, json_options=json_util.CANONICAL_JSON_OPTIONS)
    return json.dumps({**json.loads(text), "bson": base64.b64encode(bson.encode(found)).decode()}, indent=1).encode()


def read_metadata(content: bytes) -> Document:
    """What `metadata` has written."""
    return bson.decode(base64.b64decode(json.loads(content)["bson"]), AWARE)


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
