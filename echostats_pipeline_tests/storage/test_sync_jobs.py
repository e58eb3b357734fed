"""Job records: opened once, updated while they run, closed once."""

from datetime import timedelta

import pytest
from bson import ObjectId

from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.operations import JobStatus, JobStep, JobType, SyncJob
from echostats_pipeline.storage import sync_jobs
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.sync_jobs import ERROR_LENGTH, SILENT_AFTER, JobKey
from echostats_pipeline_tests.conftest import NOW
from echostats_pipeline_tests.integration.operation_profiler import profiled

KEY = JobKey("u1", "run1")


def step(action: str, status: JobStatus = "completed") -> JobStep:
    return JobStep(action=action, status=status, detail="", items=1, started_at=NOW)


def test_a_job_is_there_and_running_before_its_first_step(store: Store) -> None:
    store.jobs.open(KEY, "periodic", NOW)
    (job,) = store.jobs.of_run("run1")
    assert (job.status, job.started_at, job.created_at, job.steps) == ("running", NOW, NOW, [])


def test_opening_again_keeps_what_is_there(store: Store) -> None:
    store.jobs.open(KEY, "initial", NOW)
    store.jobs.advance(KEY, 3)
    store.jobs.open(KEY, "periodic", NOW + timedelta(hours=1))
    (job,) = store.jobs.of_run("run1")
    assert (job.job_type, job.items_processed, job.started_at) == ("initial", 3, NOW)


def test_items_add_up_and_steps_are_appended_in_order(store: Store) -> None:
    store.jobs.open(KEY, "periodic", NOW)
    store.jobs.expect(KEY, 5)
    store.jobs.expect(KEY, 2)
    store.jobs.advance(KEY, 4)
    assert store.jobs.append_step(KEY, step("a")) == {"a": "completed"}
    assert store.jobs.append_step(KEY, step("b")) == {"a": "completed", "b": "completed"}
    (job,) = store.jobs.of_run("run1")
    assert (job.items_total, job.items_processed) == (7, 4)
    assert [done.action for done in job.steps] == ["a", "b"]


@pytest.mark.parametrize("first", ["failed", "completed"])
def test_a_closed_job_is_never_reopened_advanced_or_closed_again(store: Store, first: JobStatus) -> None:
    store.jobs.open(KEY, "periodic", NOW)
    assert store.jobs.close(KEY, first, NOW, "why")
    before = store.jobs.of_run("run1")
    assert not store.jobs.close(KEY, "completed", NOW + timedelta(1))
    assert store.jobs.close_run("run1", NOW + timedelta(1), "late") == 0
    assert store.jobs.append_step(KEY, step("orphan")) == {}
    store.jobs.advance(KEY, 9)
    store.jobs.expect(KEY, 9)
    store.jobs.open(KEY, "periodic", NOW + timedelta(1))
    assert store.jobs.of_run("run1") == before


def test_closing_a_run_fails_what_is_open_and_nothing_else(store: Store) -> None:
    other = JobKey("u2", "run1")
    for key in (KEY, other, JobKey("u1", "run2")):
        store.jobs.open(key, "periodic", NOW)
    store.jobs.close(other, "completed", NOW)
    assert store.jobs.close_run("run1", NOW, "x" * 2_000) == 1
    closed = {job.user_id: job for job in store.jobs.of_run("run1")}
    assert closed["u1"].status == "failed"
    assert closed["u1"].completed_at == NOW
    assert closed["u1"].error_message == "x" * ERROR_LENGTH
    assert closed["u2"].status == "completed"
    assert store.jobs.open_runs() == ["run2"]
    assert store.jobs.busy_users() == {"u1"}


def test_users_sync_together_until_the_last_job_of_their_run_is_closed(store: Store) -> None:
    together = [JobKey(user_id, "run1") for user_id in ("u1", "u2")]
    for key in (*together, JobKey("u3", "run2")):
        store.jobs.open(key, "periodic", NOW)
    store.jobs.open(JobKey("u4", "run3"), "rollup_build", NOW)
    store.jobs.close(JobKey("u3", "run2"), "completed", NOW)
    store.jobs.close(together[0], "completed", NOW)
    assert store.jobs.syncing_together() == {"u1", "u2"}
    store.jobs.close(together[1], "completed", NOW)
    assert store.jobs.syncing_together() == set()


def test_a_job_that_was_opened_this_moment_is_not_silent_and_one_of_long_ago_is(store: Store) -> None:
    for number, age in enumerate((timedelta(0), SILENT_AFTER + timedelta(seconds=2))):
        opened = SyncJob(user_id="u", status="running", dagster_run_id=f"run{number}").to_bson()
        store.db["sync_jobs"].insert_one({"_id": ObjectId.from_datetime(utc_now() - age), **opened})
    assert store.jobs.silent_runs() == {"run1"}


