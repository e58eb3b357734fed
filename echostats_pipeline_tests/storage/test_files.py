"""Files in the database: whole or absent, one version of each, and gone with their user."""

from datetime import timedelta
from io import BytesIO

import pytest
from bson import ObjectId

from echostats_pipeline.errors import NotFoundError, UserRemovedError
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.storage.files import FileKey
from echostats_pipeline.storage.store import Store

ANN, BOB = "5e5e5e5e5e5e5e5e5e5e5e5e", "6f6f6f6f6f6f6f6f6f6f6f6f"
REPORT = FileKey(ANN, "report", "ann-5e5e5e.html")
LARGE = bytes(range(256)) * 4_000  # several chunks


def read(store: Store, key: FileKey, version: str | None = None) -> bytes:
    target = BytesIO()
    store.files.read(key, target, version)
    return target.getvalue()


def stored_parts(store: Store) -> tuple[int, int]:
    return store.db["stored.files"].count_documents({}), store.db["stored.chunks"].count_documents({})


def test_a_file_is_read_as_it_was_put_and_only_its_newest_version_stays(store: Store) -> None:
    assert store.files.put(REPORT, "1", BytesIO(LARGE))
    assert not store.files.put(REPORT, "1", BytesIO(b"not looked at"))
    assert read(store, REPORT) == LARGE
    assert store.files.put(REPORT, "2", BytesIO(b"new"))
    assert (store.files.version(REPORT), read(store, REPORT)) == ("2", b"new")
    assert stored_parts(store) == (1, 1)
    with pytest.raises(NotFoundError):
        read(store, REPORT, "1")
    store.files.delete(REPORT)
    assert stored_parts(store) == (0, 0)


def test_a_removal_deletes_the_files_of_the_user_and_parts_that_were_left_behind(store: Store) -> None:
    store.files.put(REPORT, "1", BytesIO(LARGE))
    store.files.put(FileKey(BOB, "report", "bob.html"), "1", BytesIO(b"bob"))
    left = {"user_id": ANN, "kind": "import", "name": "x.zip", "version": "1", "upload": "killed"}
    store.db["stored.chunks"].insert_one({"files_id": left, "n": 0, "data": b"ann"})
    store.removals.remember(ANN, utc_now())
    assert store.removals.sweep([ANN]).keys() == {"stored.files", "stored.chunks"}
    assert stored_parts(store) == (1, 1)
    with pytest.raises(UserRemovedError):
        store.files.put(REPORT, "3", BytesIO(b"late"))
    assert stored_parts(store) == (1, 1)


def test_a_user_who_is_removed_during_an_upload_leaves_nothing(store: Store) -> None:
    class Removed(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            store.removals.remember(ANN, utc_now())
            return super().read(size)

    store.files.put(REPORT, "1", Removed(LARGE))
    assert stored_parts(store) == (0, 0)


def test_exports_that_nobody_read_and_broken_uploads_are_swept(store: Store) -> None:
    export, now = FileKey(ANN, "import", "x.zip"), utc_now()
    store.files.put(export, "1", BytesIO(b"x"))
    store.files.put(REPORT, "1", BytesIO(b"r"))
    old = ObjectId.from_datetime(now - timedelta(days=40))
    left = {"user_id": ANN, "kind": "import", "name": "y.zip", "version": "1", "upload": "killed"}
    store.db["stored.chunks"].insert_one({"_id": old, "files_id": left, "n": 0, "data": b"y"})
    assert store.files.sweep(now - timedelta(days=30)) == 1
    assert store.files.sweep(now + timedelta(days=1)) == 1
    assert read(store, REPORT) == b"r"
    assert stored_parts(store) == (1, 1)
