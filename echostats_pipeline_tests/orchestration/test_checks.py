"""Asset checks in runs: what they stop, the jobs afterwards, the users they examine, and the nightly audit."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from rich.console import Console

from echostats_pipeline.cli.instance import RunFailedError, Runner
from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.model.plays import Play, TrackSnapshot
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.automation.schedules import nightly_audit
from echostats_pipeline.orchestration.checks import BLOCKING, CHECKS
from echostats_pipeline.orchestration.partitions import day_partition, range_tags
from echostats_pipeline.storage.statistics import StatisticsStore
from echostats_pipeline_tests.conftest import NOW, Pipeline, documents

TODAY = NOW.date()
GUARDS = {
    "no_play_is_in_the_future",
    "plays_are_unique",
    "gaps_are_closed",
    "indexes_are_as_declared",
    "daily_rollups_match_history",
    "no_day_is_overlong",
    "daily_rollups_are_unique",
}
ALL = {key.name for definition in CHECKS for key in definition.check_keys}


def today_of(*users: User) -> dict[str, str]:
    return range_tags(TODAY, TODAY, users[0].partition_key, users[-1].partition_key)


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


def numbers(evaluation: Any) -> Mapping[str, Any]:
    return {name: value.value for name, value in evaluation.metadata.items() if name != "worst"}


def add_future_play(pipeline: Pipeline, user: User) -> None:
    play = Play(user_id=user.user_id, track=TrackSnapshot(spotify_id="t" * 22), played_at=NOW + timedelta(days=2))
    pipeline.store.db["listening_history"].insert_one(play.to_bson())


def status(pipeline: Pipeline, result: dg.ExecuteInProcessResult) -> dg.DagsterRunStatus:
    run = pipeline.instance.get_run_by_id(result.run_id)
    assert run is not None
    return run.status


def test_a_sync_is_guarded_by_the_checks_of_what_it_writes(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    result = pipeline.run("user_sync", tags=today_of(user))
    assert result.success
    found = evaluations(result)
    assert found.keys() == GUARDS
    assert all(each.passed for each in found.values())
    assert numbers(found["daily_rollups_match_history"])["days"] == 1
    assert all(each.target_materialization_data.run_id == result.run_id for each in found.values())
    snapshots = evaluations(pipeline.run("snapshot_build", partition_key=user.partition_key))
    assert snapshots.keys() == {"analytics_snapshots_match_rollups", "analytics_snapshots_are_unique"}
    assert numbers(snapshots["analytics_snapshots_match_rollups"])["snapshots"] == 5
    for job, guards in (
        ("library_sync", set()),
        ("catalog_enrichment", {"tracks_are_enriched"}),
        ("history_import", set()),
    ):
        checked = build_definitions().resolve_job_def(job).asset_layer.asset_graph.asset_check_keys
        assert {key.name for key in checked} == guards, job


def test_a_blocking_check_stops_what_comes_after_it_and_fails_the_jobs_with_its_reason(pipeline: Pipeline) -> None:
    users = [pipeline.connect(number) for number in range(2)]
    add_future_play(pipeline, users[0])
    result = pipeline.run("user_sync", tags=today_of(*users))
    assert status(pipeline, result) == dg.DagsterRunStatus.FAILURE
    assert pipeline.materialized("listening_history") == {f"{TODAY}|{user.partition_key}" for user in users}
    assert pipeline.materialized("daily_rollups") == set()
    assert documents(pipeline.store.db, "daily_rollups") == []
    found = evaluations(result)
    assert not found["no_play_is_in_the_future"].passed
    assert numbers(found["no_play_is_in_the_future"]) == {"users": 2, "plays_in_the_future": 1}
    assert found["plays_are_unique"].passed, "its neighbour was examined all the same"
    for job in pipeline.store.jobs.of_run(result.run_id):
        assert (job.status, job.completed_at) == ("failed", NOW)
        assert job.error_message.startswith("no_play_is_in_the_future: 1 play of 1 user ended after")
    assert pipeline.store.jobs.open_runs() == []
    assert {user.last_synced_at for user in pipeline.store.users.all()} == {None}


def test_rollups_that_are_wrong_fail_the_job_of_their_user_though_it_was_completed(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [pipeline.connect(number) for number in range(2)]
    replace = StatisticsStore.replace_rollups

    def wrong(store: StatisticsStore, user_id: str, days: Any, rollups: Any) -> int:
        written = replace(store, user_id, days, rollups)
        store._rollups.update_many({"user_id": users[1].user_id}, {"$inc": {"total_plays": 1}})
        return written

    monkeypatch.setattr(StatisticsStore, "replace_rollups", wrong)
    result = pipeline.run("user_sync", tags=today_of(*users))
    assert status(pipeline, result) == dg.DagsterRunStatus.FAILURE
    found = evaluations(result)["daily_rollups_match_history"]
    assert numbers(found)["mismatches"] == 1
    (row,) = found.metadata["worst"].records
    assert (row.data["user"], row.data["differs"]) == (users[1].partition_key, "total_plays")
    jobs = {job.user_id: job for job in pipeline.store.jobs.of_run(result.run_id)}
    assert jobs[users[0].user_id].status == "completed"
    assert jobs[users[1].user_id].status == "failed"
    assert "daily_rollups_match_history" in jobs[users[1].user_id].error_message


def test_a_warning_stops_nothing(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    play = Play(
        user_id=user.user_id,
        track=TrackSnapshot(spotify_id="t" * 22),
        played_at=NOW - timedelta(hours=1),
        ms_played=25 * 3_600_000,
    )
    pipeline.store.db["listening_history"].insert_one(play.to_bson())
    result = pipeline.run("user_sync", tags=today_of(user))
    assert result.success
    overlong = evaluations(result)["no_day_is_overlong"]
    assert (overlong.passed, overlong.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert {job.status for job in pipeline.store.jobs.of_run(result.run_id)} == {"completed"}


@pytest.mark.parametrize("single", [False, True])
def test_a_run_over_partitions_examines_their_users_and_days_only(pipeline: Pipeline, single: bool) -> None:
    users = [pipeline.connect(number) for number in range(2)]
    for user in users:
        assert pipeline.run("user_sync", tags=today_of(user)).success
    yesterday = str(TODAY - timedelta(days=1))
    pipeline.store.db["daily_rollups"].update_many(
        {"$or": [{"user_id": users[1].user_id}, {"date": {"$lte": yesterday}}]}, {"$inc": {"total_plays": 1}}
    )
    arguments: dict[str, Any] = (
        {"partition_key": day_partition(users[0].partition_key, TODAY)} if single else {"tags": today_of(users[0])}
    )
    result = pipeline.run("rollup_build", **arguments)
    assert result.success
    found = numbers(evaluations(result)["daily_rollups_match_history"])
    assert (found["users"], found["days"], found["mismatches"]) == (1, 1, 0)
    (wrong,) = [each for name, each in evaluations(pipeline.run("audit")).items() if name.endswith("match_history")]
    assert numbers(wrong)["users"] == 2
    assert numbers(wrong)["mismatches"] >= 2


def test_the_audit_examines_everything_of_everybody_and_writes_nothing(pipeline: Pipeline) -> None:
    users = [pipeline.connect(number) for number in range(2)]
    for user in users:
        assert pipeline.run("user_sync", tags=today_of(user)).success
        assert pipeline.run("snapshot_build", partition_key=user.partition_key).success
    pipeline.run("catalog_enrichment")
    pipeline.store.db["api_logs"].drop_index("expire_after_30_days")
    jobs = documents(pipeline.store.db, "sync_jobs")
    result = pipeline.run("audit")
    assert result.success
    found = evaluations(result)
    assert found.keys() == ALL
    assert {name for name, each in found.items() if not each.passed} == {"indexes_are_as_declared"}
    assert all(numbers(each)["users"] == 2 for each in found.values() if "users" in each.metadata)
    assert all(each.description for each in found.values())
    assert documents(pipeline.store.db, "sync_jobs") == jobs
    assert "expire_after_30_days" not in pipeline.store.db["api_logs"].index_information(), "an audit repairs nothing"
    add_future_play(pipeline, users[1])
    again = pipeline.run("audit")
    assert not again.success
    assert evaluations(again).keys() == ALL, "the others are examined all the same"
    assert documents(pipeline.store.db, "sync_jobs") == jobs


def test_an_audit_can_report_doubles_that_no_index_could_be_built_over(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    pipeline.run("user_sync", tags=today_of(user))
    rollups = pipeline.store.db["daily_rollups"]
    rollups.drop_index("uniq_user_date")
    first = rollups.find_one({}, {"_id": 0})
    assert first is not None
    rollups.insert_one(first)
    result = pipeline.run("audit")
    assert not result.success
    found = evaluations(result)
    assert {
        name for name, each in found.items() if not each.passed and name in {check.__name__ for check in BLOCKING}
    } == {"daily_rollups_are_unique"}
    assert numbers(found["indexes_are_as_declared"])["lacking"] == 1


def test_severities_say_what_blocks(pipeline: Pipeline) -> None:
    blocking = {spec.name for definition in CHECKS for spec in definition.check_specs if spec.blocking}
    assert blocking == {check.__name__ for check in BLOCKING}
    found = evaluations(pipeline.run("audit"))
    assert {name for name, each in found.items() if each.severity == dg.AssetCheckSeverity.ERROR} == blocking


def test_one_check_can_be_run_alone(pipeline: Pipeline) -> None:
    key = dg.AssetCheckKey(dg.AssetKey("listening_history"), "plays_are_unique")
    alone = dg.define_asset_job("alone", dg.AssetSelection.checks(key))
    built = build_definitions(pipeline.resources())
    definitions = dg.Definitions(
        assets=built.assets, asset_checks=built.asset_checks, jobs=[alone], resources=built.resources
    )
    result = definitions.resolve_job_def("alone").execute_in_process(instance=pipeline.instance)
    assert evaluations(result).keys() == {"plays_are_unique"}


def test_a_blocked_run_of_the_command_line_leaves_no_job_open(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    play = Play(user_id=user.user_id, track=TrackSnapshot(spotify_id="t" * 22), played_at=NOW + timedelta(days=9_999))
    pipeline.store.db["listening_history"].insert_one(play.to_bson())
    settings, console = pipeline.installation.settings, Console(quiet=True)
    runner = Runner(pipeline.instance, pipeline.store, settings, console, pipeline.resources())
    with pytest.raises(RunFailedError, match="no_play_is_in_the_future: 1 play") as failure:
        runner.run("Rebuilding", "rollup_build", tags=today_of(user))
    (job,) = pipeline.store.jobs.of_run(failure.value.run_id)
    assert job.status == "failed"
    assert job.error_message.startswith("no_play_is_in_the_future")


def test_a_run_of_the_command_line_that_fails_for_one_user_leaves_nobodys_job_open(pipeline: Pipeline) -> None:
    users = [pipeline.connect(number) for number in range(2)]
    pipeline.installation.simulator.tokens.revoke(users[0].spotify_id)
    pipeline.store.db["spotify_tokens"].update_one({"user_id": users[0].user_id}, {"$set": {"expires_at": NOW}})
    settings, console = pipeline.installation.settings, Console(quiet=True)
    runner = Runner(pipeline.instance, pipeline.store, settings, console, pipeline.resources())
    with pytest.raises(RunFailedError) as failure:
        runner.run("Syncing", "user_sync", tags=today_of(*users))
    jobs = pipeline.store.jobs.of_run(failure.value.run_id)
    assert [job.status for job in jobs] == ["failed", "failed"]
    assert all(job.error_message for job in jobs)


def test_every_night_the_audit_is_asked_for() -> None:
    assert (nightly_audit.job_name, nightly_audit.cron_schedule) == ("audit", "15 5 * * *")
    assert nightly_audit.default_status == dg.DefaultScheduleStatus.RUNNING
    with dg.build_schedule_context(scheduled_execution_time=NOW) as context:
        (request,) = nightly_audit.evaluate_tick(context).run_requests or ()
    assert request.partition_key is None
