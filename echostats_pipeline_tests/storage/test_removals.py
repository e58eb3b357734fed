"""Records of removed users, and which users they match."""

from datetime import timedelta

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.errors import UserRemovedError
from echostats_pipeline.model.operations import JobStep
from echostats_pipeline.model.users import partition_key
from echostats_pipeline.storage.leases import Lease
from echostats_pipeline.storage.removals import keys_of_removed
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.sync_jobs import JobKey
from echostats_pipeline_tests.conftest import NOW, documents

OBJECT_IDS = st.binary(min_size=12, max_size=12).map(ObjectId).map(str)
GONE, THERE = "682a3b1f2e4a5c6d7e8f9012", "682a3b1f2e4a5c6d7e8f9013"


def step() -> JobStep:
    return JobStep(action="tracks", status="completed", detail="", items=0, started_at=NOW)


@given(
    ids=st.lists(OBJECT_IDS, unique_by=lambda each: each[-6:], max_size=6), name=st.text(max_size=20), data=st.data()
)
def test_a_key_tells_whether_its_user_was_removed(ids: list[str], name: str, data: st.DataObject) -> None:
    removed = data.draw(st.sets(st.sampled_from(ids))) if ids else set()
    keys = {partition_key(name, user_id): user_id for user_id in ids}
    assert {keys[key] for key in keys_of_removed(keys, removed)} == removed


def test_the_database_tells_the_same(store: Store) -> None:
    store.removals.remember(GONE, NOW)
    assert store.removals.had_key(partition_key("Ann", GONE))
    for other in (partition_key("Ann", THERE), "", "8f9012", ".*", "ann-......", "everybody"):
        assert not store.removals.had_key(other)


def test_a_user_is_remembered_once_from_the_first_time_on(store: Store) -> None:
    for days in (0, 1):
        store.removals.remember(GONE, NOW + timedelta(days=days))
    assert documents(store.db, "removed_users") == [{"user_id": GONE, "removed_at": NOW}]
    assert store.removals.ids() == store.removals.ids([GONE, THERE]) == [GONE]
    assert store.removals.ids([THERE]) == store.removals.ids([]) == []


def test_nobody_works_for_a_removed_user(store: Store) -> None:
    store.removals.remember(GONE, NOW)
    lease, key = Lease(GONE, "history", "run"), JobKey(GONE, "run")
    with pytest.raises(UserRemovedError):
        store.leases.take(lease)
    with pytest.raises(UserRemovedError):
        store.jobs.open(key, "periodic", NOW)
    assert store.removals.leftovers() == {}
    assert store.leases.take(Lease(THERE, "history", "run"))
    store.jobs.open(JobKey(THERE, "run"), "periodic", NOW)


def test_who_works_for_a_user_notices_that_they_were_removed(store: Store) -> None:
    lease, key = Lease(GONE, "history", "run"), JobKey(GONE, "run")
    store.jobs.open(key, "periodic", NOW)
    assert store.leases.take(lease)
    store.jobs.advance(key, 1)
    store.removals.remember(GONE, NOW)
    assert store.removals.sweep() == {"sync_jobs": 1, "user_leases": 1}
    with pytest.raises(UserRemovedError):
        store.jobs.advance(key, 1)
    with pytest.raises(UserRemovedError):
        store.jobs.append_step(key, step())
    assert not store.leases.renew(lease)


def test_a_job_that_somebody_else_has_closed_is_no_removal(store: Store) -> None:
    key = JobKey(THERE, "run")
    store.jobs.open(key, "periodic", NOW)
    store.jobs.close_run("run", NOW, "it died")
    store.jobs.advance(key, 1)
    assert store.jobs.append_step(key, step()) == {}
