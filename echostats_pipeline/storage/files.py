"""Keeps files in the database (GridFS), for processes that share no folder: exports to import, reports, feature files.

A file is there whole or not at all: GridFS writes its description last. Every part of it names its user, so that a
removal finds also what a killed process has left behind.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from bson import ObjectId
from gridfs import GridFSBucket

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.model.files import FileKind
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.removals import RemovalStore

BUCKET = "stored"
"""Name of the bucket: the collections are ``stored.files`` and ``stored.chunks``."""


@dataclass(frozen=True)
class FileKey:
    """Names a file: whose it is (empty for all users'), what for, and its path with slashes."""

    user_id: str
    kind: FileKind
    name: str

    def query(self, version: str | None = None) -> Document:
        """The filter for its description."""
        found = {"_id.user_id": self.user_id, "_id.kind": self.kind, "_id.name": self.name}
        return found if version is None else {**found, "_id.version": version}


class FileStore:
    """Puts, reads and deletes files."""

    def __init__(self, db: Db) -> None:
        self._bucket = GridFSBucket(db, bucket_name=BUCKET)
        self._files, self._chunks = db[f"{BUCKET}.files"], db[f"{BUCKET}.chunks"]
        self._removals = RemovalStore(db)

    def put(self, key: FileKey, version: str, content: BinaryIO) -> bool:
        """Store a file in place of its other versions. Return False if this version is stored already.

        Raises:
            UserRemovedError: the user was removed.
        """
        self._removals.refuse(key.user_id)
        if self.version(key) == version:
            return False
        upload = uuid.uuid4().hex  # two processes may store the same version at once
        file_id = {"user_id": key.user_id, "kind": key.kind, "name": key.name, "version": version, "upload": upload}
        self._bucket.upload_from_stream_with_id(file_id, key.name, content)
        self._removals.sweep([key.user_id])
        for other in self._files.find({**key.query(), "_id.upload": {"$ne": upload}}, {"_id": 1}):
            self._delete(other["_id"])
        return True

    def version(self, key: FileKey) -> str | None:
        """The version of a stored file; None if there is none."""
        found = self._newest(key.query())
        return None if found is None else str(found["_id"]["version"])

    def read(self, key: FileKey, target: BinaryIO, version: str | None = None) -> None:
        """Write a stored file to `target`.

        Raises:
            NotFoundError: there is no such file, or not in this version.
        """
        found = self._newest(key.query(version))
        if found is None:
            raise NotFoundError(f"The database holds no {key.kind} {key.name}.")
        self._bucket.download_to_stream(found["_id"], target)

    def below(self, user_id: str, kind: FileKind, version: str) -> Iterator[FileKey]:
        """The files of a user that were stored as one version, as those of a folder are."""
        found = self._files.find({"_id.user_id": user_id, "_id.kind": kind, "_id.version": version}).sort("filename")
        yield from (FileKey(user_id, kind, name) for name in dict.fromkeys(file["filename"] for file in found))

    def delete(self, key: FileKey, version: str | None = None) -> None:
        """Delete a file, if it exists."""
        for found in self._files.find(key.query(version), {"_id": 1}):
            self._delete(found["_id"])

    def sweep(self, before: datetime) -> int:
        """Delete exports that nobody read, and parts of files whose upload ended early, of before an instant."""
        old = [found["_id"] for found in self._files.find({"_id.kind": "import", "uploadDate": {"$lt": before}})]
        for file_id in old:
            self._delete(file_id)
        parts = {"_id": {"$lt": ObjectId.from_datetime(before)}}
        began = {str(each): each for each in self._chunks.distinct("files_id", parts)}
        lost = [each for each in began.values() if self._files.count_documents({"_id": each}, limit=1) == 0]
        for file_id in lost:
            self._delete(file_id)
        return len(old) + len(lost)

    def delete_incomplete(self) -> int:
        """Delete files that lack parts, as when they were deleted while a backup was made; return how many."""
        found = list(self._files.find({}, {"length": 1, "chunkSize": 1}))
        torn = [
            each["_id"]
            for each in found
            if self._chunks.count_documents({"files_id": each["_id"]}) < -(-each["length"] // each["chunkSize"])
        ]
        for file_id in torn:
            self._delete(file_id)
        return len(torn)

    def _newest(self, query: Document) -> Document | None:
        return self._files.find_one(query, {"_id": 1}, sort=[("uploadDate", -1)])

    def _delete(self, file_id: Document) -> None:
        self._files.delete_one({"_id": file_id})
        self._chunks.delete_many({"files_id": file_id})
