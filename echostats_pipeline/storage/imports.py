"""Records the outcome of imports: one document per file, one per rejected row."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import ReplaceOne

from echostats_pipeline.model.operations import FileImport, ImportReject
from echostats_pipeline.storage.database import Db


class ImportStore:
    """Collections ``imports`` and ``import_rejects``."""

    def __init__(self, db: Db) -> None:
        self._db = db
        self._imports = db["imports"]
        self._rejects = db["import_rejects"]

    def generation(self) -> str:
        """Identifies what is recorded here: another once the database was restored or begun anew; "" if unknown.

        It is the id that MongoDB gives a collection when it is created: whatever tool restores it, the id is another.
        """
        found = next(self._db.list_collections(filter={"name": self._imports.name}), {})
        return bytes(found.get("info", {}).get("uuid", b"")).hex()

    def begin(self, file: FileImport) -> ObjectId:
        """Record that a file is being read."""
        import_id: ObjectId = self._imports.insert_one(file.to_bson()).inserted_id
        return import_id

    def update(self, import_id: ObjectId, **fields: Any) -> None:
        """Record progress or the end of a file."""
        self._imports.update_one({"_id": import_id}, {"$set": fields})

    def close_run(self, dagster_run_id: str, at: datetime, error: str) -> None:
        """Mark the files that a run left unfinished as failed."""
        fields = {"status": "failed", "completed_at": at, "error_message": error}
        self._imports.update_many({"dagster_run_id": dagster_run_id, "status": "running"}, {"$set": fields})

    def close_all(self, at: datetime, error: str) -> None:
        """Mark the files that any run left unfinished as failed."""
        fields = {"status": "failed", "completed_at": at, "error_message": error}
        self._imports.update_many({"dagster_run_id": {"$type": "string"}, "status": "running"}, {"$set": fields})

    def of_run(self, dagster_run_id: str) -> list[FileImport]:
        """The files that a run imported, in the order they were read."""
        found = self._imports.find({"dagster_run_id": dagster_run_id}).sort("_id")
        return [FileImport.model_validate(document) for document in found]

    def of_user(self, user_id: str) -> list[FileImport]:
        """All files that were imported for a user."""
        found = self._imports.find({"user_id": user_id}).sort("_id")
        return [FileImport.model_validate(document) for document in found]

    def keep_rejects(self, rejects: Sequence[ImportReject]) -> None:
        """Store rejected rows. One rejected again replaces its earlier copy, not a row of another file."""
        if rejects:
            self._rejects.bulk_write(
                [
                    ReplaceOne(
                        {
                            "user_id": reject.user_id,
                            "file_name": reject.file_name,
                            "row_number": reject.row_number,
                            "row": reject.row,
                        },
                        reject.to_bson(),
                        upsert=True,
                    )
                    for reject in rejects
                ],
                ordered=False,
            )
