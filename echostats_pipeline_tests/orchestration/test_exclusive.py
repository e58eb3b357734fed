"""Two runs of one user at once, and failures that are worth another attempt."""

from pathlib import Path

import pytest

from echostats_pipeline.model.operations import LeaseScope
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.orchestration.runs import HISTORY, RETRY_TAG, WHOLE_HISTORY
from echostats_pipeline.storage.leases import Lease
from echostats_pipeline_tests.conftest import NOW, Pipeline

TODAY = NOW.date()


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for rule in (HISTORY, WHOLE_HISTORY):
        monkeypatch.setitem(vars(rule), "patience_s", 0)


def held_by_another(pipeline: Pipeline, user: User, scope: LeaseScope = "history") -> Lease:
    lease = Lease(user.user_id, scope, "the-other-run")
    assert pipeline.store.leases.take(lease)
    return lease


def import_config(path: Path) -> dict[str, object]:
    return {"ops": {"streaming_history_import": {"config": {"paths": [str(path)]}}}}


def test_a_sync_leaves_the_history_to_the_run_that_is_changing_it(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    tags = range_tags(TODAY, TODAY, user.partition_key)
    lease = held_by_another(pipeline, user)
    left = pipeline.run("user_sync", tags=tags)
    assert left.success
    (job,) = pipeline.store.jobs.of_run(left.run_id)
    assert job.status == "completed"
    assert [(step.action, step.status) for step in job.steps] == [
        ("recently_played", "pending"),
        ("listening_history", "pending"),
        ("daily_rollups", "completed"),
    ]
    assert "the-other-run" in job.steps[0].detail
    assert pipeline.store.users.find(user.partition_key).last_synced_at is None, "no user was synced"
    assert pipeline.store.db["listening_history"].count_documents({}) == 0

    pipeline.store.leases.release(lease)
    assert pipeline.run("user_sync", tags=tags).success
    assert pipeline.store.users.find(user.partition_key).last_synced_at == NOW
    assert pipeline.store.db["listening_history"].count_documents({}) == 50
    assert pipeline.store.db["user_leases"].count_documents({}) == 0


def test_another_users_sync_and_another_scope_are_no_obstacle(pipeline: Pipeline) -> None:
    ann, bob = (pipeline.connect(number) for number in range(2))
    held_by_another(pipeline, bob)
    held_by_another(pipeline, ann, "library")
    assert pipeline.run("user_sync", tags=range_tags(TODAY, TODAY, ann.partition_key, bob.partition_key)).success
    assert pipeline.store.users.find(ann.partition_key).last_synced_at == NOW
    assert pipeline.store.users.find(bob.partition_key).last_synced_at is None


def test_an_import_that_cannot_begin_fails_and_is_worth_another_attempt(pipeline: Pipeline, tmp_path: Path) -> None:
    user = pipeline.connect()
    lease = held_by_another(pipeline, user)
    export = tmp_path / "Streaming_History_Audio_2024_0.json"
    export.write_text("[]")
    arguments = {"partition_key": user.partition_key, "run_config": import_config(export)}
    result = pipeline.run("history_import", **arguments)
    assert not result.success
    (job,) = pipeline.store.jobs.of_run(result.run_id)
    assert (job.status, "the-other-run" in job.error_message) == ("failed", True)
    run = pipeline.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags[RETRY_TAG] == "true"
    pipeline.store.leases.release(lease)
    assert pipeline.run("history_import", **arguments).success


def test_a_failure_that_stays_is_not_tried_again(pipeline: Pipeline, tmp_path: Path) -> None:
    user = pipeline.connect()
    no_export = tmp_path / "shopping.json"
    no_export.write_text('{"milk": 2}')
    result = pipeline.run("history_import", partition_key=user.partition_key, run_config=import_config(no_export))
    assert not result.success
    run = pipeline.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags[RETRY_TAG] == "false"
    assert pipeline.store.db["user_leases"].count_documents({}) == 0
