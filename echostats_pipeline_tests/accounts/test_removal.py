"""Removing users: all their data is deleted, other users' data stays, and late writes leave nothing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from echostats_pipeline.accounts.removal import remove_user
from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.model.operations import ApiLog
from echostats_pipeline.model.users import User
from echostats_pipeline.stages.ingestion import merge_pages, read_recently_played
from echostats_pipeline.stages.statistics import rebuild_snapshots
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.sync_jobs import JobKey
from echostats_pipeline_tests.conftest import NOW, Installation, documents

OWNED = {name for name, collection in COLLECTIONS.items() if collection.owned_by_user} - {"users"}


def connect(store: Store, name: str) -> User:
    """A user with one document in every collection of users' data."""
    user = store.users.connect({"spotify_id": name, "display_name": name}, authorized_at=NOW, simulated=False)
    fill(store, user)
    return user


def fill(store: Store, user: User) -> None:
    """Add a document to every collection but ``users``."""
    for collection in COLLECTIONS.keys() - {"users", "removed_users"}:
        distinct = {
            field: str(ObjectId())
            for index in COLLECTIONS[collection].indexes
            if index.unique
            for field, _ in index.keys
            if field != "user_id" and "." not in field
        }
        store.db[collection].insert_one({**distinct, **owned_by(COLLECTIONS[collection].owner_field, user)})


def owned_by(field: str, user: User) -> dict[str, Any]:
    """What makes a document a user's; within an id, with a part that is another each time."""
    outer, _, inner = field.partition(".")
    return {outer: {inner: user.user_id, "upload": str(ObjectId())}} if inner else {field: user.user_id}


def test_every_document_of_a_user_goes_and_nothing_else(store: Store) -> None:
    ann, bob = connect(store, "ann"), connect(store, "bob")
    shared = COLLECTIONS.keys() - OWNED - {"users", "removed_users"}
    kept = {name: documents(store.db, name, without=()) for name in shared}
    assert set(store.owned.counts(ann)) == OWNED | {"users"}
    removed = remove_user(store, ann, NOW)
    assert removed == dict.fromkeys([*OWNED, "users"], 1)
    assert store.owned.counts(ann) == {}
    assert store.users.all() == [bob]
    assert store.owned.counts(bob) == dict.fromkeys([*OWNED, "users"], 1)
    assert {name: documents(store.db, name, without=()) for name in shared} == kept
    assert documents(store.db, "removed_users") == [{"user_id": ann.user_id, "removed_at": NOW}]


def test_a_removal_that_was_interrupted_can_be_repeated(store: Store) -> None:
    ann = connect(store, "ann")
    store.removals.remember(ann.user_id, NOW - timedelta(days=1))
    store.db["listening_history"].delete_many({"user_id": ann.user_id})
    assert store.users.find("ann").user_id == ann.user_id
    assert "listening_history" not in remove_user(store, store.users.find("ann"), NOW)
    assert store.users.all() == []
    assert documents(store.db, "removed_users") == [{"user_id": ann.user_id, "removed_at": NOW - timedelta(days=1)}]


def test_a_removal_that_was_interrupted_is_finished_by_the_next_sweep(store: Store) -> None:
    ann, bob = connect(store, "ann"), connect(store, "bob")
    store.removals.remember(ann.user_id, NOW)
    assert store.removals.leftovers() == dict.fromkeys([*OWNED, "users"], 1)
    assert store.removals.sweep() == dict.fromkeys([*OWNED, "users"], 1)
    assert store.users.all() == [bob]


def test_a_running_job_does_not_hold_a_removal_up(store: Store) -> None:
    ann = connect(store, "ann")
    store.jobs.open(JobKey(ann.user_id, "run"), "periodic", NOW)
    remove_user(store, ann, NOW)
    assert store.users.all() == []
    assert store.jobs.busy_users() == set()


