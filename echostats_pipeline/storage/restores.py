"""Remembers a restore that has not ended (collection ``unfinished_restores``): until then, the database is closed.

Only one process restores at a time. It renews its record while it lives, and looks at each step whether the record is
its own: one that stood still may have been overtaken. All times are by the database's clock, which all processes share.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta

from bson import ObjectId
from pymongo.errors import PyMongoError

from echostats_pipeline.errors import BackupError, UnfinishedRestoreError
from echostats_pipeline.model.operations import UnfinishedRestore
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.heartbeat import beating
from echostats_pipeline.storage.removals import RemovalStore

RESTORES = "unfinished_restores"
ONLY = ObjectId(b"only restore")
"""Id of the record: there is at most one."""
LASTS = timedelta(seconds=30)
"""How long a restore counts as alive without a renewal; six times the pause between two."""
RENEW_S = 5.0
POLL_S = 0.5
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
LAPSED: Document = {
    "$expr": {"$lt": ["$renewed_at", {"$subtract": ["$$NOW", int(LASTS.total_seconds() * 1000)]}]},
}
OVERTAKEN = (
    "This restore stood still for more than half a minute, and another one has taken its place. It has stopped; look "
    "after the other one."
)


class OwnRestore:
    """The restore of this process.

    Attributes:
        restored: The collections that are there already, with their databases.
        removed: Users who were removed from the database that is replaced, by id: when.
    """

    def __init__(self, db: Db, holder: str, found: UnfinishedRestore) -> None:
        self.restored = set(found.restored)
        self.removed = found.removed
        self._restores = db[RESTORES]
        self._own: Document = {"_id": ONLY, "holder": holder}

    def keep(self, **change: Document) -> None:
        """Renew the record; called before each change of the data.

        Raises:
            BackupError: another restore has taken its place.
        """
        if not self._renew(change):
            raise BackupError(OVERTAKEN)

    def note(self, collection: str) -> None:
        """Note that a collection is there as it was."""
        self.keep(**{"$addToSet": {"restored": collection}})

    def end(self) -> None:
        """Open the database to others."""
        if not self._restores.delete_one(self._own).deleted_count:
            raise BackupError(OVERTAKEN)

    def release(self) -> None:
        """Let another restore go on at once."""
        self._restores.update_one(self._own, {"$set": {"renewed_at": NEVER}})

    def alive(self) -> AbstractContextManager[None]:
        """Renew the record for the length of a block, also while the server makes an index.

        One that is not its own any more is left alone: the next step of the restore notices.
        """
        return beating(lambda: self._renew({}), every_s=RENEW_S)

    def _renew(self, change: Document) -> bool:
        renewed = {"$currentDate": {"renewed_at": True}, **change}
        return self._restores.update_one(self._own, renewed).matched_count == 1


class RestoreStore:
    """Begins and ends restores, and closes the database meanwhile."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._restores = db[RESTORES]

    def unfinished(self) -> UnfinishedRestore | None:
        """The restore that has not ended."""
        found = self._restores.find_one({"_id": ONLY})
        return None if found is None else UnfinishedRestore.stored(found)

    def refuse(self) -> None:
        """Refuse a database that is only partly there.

        Raises:
            UnfinishedRestoreError: a restore has not ended.
        """
        if (restore := self.unfinished()) is not None:
            raise UnfinishedRestoreError(
                f"The restore of {restore.file} into this database has not ended, so part of the data is missing. "
                "If no `echostats restore` runs, run it again with the same file: it ends what it has begun."
            )

    @contextmanager
    def own(
        self, digest: str, file: str, at: datetime, sleep: Callable[[float], None] = time.sleep
    ) -> Iterator[OwnRestore]:
        """Close the database to everybody else for a restore, and open it when the block has ended without an error.

        A restore of the same backup that did not end goes on; one of another backup is forgotten. If the process of
        the other one may live, this waits until it is certain.

        Args:
            digest: Identifies the backup.
            file: Name of the backup, for who meets an unfinished restore.
            at: The present instant.
            sleep: Waits for a number of seconds.

        Raises:
            BackupError: another restore is under way, or has taken the place of this one.
        """
        restore = self._taken(UnfinishedRestore(digest=digest, file=file, started_at=at, renewed_at=NEVER), sleep)
        try:
            with restore.alive():
                yield restore
        except BaseException:
            with suppress(PyMongoError):
                restore.release()
            raise
        restore.end()

    def _taken(self, wanted: UnfinishedRestore, sleep: Callable[[float], None]) -> OwnRestore:
        holder, seen = uuid.uuid4().hex, None
        same = {"$eq": ["$digest", wanted.digest]}
        taken: Document = {
            "digest": wanted.digest,
            "file": {"$literal": wanted.file},
            "started_at": {"$cond": [same, "$started_at", wanted.started_at]},
            "restored": {"$cond": [same, "$restored", []]},
            "removed": {"$mergeObjects": ["$removed", RemovalStore(self._db).times()]},
            "holder": holder,
            "renewed_at": "$$NOW",
        }
        while True:
            # An upsert cannot compare with the database's clock.
            self._restores.update_one({"_id": ONLY}, {"$setOnInsert": wanted.to_bson()}, upsert=True)
            found = self._restores.find_one_and_update({"_id": ONLY, **LAPSED}, [{"$set": taken}], return_document=True)
            if found is not None:
                return OwnRestore(self._db, holder, UnfinishedRestore.stored(found))
            other = self.unfinished()
            if other is not None and seen not in (None, other.renewed_at):
                raise BackupError(
                    f"The restore of {other.file} into this database is under way in another process. Wait for it; "
                    "this one has changed nothing."
                )
            seen = None if other is None else other.renewed_at
            sleep(POLL_S)
