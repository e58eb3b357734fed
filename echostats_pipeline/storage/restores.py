"""Remembers a restore that has not ended (collection ``unfinished_restores``): until then, the database is closed."""

from datetime import datetime

from echostats_pipeline.errors import StorageError
from echostats_pipeline.model.operations import UnfinishedRestore
from echostats_pipeline.storage.database import Db

RESTORES = "unfinished_restores"


class RestoreStore:
    """Notes how far a restore has come. There is at most one."""

    def __init__(self, db: Db) -> None:
        self._restores = db[RESTORES]

    def unfinished(self) -> UnfinishedRestore | None:
        """The restore that has not ended."""
        found = self._restores.find_one()
        return None if found is None else UnfinishedRestore.stored(found)

    def refuse(self) -> None:
        """Refuse a database that is only partly there.

        Raises:
            StorageError: a restore has not ended.
        """
        if (restore := self.unfinished()) is not None:
            raise StorageError(
                f"The restore of {restore.file} into this database has not ended, so part of the data is missing. "
                "If no `echostats restore` runs, run it again with the same file: it ends what it has begun."
            )

    def begin(self, digest: str, file: str, at: datetime) -> None:
        """Note that a restore begins; one that was begun before is forgotten."""
        self._restores.delete_many({})
        self._restores.insert_one(UnfinishedRestore(digest=digest, file=file, started_at=at).to_bson())

    def restored(self, collection: str) -> None:
        """Note that a collection is there as it was."""
        self._restores.update_one({}, {"$addToSet": {"restored": collection}})

    def end(self) -> None:
        """Note that the restore has ended."""
        self._restores.delete_many({})
