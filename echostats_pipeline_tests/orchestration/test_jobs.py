"""Each job, executed by Dagster on an ephemeral instance, against the simulated Spotify and a real MongoDB."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.model.operations import SyncJob
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.automation.run_requests import rollup_requests
from echostats_pipeline.orchestration.jobs import JOBS
from echostats_pipeline.orchestration.partitions import FIRST_DAY, range_tags
from echostats_pipeline.simulator.exports import write_extended_export
from echostats_pipeline.stages.statistics import MOST_EXTRA_DAYS
from echostats_pipeline.storage import database
from echostats_pipeline.storage.sync_jobs import JobKey
from echostats_pipeline.transforms.days import local_date
from echostats_pipeline_tests.conftest import NOW, Pipeline, documents

TODAY = NOW.date()


def range_of(first: date, last: date, *users: User) -> dict[str, str]:
    return range_tags(first, last, users[0].partition_key, users[-1].partition_key)


def the_job(pipeline: Pipeline, result: dg.ExecuteInProcessResult) -> SyncJob:
    (job,) = pipeline.store.jobs.of_run(result.run_id)
    return job


def day_keys(user: User, first: date, count: int) -> set[str]:
    return {f"{first + timedelta(days=number)}|{user.partition_key}" for number in range(count)}


def write_export(pipeline: Pipeline, user: User, path: Path, days: int) -> Path:
    end = NOW - timedelta(days=1)
    person = pipeline.installation.person(user)
    write_extended_export(pipeline.installation.simulator.world, person, end - timedelta(days=days), end, path)
    return path


def import_config(path: Path) -> dict[str, object]:
    return {"ops": {"streaming_history_import": {"config": {"paths": [str(path)]}}}}


def test_a_sync_materializes_its_range_and_completes_its_job(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    result = pipeline.run("user_sync", tags=range_of(TODAY - timedelta(days=2), TODAY, user))
    assert result.success
    for asset in ("recently_played", "listening_history"):
        assert pipeline.materialized(asset) == day_keys(user, TODAY - timedelta(days=2), 3)
    assert pipeline.materialized("daily_rollups") >= day_keys(user, TODAY - timedelta(days=2), 3)
    job = the_job(pipeline, result)
    assert (job.job_type, job.status, job.error_message) == ("initial", "completed", "")
    assert [step.action for step in job.steps] == ["recently_played", "listening_history", "daily_rollups"]
    assert {step.status for step in job.steps} == {"completed"}
    assert all(step.detail and step.completed_at for step in job.steps)
    assert job.steps[0].items == job.steps[1].items == 50
    assert job.items_processed == job.items_total == sum(step.items for step in job.steps)
    assert pipeline.store.users.find(user.partition_key).last_synced_at == NOW
    assert pipeline.store.db["listening_history"].count_documents({}) == 50
    assert sum(rollup["total_rows"] for rollup in documents(pipeline.store.db, "daily_rollups")) == 50
    assert pipeline.store.marks.pending_days(user.user_id) == set()


def test_a_second_sync_is_periodic_and_changes_nothing(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    pipeline.run("user_sync", tags=range_of(TODAY, TODAY, user))
    before = [documents(pipeline.store.db, name, without=()) for name in ("listening_history", "daily_rollups")]
    result = pipeline.run("user_sync", tags=range_of(TODAY, TODAY, user))
    assert the_job(pipeline, result).job_type == "periodic"
    assert [documents(pipeline.store.db, name, without=()) for name in ("listening_history", "daily_rollups")] == before


def test_days_outside_the_range_are_rebuilt_in_the_same_run_and_reported(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    result = pipeline.run("user_sync", tags=range_of(TODAY, TODAY, user))
    zone = ZoneInfo(user.timezone)
    played = {local_date(play["played_at"], zone) for play in documents(pipeline.store.db, "listening_history")}
    assert min(played) < TODAY
    assert {rollup["date"] for rollup in documents(pipeline.store.db, "daily_rollups")} == {str(day) for day in played}
    logged = pipeline.instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    days = {f"{day}|{user.partition_key}" for day in played}
    assert days <= {entry.get_dagster_event().partition for entry in logged}
    assert pipeline.materialized("daily_rollups") >= days
    assert pipeline.materialized("listening_history") == day_keys(user, TODAY, 1)


def test_a_rectangle_serves_every_user_in_it(pipeline: Pipeline) -> None:
    users = [pipeline.connect(number) for number in range(2)]
    result = pipeline.run("user_sync", tags=range_of(TODAY - timedelta(days=1), TODAY, *users))
    assert result.success
    jobs = pipeline.store.jobs.of_run(result.run_id)
    assert {(job.user_id, job.status) for job in jobs} == {(user.user_id, "completed") for user in users}
    for user in users:
        assert day_keys(user, TODAY - timedelta(days=1), 2) <= pipeline.materialized("recently_played")


def test_one_users_failure_does_not_stop_the_other(pipeline: Pipeline) -> None:
    gone, well = pipeline.connect(0), pipeline.connect(1)
    pipeline.installation.simulator.tokens.revoke(gone.spotify_id)
    pipeline.store.db["spotify_tokens"].update_one({"user_id": gone.user_id}, {"$set": {"expires_at": NOW}})
    result = pipeline.run("user_sync", tags=range_of(TODAY, TODAY, gone, well))
    assert not result.success
    jobs = {job.user_id: job for job in pipeline.store.jobs.of_run(result.run_id)}
    assert jobs[gone.user_id].status == "failed"
    assert "ReauthorizationNeeded" in jobs[gone.user_id].error_message
    assert jobs[gone.user_id].steps[0].status == "failed"
    assert jobs[well.user_id].steps[0].status == "completed"
    statuses = {user.user_id: user.status for user in pipeline.store.users.all()}
    assert statuses == {gone.user_id: "needs_reauth", well.user_id: "active"}
    assert [page["user_id"] for page in documents(pipeline.store.db, "recently_played")] == [well.user_id]


def test_a_failed_asset_fails_job_and_run_and_is_not_tried_again(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    stopped = pipeline.installation.settings.home / "simulator.json"
    stopped.unlink()
    result = pipeline.run("user_sync", tags=range_of(TODAY, TODAY, user))
    assert not result.success
    job = the_job(pipeline, result)
    assert job.status == "failed"
    assert "SettingsError" in job.error_message
    assert job.completed_at == NOW
    run = pipeline.instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.status == dg.DagsterRunStatus.FAILURE
    kinds = [event.event_type_value for event in result.all_events]
    assert "STEP_UP_FOR_RETRY" not in kinds
    assert kinds.count("STEP_START") == 1
    assert pipeline.materialized("recently_played") == set()
    assert pipeline.store.users.find(user.partition_key).last_synced_at is None


def test_a_paused_user_is_not_read_and_that_is_no_failure(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    pipeline.store.users.set_status(user.user_id, "paused")
    result = pipeline.run("user_sync", tags=range_of(TODAY, TODAY, user))
    assert result.success
    assert "paused" in the_job(pipeline, result).steps[0].detail
    assert pipeline.store.db["api_logs"].count_documents({"user_id": user.user_id}) == 0


def test_a_job_that_somebody_closed_is_not_completed_after_all(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    run_id = dg.DagsterRun(job_name="user_sync").run_id
    key = JobKey(user.user_id, run_id)
    pipeline.store.jobs.open(key, "periodic", NOW)
    pipeline.store.jobs.close(key, "failed", NOW, "swept")
    result = pipeline.run("user_sync", tags=range_of(TODAY, TODAY, user), run_id=run_id)
    assert not result.success
    assert (the_job(pipeline, result).status, the_job(pipeline, result).error_message) == ("failed", "swept")


def test_an_import_completes_with_counts_and_leaves_its_days_waiting(pipeline: Pipeline, tmp_path: Path) -> None:
    user = pipeline.connect()
    path = write_export(pipeline, user, tmp_path / "export.zip", 20)
    for inserted in (True, False):
        result = pipeline.run("history_import", partition_key=user.partition_key, run_config=import_config(path))
        assert result.success
        job = the_job(pipeline, result)
        assert (job.job_type, job.status) == ("import", "completed")
        (event,) = result.get_asset_materialization_events()
        metadata = {name: value.value for name, value in event.materialization.metadata.items() if name != "files"}
        assert metadata["rows"] == sum(
            metadata[name] for name in ("inserted", "merged", "duplicate", "not_music", "rejected")
        )
        assert (metadata["inserted"] > 0) is inserted
        assert job.items_processed == job.items_total == metadata["rows"]
        assert sum(file.rows for file in pipeline.store.imports.of_run(result.run_id)) == metadata["rows"]
    assert pipeline.materialized("streaming_history_import") == {user.partition_key}
    assert len(pipeline.store.marks.pending_days(user.user_id)) >= 18


@pytest.mark.parametrize("content", [None, b"not a zip"])
def test_an_import_of_nothing_fails_with_the_reason(pipeline: Pipeline, tmp_path: Path, content: bytes | None) -> None:
    user = pipeline.connect()
    path = tmp_path / "export.zip"
    if content is not None:
        path.write_bytes(content)
    result = pipeline.run("history_import", partition_key=user.partition_key, run_config=import_config(path))
    assert not result.success
    job = the_job(pipeline, result)
    assert (job.job_type, job.status) == ("import", "failed")
    assert "export.zip" in job.error_message


def test_rollups_of_a_range_and_then_snapshots(pipeline: Pipeline, tmp_path: Path) -> None:
    user = pipeline.connect()
    path = write_export(pipeline, user, tmp_path / "export.zip", MOST_EXTRA_DAYS + 15)
    pipeline.run("history_import", partition_key=user.partition_key, run_config=import_config(path))
    waiting = pipeline.store.marks.pending_days(user.user_id)
    assert len(waiting) > MOST_EXTRA_DAYS
    # Too many days outside the range get a separate run.
    one = pipeline.run("rollup_build", tags=range_of(TODAY, TODAY, user))
    assert one.success
    assert pipeline.store.marks.pending_days(user.user_id) == waiting - {TODAY}
    result = pipeline.run("rollup_build", tags=range_of(min(waiting), max(waiting), user))
    assert result.success
    job = the_job(pipeline, result)
    assert (job.job_type, job.status) == ("rollup_build", "completed")
    span = (max(waiting) - min(waiting)).days + 1
    assert pipeline.materialized("daily_rollups") == day_keys(user, min(waiting), span) | day_keys(user, TODAY, 1)
    assert pipeline.store.marks.pending_days(user.user_id) == set()
    snapshots = pipeline.run("snapshot_build", partition_key=user.partition_key)
    assert snapshots.success
    assert the_job(pipeline, snapshots).status == "completed"
    assert pipeline.materialized("analytics_snapshots") == {user.partition_key}
    snapshot = pipeline.store.statistics.snapshot(user.user_id, "all_time")
    rollups = documents(pipeline.store.db, "daily_rollups")
    assert snapshot.total_tracks_played == sum(rollup["total_plays"] for rollup in rollups) > 0


def test_waiting_days_older_than_spotify_are_built_with_the_first_there_is(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    pipeline.run("user_sync", tags=range_of(TODAY, TODAY, user))
    old = [date(2005, 1, 1) + timedelta(days=number) for number in range(2 * MOST_EXTRA_DAYS)]
    pipeline.store.marks.ask(user.user_id, "daily_rollups", map(str, old))
    pending = pipeline.store.marks.pending("daily_rollups")
    (request,) = rollup_requests([user], pending, busy=(), since=FIRST_DAY)
    assert pipeline.run("rollup_build", tags=request.tags).success
    assert pipeline.store.marks.pending_days(user.user_id) == set()
    assert f"{FIRST_DAY}|{user.partition_key}" in pipeline.materialized("daily_rollups")


def test_a_library_is_read(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    result = pipeline.run("library_sync", partition_key=user.partition_key)
    assert result.success
    job = the_job(pipeline, result)
    assert (job.job_type, job.status) == ("periodic", "completed")
    assert {step.action for step in job.steps} == {"playlists", "saved_tracks", "top_items"}
    for name in ("playlists", "saved_tracks", "top_items"):
        assert pipeline.materialized(name) == {user.partition_key}
        assert documents(pipeline.store.db, name)


def test_a_library_that_takes_days_is_pending_until_it_is_read_through(
    pipeline: Pipeline, new_settings: Callable[..., dict[str, str]]
) -> None:
    environ = new_settings(SPOTIFY_DAILY_CALLS="8")
    settings = pipeline.installation.settings.model_copy(update={"daily_calls": 8})
    narrow = Pipeline(replace(pipeline.installation, environ=environ, settings=settings), pipeline.instance)
    user = narrow.connect()
    results = []
    while not results or the_job(narrow, results[-1]).status == "pending":
        assert len(results) < 10
        results.append(narrow.run("library_sync", partition_key=user.partition_key))
        narrow.installation.clock.advance(timedelta(days=1, minutes=1))
    assert all(result.success for result in results)
    assert len(results) > 2
    first = the_job(narrow, results[0])
    details = {step.action: (step.status, step.detail) for step in first.steps}
    assert re.match(
        r"\d of 9 playlists, ready in about \d days?; the calls of 24 hours are used up", details["playlists"][1]
    )
    assert details["playlists"][0] == "pending"
    last = the_job(narrow, results[-1])
    assert [step.status for step in last.steps] == ["completed"] * 3
    assert {the_job(narrow, result).status for result in results} == {"completed"}, "the rest has been read since"
    assert narrow.store.db["playlists"].count_documents({"user_id": user.user_id}) == 9


def test_the_catalogue_is_completed_and_snapshots_of_its_listeners_wait(pipeline: Pipeline) -> None:
    listener, silent = (pipeline.connect(number) for number in range(2))
    pipeline.run("user_sync", tags=range_of(TODAY, TODAY, listener))
    for user in (listener, silent):
        pipeline.run("snapshot_build", partition_key=user.partition_key)
    assert pipeline.store.marks.pending("analytics_snapshots") == {}
    result = pipeline.run("catalog_enrichment")
    assert result.success
    job = the_job(pipeline, result)
    assert {step.action for step in job.steps} == {"tracks", "artists", "albums", "audio_features", "artist_tags"}
    assert pipeline.store.catalog.lacking(NOW) == {}
    assert set(pipeline.store.marks.pending("analytics_snapshots")) == {listener.user_id}
    pipeline.run("snapshot_build", partition_key=listener.partition_key)
    assert pipeline.run("catalog_enrichment").success
    assert pipeline.store.marks.pending("analytics_snapshots") == {}, "nothing has changed"


def test_the_catalogue_is_not_completed_for_nobody(pipeline: Pipeline) -> None:
    result = pipeline.run("catalog_enrichment")
    assert not result.success


def test_every_job_is_tested_here() -> None:
    assert {job.name for job in JOBS} == {
        "user_sync",
        "rollup_build",
        "snapshot_build",
        "library_sync",
        "history_import",
        "catalog_enrichment",
        "audit",  # in test_checks
        "retention",  # in test_retention
        "report_build",  # in test_report
        "model_build",  # these three in test_recommendations
        "album_reading",
        "recommendation_build",
        "playlist_build",  # these two in playlists/test_flow
        "weekly_playlists",
        "scrobble_build",  # in cli/test_scrobble
    }


def test_one_asset_alone_completes_its_job(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    job = build_definitions(pipeline.resources()).resolve_job_def("library_sync")
    result = job.execute_in_process(
        instance=pipeline.instance,
        partition_key=user.partition_key,
        asset_selection=[dg.AssetKey("top_items")],
    )
    assert result.success
    assert [step.action for step in the_job(pipeline, result).steps] == ["top_items"]
    assert the_job(pipeline, result).status == "completed"


def test_a_database_that_does_not_answer_fails_the_run_without_its_password(
    pipeline: Pipeline, new_settings: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = pipeline.connect()
    monkeypatch.setattr(database, "SERVER_SELECTION_TIMEOUT_MS", 300)
    environ = new_settings(MONGO_URI="mongodb://me:s3cret-canary@127.0.0.1:1/?serverSelectionTimeoutMS=100")
    broken = Pipeline(replace(pipeline.installation, environ=environ), pipeline.instance)
    result = broken.run(
        "user_sync", tags=range_of(TODAY, TODAY, user), run_id=dg.DagsterRun(job_name="user_sync").run_id
    )
    assert not result.success
    logged = "\n".join(entry.to_json() for entry in pipeline.instance.all_logs(result.run_id))
    assert "MongoDB at 127.0.0.1:1 does not answer" in logged
    assert "s3cret-canary" not in logged
