"""Sensors and schedules, each evaluated once against a real database and an ephemeral instance."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.catalog import Track
from echostats_pipeline.orchestration.automation.run_ends import canceled_runs, dead_runs, failed_runs
from echostats_pipeline.orchestration.automation.run_requests import FIRST_SYNC_DAYS
from echostats_pipeline.orchestration.automation.schedules import daily_close, daily_library
from echostats_pipeline.orchestration.automation.sensors import (
    fan_out_sensor,
    incomplete_catalog,
    stale_rollups,
    stale_snapshots,
    sync_sensor,
    sync_sensors,
    user_roster,
)
from echostats_pipeline.orchestration.instance.sensor_roster import Roster
from echostats_pipeline.orchestration.partitions import RANGE_START, range_tags
from echostats_pipeline.orchestration.tags import USER_TAG
from echostats_pipeline.settings import Settings, SyncSensors
from echostats_pipeline.storage.leases import Lease
from echostats_pipeline.storage.sync_jobs import JobKey
from echostats_pipeline_tests.conftest import NOW, InstalledStoreResource, Pipeline

TODAY = NOW.date()


def tick(
    pipeline: Pipeline,
    sensor: dg.SensorDefinition,
    *,
    roster: Sequence[str] = (),
    cursor: str | None = None,
    began: date | None = None,
) -> Any:
    """The result of one evaluation of a sensor, while these users have a sensor and days begin at `began`."""
    definitions = build_definitions(pipeline.resources(), roster=roster, first=began)
    with dg.build_sensor_context(
        instance=pipeline.instance, resources=pipeline.resources(), definitions=definitions, cursor=cursor
    ) as context:
        return sensor(context)


def start_run(pipeline: Pipeline, job: str, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
    run = dg.DagsterRun(job_name=job, status=status, tags=tags)
    return pipeline.instance.add_run(run)


def end_well(pipeline: Pipeline, run: dg.DagsterRun) -> None:
    event = dg.DagsterEvent(event_type_value="PIPELINE_SUCCESS", job_name=run.job_name)
    pipeline.instance.report_dagster_event(event, run.run_id)


@pytest.fixture
def open_job(pipeline: Pipeline) -> str:
    run = start_run(pipeline, "user_sync", dg.DagsterRunStatus.FAILURE)
    pipeline.store.jobs.open(JobKey("u", run.run_id), "periodic", NOW)
    return run.run_id


@pytest.fixture
def reloads(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The reloads of the code that were asked for; none takes place."""
    asked: list[object] = []
    monkeypatch.setattr(
        "echostats_pipeline.orchestration.automation.sensors.reload_code_location", lambda *how: asked.append(how)
    )
    return asked


