"""Two Dagster instances over one database, as of two state folders: neither ends what the other is doing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import dagster as dg
import pytest

from echostats_pipeline.model.base import utc_now
from echostats_pipeline.orchestration import runs
from echostats_pipeline.orchestration.instance.dead_runs import close_dead_runs
from echostats_pipeline.orchestration.instance.identity import KEY, instance_id
from echostats_pipeline.storage.leases import Lease
from echostats_pipeline.storage.sync_jobs import JobKey
from echostats_pipeline_tests.conftest import NOW, Pipeline


@pytest.fixture
def other() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as another:
        yield another


def begin(pipeline: Pipeline, instance: dg.DagsterInstance, user_id: str, owner: str | None = None) -> Lease:
    """A run under way, with its open job and its lease."""
    run = instance.add_run(dg.DagsterRun("history_import", status=dg.DagsterRunStatus.STARTED))
    owner = instance_id(instance) if owner is None else owner
    pipeline.store.jobs.open(JobKey(user_id, run.run_id), "import", NOW, owner)
    lease = Lease(user_id, "history", run.run_id)
    assert pipeline.store.leases.take(lease)
    return lease


def fall_silent(pipeline: Pipeline, since: timedelta = timedelta(minutes=3)) -> None:
    pipeline.store.db["sync_jobs"].update_many({}, {"$set": {"heartbeat_at": utc_now() - since}})


def test_live_runs_of_either_instance_outlast_the_other(pipeline: Pipeline, other: dg.DagsterInstance) -> None:
    leases = [begin(pipeline, pipeline.instance, "ann"), begin(pipeline, other, "bob")]
    for instance in (pipeline.instance, other):
        assert close_dead_runs(instance, pipeline.store, NOW) == []
    assert all(pipeline.store.leases.renew(lease) for lease in leases)
    assert pipeline.store.jobs.busy_users() == {"ann", "bob"}


def test_a_silent_run_is_closed_by_its_own_instance_only(pipeline: Pipeline, other: dg.DagsterInstance) -> None:
    ours, theirs = begin(pipeline, pipeline.instance, "ann"), begin(pipeline, other, "bob")
    fall_silent(pipeline)
    assert close_dead_runs(pipeline.instance, pipeline.store, NOW) == [ours.dagster_run_id]
    assert pipeline.store.jobs.open_runs() == [theirs.dagster_run_id]
    assert pipeline.store.leases.renew(theirs)
    assert pipeline.store.jobs.busy_users() == set(), "a silent job of an instance that may be gone holds up nobody"
    assert close_dead_runs(other, pipeline.store, NOW) == [theirs.dagster_run_id]


def test_a_run_that_has_been_silent_for_a_day_is_closed_by_any_instance(
    pipeline: Pipeline, other: dg.DagsterInstance
) -> None:
    theirs = begin(pipeline, other, "bob")
    fall_silent(pipeline, timedelta(hours=25))
    assert close_dead_runs(pipeline.instance, pipeline.store, NOW) == [theirs.dagster_run_id]


@pytest.mark.parametrize("owner", [None, ""], ids=["its own", "that of an earlier version"])
def test_a_run_that_its_instance_has_lost_is_closed_once_it_is_silent(
    pipeline: Pipeline, other: dg.DagsterInstance, owner: str | None
) -> None:
    lost = begin(pipeline, other, "ann", instance_id(pipeline.instance) if owner is None else owner)
    assert close_dead_runs(pipeline.instance, pipeline.store, NOW) == []
    fall_silent(pipeline)
    assert close_dead_runs(pipeline.instance, pipeline.store, NOW) == [lost.dagster_run_id]


def test_a_run_goes_on_while_another_instance_looks_for_dead_runs(
    pipeline: Pipeline, other: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, beating, looks = pipeline.connect(), runs.beating, []

    @contextmanager
    def looked_at(*beats: Callable[[], object]) -> Iterator[None]:
        looks.append(close_dead_runs(other, pipeline.store, NOW))
        with beating(*beats):
            yield

    monkeypatch.setattr(runs, "beating", looked_at)
    ended = pipeline.run("library_sync", partition_key=user.partition_key)
    assert ended.success
    assert looks
    assert not any(looks)
    (job,) = pipeline.store.jobs.of_run(ended.run_id)
    assert (job.status, job.dagster_instance_id) == ("completed", instance_id(pipeline.instance))


def test_an_instance_keeps_its_id_in_its_storage(other: dg.DagsterInstance, instance: dg.DagsterInstance) -> None:
    assert instance_id(other) == other.run_storage.get_cursor_values({KEY})[KEY]
    assert instance_id(other) != instance_id(instance)
