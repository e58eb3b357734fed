"""Removing users: all of theirs, nothing of others."""

import pytest
from bson import ObjectId

from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.model.users import User
from echostats_pipeline.stages.removal import remove_user
from echostats_pipeline.storage.jobs import JobKey
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, documents

OWNED = {name for name, collection in COLLECTIONS.items() if collection.owned_by_user} - {"users"}


def connect(store: Store, name: str) -> User:
    """A user with one document in every collection."""
    user = store.users.connect({"spotify_id": name, "display_name": name}, authorized_at=NOW, simulated=False)
    for collection in COLLECTIONS.keys() - {"users"}:
        distinct = {index.keys[0][0]: str(ObjectId()) for index in COLLECTIONS[collection].indexes if index.unique}
        store.db[collection].insert_one({**distinct, "user_id": user.user_id})
    return user


def test_every_document_of_a_user_goes_and_nothing_else(store: Store) -> None:
    ann, bob = connect(store, "ann"), connect(store, "bob")
    shared = COLLECTIONS.keys() - OWNED - {"users"}
    kept = {name: documents(store.db, name, without=()) for name in shared}
    assert set(store.users.owned_documents(ann)) == OWNED | {"users"}
    removed = remove_user(store, ann)
    assert removed == dict.fromkeys([*OWNED, "users"], 1)
    assert store.users.owned_documents(ann) == {}
    assert store.users.all() == [bob]
    assert store.users.owned_documents(bob) == dict.fromkeys([*OWNED, "users"], 1)
    assert {name: documents(store.db, name, without=()) for name in shared} == kept
    for name in OWNED:
        assert store.db[name].count_documents({"user_id": ann.user_id}) == 0


def test_a_removal_that_was_interrupted_can_be_repeated(store: Store) -> None:
    ann = connect(store, "ann")
    store.db["listening_history"].delete_many({"user_id": ann.user_id})
    assert store.users.find("ann").user_id == ann.user_id
    assert "listening_history" not in remove_user(store, store.users.find("ann"))
    assert store.users.all() == []


def test_a_user_with_a_running_job_is_paused_and_kept(store: Store) -> None:
    ann = connect(store, "ann")
    store.jobs.open(JobKey(ann.user_id, "run"), "periodic", NOW)
    before = store.users.owned_documents(ann)
    with pytest.raises(EchostatsError, match="is running"):
        remove_user(store, ann)
    assert store.users.owned_documents(ann) == before
    assert store.users.find("ann").status == "paused"
    store.jobs.close(JobKey(ann.user_id, "run"), "completed", NOW)
    remove_user(store, ann)
    assert store.users.all() == []
