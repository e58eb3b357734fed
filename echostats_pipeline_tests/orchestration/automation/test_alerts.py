"""From a failed run, a failed check or a user in trouble to one notice, and one more when it is over."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from bson.json_util import dumps

from echostats_pipeline.accounts.consent import CONSENT_LIFE
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.automation.alerts import (
    check_alerts,
    incident_notices,
    run_failure_alerts,
    user_alerts,
    user_of,
)
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.orchestration.tags import USER_TAG
from echostats_pipeline.settings import load_settings
from echostats_pipeline_tests.conftest import NOW, Pipeline, documents
from echostats_pipeline_tests.fake_receivers import Webhook, listening

CANARY = "canary-S3cret-0123456789"


class Verdict(dg.Config):
    passed: bool = True


@dg.asset
def numbers() -> None:
    pass


@dg.asset_check(asset=numbers, description="Sums agree.")
def sums_agree(config: Verdict) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=config.passed, description=f"Off by 7, token={CANARY}", metadata={"off": 7})


@dg.asset_check(asset=numbers)
def other_check() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


def connect() -> None:
    raise ConnectionError(f"mongodb://me:{CANARY}@db refused")


@dg.op
def broken() -> None:
    try:
        connect()
    except ConnectionError as error:
        raise ValueError("wrapped") from error


@dg.job
def breaking() -> None:
    broken()


CHECKED = dg.Definitions(assets=[numbers], asset_checks=[sums_agree])


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with listening(Webhook()) as server:
        yield server


def address(webhook: Webhook) -> str:
    return f"json://me:{CANARY}@127.0.0.1:{webhook.port}/"


def telling(pipeline: Pipeline, *webhooks: Webhook) -> Pipeline:
    """The pipeline with its notices going to the webhooks."""
    environ = {**pipeline.installation.environ, "ECHOSTATS_ALERTS": " ".join(map(address, webhooks))}
    installation = replace(pipeline.installation, environ=environ, settings=load_settings(environ, env_file=None))
    return Pipeline(installation, pipeline.instance)


@pytest.fixture
def alerted(pipeline: Pipeline, webhook: Webhook) -> Pipeline:
    return telling(pipeline, webhook)


def tick(pipeline: Pipeline, sensor: dg.SensorDefinition, definitions: dg.Definitions | None = None) -> str:
    """The message of one evaluation of a sensor."""
    with dg.build_sensor_context(
        instance=pipeline.instance, resources=pipeline.resources(), definitions=definitions
    ) as context:
        answer = sensor(context)
    assert isinstance(answer, dg.SkipReason)
    return answer.skip_message or ""


def told_of(pipeline: Pipeline, run_id: str) -> None:
    """The run-failure sensor sees a run that has ended."""
    run = pipeline.instance.get_run_by_id(run_id)
    assert run is not None
    event = dg.DagsterEvent(event_type_value="PIPELINE_FAILURE", job_name=run.job_name, message="Steps failed")
    with dg.build_run_status_sensor_context(
        sensor_name="run_failure_alerts",
        dagster_instance=pipeline.instance,
        dagster_run=run,
        dagster_event=event,
        resources=pipeline.resources(),
    ) as context:
        assert run_failure_alerts(context.for_run_failure()) is None


def sync(pipeline: Pipeline, user: User) -> str:
    tags = {USER_TAG: user.partition_key, **range_tags(NOW.date(), NOW.date(), user.partition_key)}
    return pipeline.run("user_sync", tags=tags).run_id


def check(pipeline: Pipeline, *, passed: bool) -> None:
    time.sleep(0.01)  # evaluations differ by the millisecond
    job = CHECKED.resolve_implicit_global_asset_job_def()
    config: Any = {"ops": {"numbers_sums_agree": {"config": {"passed": passed}}}}
    assert job.execute_in_process(instance=pipeline.instance, run_config=config).success


def test_a_failed_run_is_told_once_with_its_cause_and_once_when_it_works_again(
    alerted: Pipeline, webhook: Webhook
) -> None:
    user, store = alerted.connect(), alerted.store
    environ = {**alerted.installation.environ, "ECHOSTATS_UI_URL": "http://127.0.0.1:3000"}
    alerted = replace(alerted, installation=replace(alerted.installation, environ=environ))
    broken = replace(alerted.installation, environ={**environ, "ENCRYPTION_KEY": "ab" * 32})
    runs = [sync(Pipeline(broken, alerted.instance), user) for _ in range(2)]
    for run_id in runs:
        told_of(alerted, run_id)
        tick(alerted, incident_notices)
    ((_, notice),) = webhook.posts
    assert notice["title"] == f"user_sync failed for {user.partition_key}"
    lines = notice["message"].splitlines()
    assert lines[0].startswith("DecryptionError: ")
    for part in ("echostats keys status", user.partition_key, f"http://127.0.0.1:3000/runs/{runs[0]}"):
        assert part in notice["message"]
    (incident,) = store.incidents.open()
    assert (incident.count, incident.user_id) == (2, user.user_id)
    sync(alerted, user)
    for _ in range(2):
        tick(alerted, incident_notices)
    assert [body["title"] for body in webhook.bodies()[1:]] == [f"Resolved: {notice['title']}"]
    assert store.incidents.open() == []


def test_the_innermost_cause_is_told_and_no_secret(
    alerted: Pipeline, webhook: Webhook, capfd: pytest.CaptureFixture[str]
) -> None:
    run = breaking.execute_in_process(instance=alerted.instance, raise_on_error=False)
    capfd.readouterr()  # Dagster's own output of the run does not count
    told_of(alerted, run.run_id)
    tick(alerted, incident_notices)
    (notice,) = webhook.bodies()
    assert notice["message"].splitlines()[0] == "ConnectionError: mongodb://•••@db refused"
    printed = capfd.readouterr()
    stored = dumps(documents(alerted.store.db, "incidents"))
    assert CANARY not in dumps(webhook.posts) + stored + printed.out + printed.err


def test_a_webhook_that_is_down_fails_nothing_and_is_tried_again_later(
    alerted: Pipeline, webhook: Webhook, capfd: pytest.CaptureFixture[str]
) -> None:
    run = breaking.execute_in_process(instance=alerted.instance, raise_on_error=False)
    capfd.readouterr()
    told_of(alerted, run.run_id)
    webhook.status = 503
    assert "0 of 1" in tick(alerted, incident_notices)
    assert tick(alerted, incident_notices) == "No notice to send"
    alerted.installation.clock.advance(timedelta(minutes=2))
    webhook.status = 200
    assert "1 of 1" in tick(alerted, incident_notices)
    assert tick(alerted, incident_notices) == "No notice to send"
    assert len(webhook.posts) == 2
    printed = capfd.readouterr()
    assert "503" in printed.out + printed.err
    assert CANARY not in printed.out + printed.err


def test_only_those_who_were_not_reached_are_tried_again(pipeline: Pipeline, webhook: Webhook) -> None:
    run = breaking.execute_in_process(instance=pipeline.instance, raise_on_error=False)
    with listening(Webhook()) as other:
        both = telling(pipeline, webhook, other)
        told_of(both, run.run_id)
        other.status = 500
        assert "1 of 2" in tick(both, incident_notices)
        other.status = 200
        both.installation.clock.advance(timedelta(minutes=2))
        assert "2 of 2" in tick(both, incident_notices)
        assert (len(webhook.posts), len(other.posts)) == (1, 2)


def test_a_check_that_is_no_more_leaves_no_incident(alerted: Pipeline, webhook: Webhook) -> None:
    check(alerted, passed=False)
    tick(alerted, check_alerts, CHECKED)
    tick(alerted, incident_notices)
    renamed = dg.Definitions(assets=[numbers], asset_checks=[other_check])
    tick(alerted, check_alerts, renamed)
    tick(alerted, incident_notices)
    assert alerted.store.incidents.open() == []
    assert len(webhook.posts) == 1


def test_without_an_address_incidents_are_recorded_all_the_same(pipeline: Pipeline) -> None:
    run = breaking.execute_in_process(instance=pipeline.instance, raise_on_error=False)
    told_of(pipeline, run.run_id)
    assert "incidents: 1" in tick(pipeline, incident_notices)


def test_a_failed_check_is_told_once_until_it_passes(alerted: Pipeline, webhook: Webhook) -> None:
    check(alerted, passed=True)
    assert "1 checks" in tick(alerted, check_alerts, CHECKED)
    for _ in range(2):
        check(alerted, passed=False)
        tick(alerted, check_alerts, CHECKED)
        tick(alerted, incident_notices)
    (notice,) = webhook.bodies()
    assert notice["title"] == "Check sums_agree of numbers failed"
    assert notice["message"].splitlines()[0] == "Off by 7, token=•••"
    assert CANARY not in dumps(documents(alerted.store.db, "incidents"))
    check(alerted, passed=True)
    for _ in range(2):
        tick(alerted, check_alerts, CHECKED)
        tick(alerted, incident_notices)
    assert [body["title"] for body in webhook.bodies()[1:]] == [f"Resolved: {notice['title']}"]


def test_a_user_who_has_to_connect_again_is_one_incident_whoever_sees_it_first(
    alerted: Pipeline, webhook: Webhook
) -> None:
    user = alerted.connect()
    alerted.installation.clock.advance(timedelta(hours=2))
    alerted.installation.simulator.tokens.revoke(user.spotify_id)
    run_id = sync(alerted, user)
    assert alerted.store.users.find(user.partition_key).status == "needs_reauth"
    told_of(alerted, run_id)
    assert user.partition_key in tick(alerted, user_alerts)
    tick(alerted, incident_notices)
    (notice,) = webhook.bodies()
    assert "connect again" in notice["title"]
    assert run_id in notice["message"]
    alerted.installation.connect()
    assert tick(alerted, user_alerts) == "Every user is well"
    tick(alerted, incident_notices)
    assert [body["title"] for body in webhook.bodies()[1:]] == [f"Resolved: {notice['title']}"]


def test_the_end_of_a_consent_is_told_30_and_7_days_ahead(alerted: Pipeline, webhook: Webhook) -> None:
    user = alerted.connect()
    for days in (40, 30, 29, 8, 7, 6):
        authorized_at = NOW - CONSENT_LIFE + timedelta(days=days)
        alerted.store.db["users"].update_one({"_id": user.id}, {"$set": {"authorized_at": authorized_at}})
        tick(alerted, user_alerts)
        tick(alerted, incident_notices)
    assert [body["message"].split(" days")[0][-2:].strip() for body in webhook.bodies()] == ["30", "7"]


@pytest.mark.parametrize(
    ("tags", "key"),
    [
        ({}, ""),
        ({USER_TAG: "ann"}, "ann"),
        ({"dagster/partition": "ann"}, "ann"),
        ({"dagster/partition": "2025-06-15|ann"}, "ann"),
        (range_tags(NOW.date(), NOW.date(), "ann"), "ann"),
        (range_tags(NOW.date(), NOW.date(), "ann", "bob"), "ann..bob"),
    ],
)
def test_whose_a_run_is_can_be_told_from_its_tags(tags: dict[str, str], key: str) -> None:
    assert user_of(dg.DagsterRun(job_name="user_sync", tags=tags)) == key