def test_a_user_is_synced_from_the_last_sync_to_today(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    pipeline.store.users.synced(user.user_id, NOW - timedelta(days=2))
    request = tick(pipeline, sync_sensor(user.partition_key, 15))
    assert isinstance(request, dg.RunRequest)
    wanted = {USER_TAG: user.partition_key, **range_tags(TODAY - timedelta(days=2), TODAY, user.partition_key)}
    assert request.tags.items() >= wanted.items()


def test_a_user_is_synced_although_the_roster_has_not_given_them_a_partition_yet(pipeline: Pipeline) -> None:
    user = pipeline.installation.connect()
    request = tick(pipeline, sync_sensor(user.partition_key, 15))
    assert isinstance(request, dg.RunRequest)
    assert pipeline.instance.get_dynamic_partitions("users") == [user.partition_key]


@pytest.mark.parametrize("status", ["paused", "needs_reauth"])
def test_a_user_who_is_not_active_is_not_synced(pipeline: Pipeline, status: Any) -> None:
    user = pipeline.connect()
    pipeline.store.users.set_status(user.user_id, status)
    skipped = tick(pipeline, sync_sensor(user.partition_key, 15))
    assert isinstance(skipped, dg.SkipReason)
    assert status in str(skipped.skip_message)


@pytest.mark.parametrize(
    "status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
)
def test_a_user_whose_sync_is_not_finished_is_not_asked_for_again(
    pipeline: Pipeline, status: dg.DagsterRunStatus
) -> None:
    users = [pipeline.connect(number) for number in range(2)]
    start_run(pipeline, "user_sync", status, **{USER_TAG: users[0].partition_key})
    assert isinstance(tick(pipeline, sync_sensor(users[0].partition_key, 15)), dg.SkipReason)
    assert isinstance(tick(pipeline, sync_sensor(users[1].partition_key, 15)), dg.RunRequest)


def test_the_roster_gives_every_user_a_partition_and_a_sensor(pipeline: Pipeline, reloads: list[object]) -> None:
    users = [pipeline.installation.connect(number) for number in range(2)]
    keys = [user.partition_key for user in users]
    result = tick(pipeline, user_roster)
    (request,) = result.dynamic_partitions_requests
    assert (request.partitions_def_name, list(request.partition_keys)) == ("users", keys)
    assert Roster(pipeline.installation.settings.home).read() == keys
    assert len(reloads) == 1
    pipeline.instance.add_dynamic_partitions("users", keys)
    again = tick(pipeline, user_roster, roster=keys)
    assert not again.dynamic_partitions_requests
    assert len(reloads) == 1


def test_the_code_is_reloaded_until_every_user_has_a_sensor(pipeline: Pipeline, reloads: list[object]) -> None:
    key = pipeline.connect().partition_key
    cursor = tick(pipeline, user_roster).cursor
    assert len(reloads) == 1
    waits = tick(pipeline, user_roster, cursor=cursor)
    assert len(reloads) == 1, "the first may still be under way"
    assert f"sync_{key.replace('-', '_')}" in str(waits.skip_reason.skip_message)
    pipeline.installation.clock.advance(timedelta(minutes=2))
    cursor = tick(pipeline, user_roster, cursor=cursor).cursor
    assert len(reloads) == 2, "the first did not help"
    pipeline.installation.clock.advance(timedelta(minutes=2))
    tick(pipeline, user_roster, roster=[key], cursor=cursor)
    assert len(reloads) == 2


def test_the_code_is_reloaded_until_it_has_the_day_of_the_first_play(pipeline: Pipeline, reloads: list[object]) -> None:
    key, cursor = pipeline.connect().partition_key, None
    for expected in (1, 1, 2):  # the reload of the first tick is lost, as while the UI starts
        result = tick(pipeline, user_roster, roster=[key], cursor=cursor, began=TODAY)
        assert len(reloads) == expected
        assert "the days since" in str(result.skip_reason.skip_message)
        pipeline.installation.clock.advance(timedelta(seconds=40))
        cursor = result.cursor
    pipeline.installation.clock.advance(timedelta(minutes=2))
    tick(pipeline, user_roster, roster=[key], cursor=cursor)
    assert len(reloads) == 2


def test_a_webserver_that_is_gone_is_no_reason_to_fail(pipeline: Pipeline) -> None:
    pipeline.installation.connect()
    environ = {**pipeline.installation.environ, "ECHOSTATS_UI_URL": "http://127.0.0.1:1"}
    tick(replace(pipeline, installation=replace(pipeline.installation, environ=environ)), user_roster)
    assert len(Roster(pipeline.installation.settings.home).read()) == 1


def test_days_that_wait_are_asked_for_in_one_range(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    assert isinstance(tick(pipeline, stale_rollups), dg.SkipReason)
    days = [TODAY - timedelta(days=5), TODAY - timedelta(days=1)]
    pipeline.store.marks.ask(user.user_id, "daily_rollups", [str(day) for day in days])
    (request,) = tick(pipeline, stale_rollups)
    assert request.tags.items() >= range_tags(days[0], days[1], user.partition_key).items()
    pipeline.store.jobs.open(JobKey(user.user_id, "running"), "periodic", NOW)
    assert isinstance(tick(pipeline, stale_rollups), dg.SkipReason)


def test_what_the_sensors_ask_for_does_away_with_the_reason(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    sync = tick(pipeline, sync_sensor(user.partition_key, 15))
    assert pipeline.run("user_sync", tags=sync.tags).success
    assert isinstance(tick(pipeline, stale_rollups), dg.SkipReason)
    (snapshots,) = tick(pipeline, stale_snapshots)
    assert pipeline.run("snapshot_build", partition_key=snapshots.partition_key, tags=snapshots.tags).success
    assert isinstance(tick(pipeline, stale_snapshots), dg.SkipReason)
    assert isinstance(tick(pipeline, incomplete_catalog), dg.RunRequest)
    assert pipeline.run("catalog_enrichment").success
    assert isinstance(tick(pipeline, incomplete_catalog), dg.SkipReason)


def test_snapshots_are_rebuilt_when_a_new_day_has_begun(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    assert pipeline.run("snapshot_build", partition_key=user.partition_key).success
    assert isinstance(tick(pipeline, stale_snapshots), dg.SkipReason)
    pipeline.installation.clock.advance(timedelta(hours=10, minutes=1))  # past midnight in Berlin, not yet in UTC
    (request,) = tick(pipeline, stale_snapshots)
    assert request.partition_key == user.partition_key


def test_snapshots_that_count_ids_are_rebuilt_where_songs_should_be_counted(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    assert pipeline.run("snapshot_build", partition_key=user.partition_key).success
    assert isinstance(tick(pipeline, stale_snapshots), dg.SkipReason)
    pipeline.store.db["analytics_snapshots"].update_many({}, {"$set": {"counts_songs": False}})
    (request,) = tick(pipeline, stale_snapshots)
    assert pipeline.run("snapshot_build", partition_key=request.partition_key, tags=request.tags).success
    assert isinstance(tick(pipeline, stale_snapshots), dg.SkipReason)


def test_snapshots_of_those_who_are_synced_in_one_run_wait_for_its_end(pipeline: Pipeline) -> None:
    users = [pipeline.connect(number) for number in range(2)]
    jobs = [JobKey(user.user_id, "run") for user in users]
    for user, job in zip(users, jobs, strict=True):
        pipeline.store.jobs.open(job, "periodic", NOW)
        pipeline.store.marks.ask(user.user_id, "analytics_snapshots")
    pipeline.store.jobs.close(jobs[0], "completed", NOW)
    assert isinstance(tick(pipeline, stale_snapshots), dg.SkipReason)
    pipeline.store.jobs.close(jobs[1], "completed", NOW)
    asked = tick(pipeline, stale_snapshots)
    assert [request.partition_key for request in asked] == [user.partition_key for user in users]


def test_snapshots_of_many_wait_two_minutes_for_an_enrichment(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.store.marks.ask(pipeline.connect().user_id, "analytics_snapshots")
    start_run(pipeline, "catalog_enrichment", dg.DagsterRunStatus.STARTED)
    assert len(tick(pipeline, stale_snapshots)) == 1
    monkeypatch.setattr("echostats_pipeline.orchestration.automation.sensors.MANY_SNAPSHOTS", 1)
    assert isinstance(tick(pipeline, stale_snapshots), dg.SkipReason)
    waits = NOW.timestamp()
    assert isinstance(tick(pipeline, stale_snapshots, cursor=str(waits - 119)), dg.SkipReason)
    assert len(tick(pipeline, stale_snapshots, cursor=str(waits - 120))) == 1


def test_the_catalogue_is_completed_by_one_run_at_a_time(pipeline: Pipeline) -> None:
    pipeline.connect()
    pipeline.store.catalog.add_stubs("tracks", [Track(spotify_id="4uLU6hMCjMI75M1A2tKUQC", name="")])
    assert isinstance(tick(pipeline, incomplete_catalog), dg.RunRequest)
    start_run(pipeline, "catalog_enrichment", dg.DagsterRunStatus.STARTING)
    assert isinstance(tick(pipeline, incomplete_catalog), dg.SkipReason)


def test_a_failed_run_closes_its_jobs(pipeline: Pipeline, open_job: str) -> None:
    run = pipeline.instance.get_run_by_id(open_job)
    assert run is not None
    event = dg.DagsterEvent(event_type_value="PIPELINE_FAILURE", job_name="user_sync", message="The worker was killed")
    context = dg.build_run_status_sensor_context(
        sensor_name="failed_runs",
        dagster_instance=pipeline.instance,
        dagster_run=run,
        dagster_event=event,
        resources=pipeline.resources(),
    )
    with context:
        failed_runs(context.for_run_failure())
    (job,) = pipeline.store.jobs.of_run(open_job)
    assert (job.status, job.error_message, job.completed_at) == ("failed", "The worker was killed", NOW)


def test_a_canceled_run_closes_its_jobs(pipeline: Pipeline, open_job: str) -> None:
    run = pipeline.instance.get_run_by_id(open_job)
    assert run is not None
    event = dg.DagsterEvent(event_type_value="PIPELINE_CANCELED", job_name="user_sync")
    with dg.build_run_status_sensor_context(
        sensor_name="canceled_runs",
        dagster_instance=pipeline.instance,
        dagster_run=run,
        dagster_event=event,
        resources=pipeline.resources(),
    ) as context:
        canceled_runs(context)
    (job,) = pipeline.store.jobs.of_run(open_job)
    assert (job.status, "canceled" in job.error_message) == ("failed", True)


def test_a_job_of_a_run_that_has_ended_is_swept_and_one_that_runs_is_not(pipeline: Pipeline, open_job: str) -> None:
    running = start_run(pipeline, "user_sync", dg.DagsterRunStatus.STARTED)
    pipeline.store.jobs.open(JobKey("u", running.run_id), "periodic", NOW)
    pipeline.store.jobs.open(JobKey("u", "unknown"), "periodic", NOW)
    tick(pipeline, dead_runs)
    assert set(pipeline.store.jobs.open_runs()) == {running.run_id, "unknown"}, "another instance may know the other"
    (job,) = pipeline.store.jobs.of_run(open_job)
    assert "FAILURE" in job.error_message


def test_many_users_are_synced_in_few_runs_each_once(pipeline: Pipeline) -> None:
    users = [pipeline.connect(number) for number in range(2)]
    (request,) = tick(pipeline, fan_out_sensor(15, 50))
    first = TODAY - timedelta(days=FIRST_SYNC_DAYS - 1)
    assert request.tags.items() >= range_tags(first, TODAY, *(user.partition_key for user in users)).items()
    assert pipeline.run("user_sync", tags=request.tags).success
    assert {user.last_synced_at for user in pipeline.store.users.all()} == {NOW}
    assert pipeline.store.jobs.busy_users() == set()


def test_users_whose_run_has_not_ended_paused_ones_and_new_ones_are_left_out_of_the_batches(pipeline: Pipeline) -> None:
    users = [pipeline.connect(number) for number in range(2)]
    start_run(
        pipeline,
        "user_sync",
        dg.DagsterRunStatus.STARTED,
        **range_tags(TODAY, TODAY, users[0].partition_key),
    )
    (request,) = tick(pipeline, fan_out_sensor(15, 50))
    assert request.tags[RANGE_START].endswith(users[1].partition_key)
    pipeline.store.users.set_status(users[1].user_id, "paused")
    assert isinstance(tick(pipeline, fan_out_sensor(15, 50)), dg.SkipReason)
    pipeline.store.users.set_status(users[1].user_id, "active")
    pipeline.instance.delete_dynamic_partition("users", users[1].partition_key)
    assert isinstance(tick(pipeline, fan_out_sensor(15, 50)), dg.SkipReason)


def test_everybody_of_an_unfinished_batch_rests(pipeline: Pipeline) -> None:
    users = [pipeline.connect(number) for number in range(2)]
    batch = range_tags(TODAY, TODAY, *(user.partition_key for user in users))
    start_run(pipeline, "user_sync", dg.DagsterRunStatus.STARTING, **batch)
    assert isinstance(tick(pipeline, fan_out_sensor(15, 50)), dg.SkipReason)


def test_of_a_users_runs_the_newest_says_whether_they_rest(pipeline: Pipeline) -> None:
    users = [pipeline.connect(number) for number in range(2)]
    failed, succeeded = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS
    for user, ends in zip(users, ((failed, succeeded), (succeeded, failed)), strict=True):
        for status in ends:
            day = range_tags(TODAY, TODAY, user.partition_key)
            run = start_run(pipeline, "user_sync", dg.DagsterRunStatus.STARTED, **day)
            pipeline.instance.report_run_failed(run) if status == failed else end_well(pipeline, run)
    (request,) = tick(pipeline, fan_out_sensor(15, 50))
    assert request.tags[USER_TAG] == users[0].partition_key


def test_the_settings_or_the_number_of_users_say_who_gets_a_sensor() -> None:
    def sensors(users: int, mode: SyncSensors) -> set[str]:
        settings = Settings(home=Path(), sensors=mode)
        return {each.name for each in sync_sensors([f"u-{number:06}" for number in range(users)], settings)}

    assert sensors(2, "auto") == sensors(2, "per_user") == {"sync_u_000000", "sync_u_000001"}
    assert len(sensors(200, "auto")) == 200
    assert sensors(201, "auto") == sensors(2, "fanout") == {"sync_everybody"}
    assert len(sensors(201, "per_user")) == 201


def test_a_run_that_gives_no_sign_of_life_is_failed_in_dagster_too(pipeline: Pipeline) -> None:
    runs = [start_run(pipeline, "user_sync", dg.DagsterRunStatus.STARTED) for _ in range(2)]
    for run in runs:
        pipeline.store.jobs.open(JobKey("u", run.run_id), "periodic", NOW)
    lease = Lease("u", "history", runs[0].run_id)
    pipeline.store.leases.take(lease)
    pipeline.store.db["sync_jobs"].update_one(
        {"dagster_run_id": runs[0].run_id}, {"$set": {"heartbeat_at": utc_now() - timedelta(minutes=5)}}
    )
    tick(pipeline, dead_runs)
    dead, alive = (pipeline.instance.get_run_by_id(run.run_id) for run in runs)
    assert dead is not None
    assert alive is not None
    assert (dead.status, alive.status) == (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED)
    (job,) = pipeline.store.jobs.of_run(runs[0].run_id)
    assert (job.status, "sign of life" in job.error_message) == ("failed", True)
    assert pipeline.store.leases.holder(lease) == ""


@pytest.mark.parametrize("mode", ["per_user", "fanout"])
def test_the_schedules_ask_for_everybody_or_for_many_in_a_run(
    pipeline: Pipeline, tmp_path: Path, mode: SyncSensors
) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as stored:  # schedules are not given one in memory
        on_disk = replace(pipeline, instance=stored)
        users = [on_disk.connect(number) for number in range(2)]
        environ = {**pipeline.installation.environ, "ECHOSTATS_SENSORS": mode}
        resources = {**pipeline.resources(), "store": InstalledStoreResource(environ=environ)}

        def asked(schedule: dg.ScheduleDefinition) -> list[dg.RunRequest]:
            with dg.build_schedule_context(instance=stored, resources=resources) as context:
                requests = schedule(context)
            assert isinstance(requests, list)
            return requests

        expected = 1 if mode == "fanout" else 2
        closing, library = asked(daily_close), asked(daily_library)
        assert (len(closing), len(library)) == (expected, expected)
        for request in closing:
            assert on_disk.run("rollup_build", tags=request.tags).success
        assert on_disk.run("library_sync", partition_key=library[0].partition_key, tags=library[0].tags).success
        pipeline.store.users.set_status(users[1].user_id, "paused")
        (library_of_active,) = asked(daily_library)
        assert library_of_active.partition_key == users[0].partition_key
