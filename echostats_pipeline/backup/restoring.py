"""Writes the databases of a backup to a server, and settles what cannot go on there.

Every collection is emptied, filled, compared with the backup, and only then given its indexes: one that deletes expired
documents would change what is compared. What is there is noted, so that a restore that was killed goes on.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from echostats_pipeline.backup.archive import ArchiveReader
from echostats_pipeline.backup.dumping import CORE_ROLE, VIEW, fingerprint, metadata_entry, read_metadata
from echostats_pipeline.backup.manifest import Manifest, StoredCollection, StoredDatabase, targets
from echostats_pipeline.errors import BackupError
from echostats_pipeline.model.collections import CORE, Database
from echostats_pipeline.model.operations import Source
from echostats_pipeline.stages import Progress
from echostats_pipeline.storage.change_marks import WHOLE
from echostats_pipeline.storage.database import AWARE, Db
from echostats_pipeline.storage.failover import through_failover
from echostats_pipeline.storage.restores import RESTORES, OwnRestore
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import DayWindow

BATCH_DOCUMENTS, BATCH_BYTES = 1_000, 8 * 2**20
NOT_VALID = 121
"""MongoDB's code for a document that does not fit the validator of its collection."""
OF_INDEXES = {"ns", "background"}
"""What older servers say of an index, and newer ones refuse."""
BY_DATE: frozenset[Source] = frozenset({"listening_history", "track_credits", "exclusions", "daily_rollups"})
"""Sources whose changes are marked by local date."""
SETTINGS = {
    CORE_ROLE: "MONGO_DB",
    "echotune": "ECHOSTATS_ECHOTUNE_DB",
    "playlist_generator": "ECHOSTATS_PLAYLIST_GENERATOR_DB",
    "spotify_analytics": "ECHOSTATS_ANALYTICS_DB",
}
"""The setting with the name of each database, by role."""
EPOCH = date(1970, 1, 1)
RESTORED = "The run was under way when the database was backed up, which was restored from there."


@dataclass(frozen=True)
class Place:
    """Where a collection of a backup is restored.

    Attributes:
        role: ``core``, or the mart's name.
        stored: The collection in the backup.
        metadata: The part with its options and indexes.
        collection: The collection to write.
    """

    role: str
    stored: StoredCollection
    metadata: str
    collection: Collection[Any]

    @property
    def label(self) -> str:
        """Its name with that of its database."""
        return self.collection.full_name


def places(db: Db, manifest: Manifest, declared: Mapping[str, Database]) -> list[Place]:
    """Where each collection of a backup belongs on a server.

    Args:
        db: The core's database there, of any name.
        manifest: What the backup holds.
        declared: The databases there by role, with the names that the settings give them.

    Raises:
        BackupError: two databases of the backup would become one.
    """
    names = {each.role: db.name if each.role == CORE_ROLE else declared[each.role].name for each in manifest.databases}
    if twice := [role for role, name in names.items() if list(names.values()).count(name) > 1]:
        raise BackupError(
            f"{' and '.join(SETTINGS[each] for each in twice)} are both {names[twice[0]]!r}, and the backup holds a "
            "database for each. Give each another one. Nothing was restored."
        )
    return [place for stored in manifest.databases for place in _places(db, stored, declared[stored.role])]


def _places(db: Db, stored: StoredDatabase, ours: Database) -> list[Place]:
    at = db if stored.role == CORE_ROLE else db.client.get_database(ours.name, codec_options=AWARE)
    names = targets(stored, [each.name for each in ours.collections])
    return [
        Place(stored.role, each, metadata_entry(stored.name, each.name), at[names[each.name]])
        for each in stored.collections
    ]


def present(db: Db, found: Iterable[Place]) -> dict[str, int]:
    """The number of documents in the collections that a restore replaces, by label; empty ones are left out."""
    core = [db[each.name] for each in CORE.collections if each.name != RESTORES]
    counts = {
        each.full_name: each.estimated_document_count() for each in [*core, *(place.collection for place in found)]
    }
    return {label: number for label, number in sorted(counts.items()) if number}


def settings_of(db: Db, labels: Iterable[str], found: Iterable[Place]) -> list[str]:
    """The settings with the names of the databases in which some collections lie."""
    databases = {label.partition(".")[0] for label in labels}
    roles = {each.role for each in found if each.collection.database.name in databases}
    return [
        setting for role, setting in SETTINGS.items() if role in roles or (role == CORE_ROLE and db.name in databases)
    ]