def test_a_run_that_gives_no_sign_of_life_is_silent(store: Store) -> None:
    store.jobs.open(KEY, "periodic", NOW)
    assert store.jobs.silent_runs() == set()
    long_ago = utc_now() - SILENT_AFTER - timedelta(seconds=1)
    store.db["sync_jobs"].update_many({}, {"$set": {"heartbeat_at": long_ago}})
    assert store.jobs.silent_runs() == {KEY.dagster_run_id}
    store.jobs.beat(KEY.dagster_run_id)
    assert store.jobs.silent_runs() == set()
    store.db["sync_jobs"].update_many({}, {"$set": {"heartbeat_at": long_ago}})
    store.jobs.append_step(KEY, step("a"))
    assert store.jobs.silent_runs() == set()
    store.db["sync_jobs"].update_many({}, {"$set": {"heartbeat_at": long_ago}})
    store.jobs.close(KEY, "completed", NOW)
    assert store.jobs.silent_runs() == set()


def test_what_a_run_wrote_wrong_fails_the_completed_jobs_of_those_users_only(store: Store) -> None:
    users = [JobKey(f"u{number}", "run1") for number in range(3)]
    for key in (*users, JobKey("u0", "run2")):
        store.jobs.open(key, "periodic", NOW)
    for key in (*users[:2], JobKey("u0", "run2")):
        store.jobs.close(key, "completed", NOW)
    store.condemn_run("run1", ["u0"], NOW + timedelta(1), "wrong")
    jobs = {job.user_id: (job.status, job.error_message) for job in store.jobs.of_run("run1")}
    assert jobs == {"u0": ("failed", "wrong"), "u1": ("completed", ""), "u2": ("failed", "wrong")}
    assert store.jobs.of_run("run2")[0].status == "completed"


def recorded(
    store: Store, days_ago: int, status: JobStatus = "completed", kind: JobType = "periodic", **of: str
) -> str:
    """Store a job of `u1` that was created some days ago. Return its run."""
    run_id = f"{kind}-{status}-{days_ago}"
    fields = {"user_id": "u1", "dagster_run_id": run_id, **of}
    job = SyncJob(job_type=kind, status=status, created_at=NOW - timedelta(days=days_ago), **fields)
    store.db["sync_jobs"].insert_one(job.to_bson())
    return str(fields["dagster_run_id"])


def runs_left(store: Store) -> set[str]:
    return set(store.db["sync_jobs"].distinct("dagster_run_id"))


def test_old_jobs_go_and_of_each_user_and_kind_the_newest_and_the_newest_completed_stay(store: Store) -> None:
    gone = {recorded(store, days) for days in (40, 30)} | {recorded(store, 35, "failed")}
    stays = {recorded(store, 20), recorded(store, 19, "failed"), recorded(store, 20, kind="rollup_build")}
    stays |= {recorded(store, 50, "running"), recorded(store, 51, "pending")}
    stays |= {recorded(store, days, kind="import") for days in (60, 70)}
    stays |= {
        recorded(store, 80, user_id="another", dagster_run_id="another's"),
        recorded(store, 90, dagster_run_id=""),
    }
    assert store.jobs.forget(["u1"], NOW - timedelta(days=14)) == len(gone)
    assert runs_left(store) == stays
    assert store.jobs.forget(["u1", "another"], NOW - timedelta(days=14)) == 0


def test_where_younger_jobs_are_every_old_one_goes_and_the_young_stay(store: Store) -> None:
    for days in (15, 16):
        recorded(store, days)
    young = {recorded(store, 0), recorded(store, 14), recorded(store, 13, "failed")}
    assert store.jobs.forget(["u1"], NOW - timedelta(days=14)) == 2
    assert runs_left(store) == young


def test_one_night_deletes_the_oldest_jobs_and_the_next_ones_go_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync_jobs, "FORGOTTEN_AT_ONCE", 2)
    runs = [recorded(store, days) for days in (44, 43, 42, 41, 40)]
    left = []
    for _ in range(3):
        store.jobs.forget(["u1"], NOW - timedelta(days=14))
        left.append(runs_left(store))
    assert left == [set(runs[2:]), set(runs[4:]), set(runs[4:])]


def test_the_jobs_to_delete_are_found_with_an_index(store: Store) -> None:
    for days in range(20, 40):
        recorded(store, days)
    with profiled(store.db) as operations:
        store.jobs.forget(["u1"], NOW - timedelta(days=14))
    assert [each.collection for each in operations] == ["sync_jobs"] * 6, "four for one kind"
    assert not [each for each in operations if each.scans]