def test_what_comes_late_is_counted_and_swept_and_nobody_elses(store: Store) -> None:
    ann, bob = connect(store, "ann"), connect(store, "bob")
    remove_user(store, ann, NOW)
    assert store.removals.leftovers() == store.removals.sweep() == {}
    fill(store, ann)
    assert store.removals.leftovers() == dict.fromkeys(OWNED, 1)
    assert store.removals.sweep([bob.user_id]) == {}
    assert store.removals.sweep([bob.user_id, ann.user_id]) == dict.fromkeys(OWNED, 1)
    assert store.removals.leftovers() == {}
    assert store.owned.counts(bob) == dict.fromkeys([*OWNED, "users"], 1)


@contextmanager
def writing(installation: Installation, user: User, *, times: int) -> Iterator[threading.Event]:
    """A stopped worker that continues once the event is set: it syncs, builds, and logs, with its old user."""
    store, began, go_on = installation.store, threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with installation.client(user) as client, store.api_logs() as log:
                read_recently_played(store, client, user, NOW)
                page = store.db["recently_played"].find_one({"user_id": user.user_id}, {"_id": 0})
                assert page is not None
                began.set()
                assert go_on.wait(60)
                for _ in range(times):
                    store.db["recently_played"].insert_one(dict(page))
                    merge_pages(store, user, NOW)
                    log.add(ApiLog(user_id=user.user_id))
                    rebuild_snapshots(store, user, NOW)
        except BaseException as failure:
            failures.append(failure)
            raise

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert began.wait(60)
    yield go_on
    thread.join(60)
    assert failures == []


def test_a_worker_that_writes_on_leaves_nothing_after_the_sweep(installation: Installation) -> None:
    store, user, other = installation.store, installation.connect(0), installation.connect(1)
    with writing(installation, user, times=3) as go_on:
        remove_user(store, user, NOW)
        assert store.owned.counts(user) == {}
        go_on.set()
    late = store.removals.leftovers()
    assert late.keys() >= {"listening_history", "change_marks", "api_logs", "analytics_snapshots", "recently_played"}
    assert store.removals.sweep() == late
    assert store.removals.leftovers() == store.owned.counts(user) == {}
    assert [each.user_id for each in store.users.all()] == [other.user_id]
    for name in store.db.list_collection_names():
        if name != "removed_users":
            assert user.user_id not in repr(list(store.db[name].find())), name


def test_the_account_connected_again_is_another_user_who_starts_empty(installation: Installation) -> None:
    store, user = installation.store, installation.connect()
    with installation.client(user) as client:
        read_recently_played(store, client, user, NOW)
    merge_pages(store, user, NOW)
    remove_user(store, user, NOW)
    again = installation.connect()
    assert (again.spotify_id, again.user_id == user.user_id) == (user.spotify_id, False)
    assert store.owned.counts(again) == {"users": 1, "spotify_tokens": 1}
    with installation.client(again) as client:
        read_recently_played(store, client, again, NOW)
    assert merge_pages(store, again, NOW).outcomes["inserted"]
    before = store.owned.counts(again)
    assert store.removals.sweep() == {}
    assert store.owned.counts(again) == before


def test_connecting_finishes_a_removal_that_was_interrupted(installation: Installation) -> None:
    store, user = installation.store, installation.connect()
    store.removals.remember(user.user_id, NOW)
    again = installation.connect()
    assert again.user_id != user.user_id
    assert store.removals.sweep() == {}
    assert [each.user_id for each in store.users.all()] == [again.user_id]


def test_tokens_that_are_renewed_meanwhile_do_not_come_back(installation: Installation) -> None:
    store, user = installation.store, installation.connect()
    tokens = store.users.tokens(user.user_id)
    remove_user(store, user, NOW)
    store.users.store_tokens(tokens, renewed=True)
    assert documents(store.db, "spotify_tokens") == []


def test_without_removed_users_a_sweep_touches_no_collection(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = connect(store, "ann")
    before = {name: store.db.command("collStats", name)["count"] for name in OWNED}
    seen: list[object] = []
    monkeypatch.setattr("echostats_pipeline.storage.removals._of_removed", lambda name, ids: seen.append(name))
    assert store.removals.sweep() == store.removals.sweep([ann.user_id]) == store.removals.leftovers() == {}
    assert seen == []
    assert {name: store.db.command("collStats", name)["count"] for name in OWNED} == before