def with_tokens(db: Db) -> list[str]:
    """The other databases on the server that hold tokens, as the core of an installation does."""
    server = db.client
    others = [server[name] for name in sorted(server.list_database_names()) if name != db.name]
    return [other.name for other in others if other["spotify_tokens"].find_one({}, {"_id": 1}) is not None]


def restore(db: Db, source: ArchiveReader, found: Sequence[Place], own: OwnRestore, progress: Progress) -> None:
    """Write all collections of a backup, in place of what there is, but for those that are there already.

    Args:
        db: The core's database.
        source: The backup.
        found: Where its collections belong.
        own: The restore, which keeps the database closed to everybody else.
        progress: Receives the number of documents.

    Raises:
        BackupError: a collection is not as it was in the backup.
    """
    progress.expect(source.manifest.documents)
    for collection in CORE.collections:
        label = db[collection.name].full_name
        own.keep()
        if collection.name != RESTORES and label not in {each.label for each in found}:
            db.drop_collection(collection.name)  # a later version has added it
    for place in found:
        if place.label in own.restored:
            progress.advance(place.stored.documents)
            continue
        through_failover(partial(_fill, place, source, own, progress))
        own.note(place.label)


def _fill(place: Place, source: ArchiveReader, own: OwnRestore, progress: Progress) -> None:
    collection, stored = place.collection, place.stored
    metadata = read_metadata(source.content(place.metadata))
    own.keep()
    collection.drop()
    collection.database.command({"create": collection.name, **metadata["options"]})
    if metadata["type"] == VIEW:
        return
    for batch in _batches(source.documents(stored.entry)):
        own.keep()
        _insert(collection, batch)
        progress.advance(len(batch))
    there = fingerprint(collection)
    if there != (stored.documents, stored.sha256):
        raise BackupError(
            f"{place.label} is not as it was in the backup ({there[0]:,} of {stored.documents:,} documents): another "
            "process writes to it. Stop what uses the database, and run the restore again."
        )
    indexes = [
        {key: value for key, value in index.items() if key not in OF_INDEXES}
        for index in metadata["indexes"]
        if index["name"] != "_id_"
    ]
    if indexes:
        collection.database.command({"createIndexes": collection.name, "indexes": indexes})


def _batches(documents: Iterable[bytes]) -> Iterator[list[RawBSONDocument]]:
    batch: list[RawBSONDocument] = []
    size = 0
    for each in documents:
        batch.append(RawBSONDocument(each))
        size += len(each)
        if len(batch) >= BATCH_DOCUMENTS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _insert(collection: Collection[Any], batch: Sequence[RawBSONDocument]) -> None:
    """Insert documents in their order, also those that were stored before the collection had its validator."""
    try:
        collection.insert_many(batch)
    except BulkWriteError as error:
        (refused,) = error.details["writeErrors"] or [{"code": None}]
        if refused["code"] != NOT_VALID:
            raise
        collection.insert_many(batch[refused["index"] :], bypass_document_validation=True)


def settle(store: Store, manifest: Manifest) -> None:
    """End what was under way when the backup was made, and mark what has to be built again; may be repeated."""
    if store.jobs.open_runs():  # one may have changed the catalogue without marking the snapshots
        store.mark_all_snapshots()
    store.jobs.close_all(manifest.made_at, RESTORED)
    store.imports.close_all(manifest.made_at, RESTORED)
    store.files.delete_incomplete()
    zones = {user.user_id: ZoneInfo(user.timezone) for user in store.users.all()}
    for each in manifest.moved:
        if each.user_id in zones:
            dated = each.source in BY_DATE
            dates = _dates(store, each.user_id, zones[each.user_id], manifest.made_at) if dated else (WHOLE,)
            store.marks.mark(each.user_id, each.source, dates)


def keep_removed(store: Store, removed: Mapping[str, datetime]) -> int:
    """Delete what came back of removed users.

    Args:
        store: All databases, restored.
        removed: Users who were removed from the database that was replaced, by id: when.

    Returns:
        The number of users who would have come back.
    """
    for user_id, at in removed.items():
        store.removals.remember(user_id, at)
    gone = set(store.removals.ids())
    back = sum(user.user_id in gone for user in store.users.all())
    store.removals.sweep()
    return back


def _dates(store: Store, user_id: str, zone: ZoneInfo, at: datetime) -> set[str]:
    """Every local date of a user with a rollup or with plays."""
    window = DayWindow(EPOCH, at.date() + timedelta(days=2))
    return {str(day) for day in store.plays.days(user_id, window, zone) | store.statistics.rollup_days(user_id, window)}
