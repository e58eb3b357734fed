"""Runs and sensors under Spotify's limits, a regime, and a consent that is gone."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from echostats_pipeline.errors import APP_FAMILY
from echostats_pipeline.model.catalog import Track
from echostats_pipeline.model.operations import SyncJob
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.automation.sensors import incomplete_catalog, sync_sensor
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.spotify.endpoint_access import REMEMBERED_FOR
from echostats_pipeline_tests.conftest import NOW, Pipeline, documents
from echostats_pipeline_tests.orchestration.automation.test_sensors import tick

TODAY = NOW.date()


def sync(pipeline: Pipeline, user: User) -> dg.ExecuteInProcessResult:
    return pipeline.run("user_sync", tags=range_tags(TODAY, TODAY, user.partition_key))


def the_job(pipeline: Pipeline, result: dg.ExecuteInProcessResult) -> SyncJob:
    (job,) = pipeline.store.jobs.of_run(result.run_id)
    return job


def details(pipeline: Pipeline, result: dg.ExecuteInProcessResult) -> dict[str, str]:
    return {step.action: step.detail for step in the_job(pipeline, result).steps}


def sensed(pipeline: Pipeline, user: User) -> Any:
    return tick(pipeline, sync_sensor(user.partition_key, 15))


def reason(skipped: Any) -> str:
    assert isinstance(skipped, dg.SkipReason)
    return str(skipped.skip_message)


def calls(pipeline: Pipeline) -> int:
    return pipeline.store.db["api_logs"].count_documents({})


def test_a_used_up_quota_ends_a_sync_well_and_lets_the_others_go_on(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    assert sync(pipeline, user).success
    synced_at = NOW
    pipeline.installation.clock.advance(timedelta(hours=1))
    pipeline.installation.simulator.behave(quota={"recently-played": 1})
    result = sync(pipeline, user)
    assert result.success
    job = the_job(pipeline, result)
    assert (job.status, job.error_message) == ("completed", "")
    said = details(pipeline, result)
    assert said["recently_played"].startswith("Waiting until 2025-06-16 12:00 UTC: ")
    assert "QUOTA_EXCEEDED" in said["recently_played"]
    assert said.keys() == {"recently_played", "listening_history", "daily_rollups"}
    assert pipeline.store.users.find(user.partition_key).last_synced_at == synced_at, "nothing was read"
    skipped = reason(sensed(pipeline, user))
    assert "recently-played" in skipped
    assert "until 2025-06-16 12:00 UTC" in skipped
    made = calls(pipeline)
    assert sync(pipeline, user).success
    assert calls(pipeline) == made, "while Spotify asks to wait it is not asked"
    library = pipeline.run("library_sync", partition_key=user.partition_key)
    assert library.success
    assert not any(detail.startswith("Waiting") for detail in details(pipeline, library).values())
    assert isinstance(tick(pipeline, incomplete_catalog), dg.RunRequest)
    pipeline.installation.clock.advance(timedelta(hours=23))
    assert isinstance(sensed(pipeline, user), dg.RunRequest)
    assert not details(pipeline, sync(pipeline, user))["recently_played"].startswith("Waiting")
    assert pipeline.store.users.find(user.partition_key).last_synced_at == NOW + timedelta(hours=24)


def test_a_limit_of_the_app_stops_every_sensor_until_it_has_passed(pipeline: Pipeline) -> None:
    users = [pipeline.connect(number) for number in range(2)]
    pipeline.store.catalog.add_stubs("tracks", [Track(spotify_id="4uLU6hMCjMI75M1A2tKUQC", name="")])
    pipeline.store.limits.postpone(APP_FAMILY, NOW + timedelta(minutes=2), "too fast")
    for user in users:
        assert "too fast" in reason(sensed(pipeline, user))
    assert "too fast" in reason(tick(pipeline, incomplete_catalog))
    pipeline.installation.clock.advance(timedelta(minutes=2))
    for user in users:
        assert isinstance(sensed(pipeline, user), dg.RunRequest)
    assert isinstance(tick(pipeline, incomplete_catalog), dg.RunRequest)


def test_the_catalogue_waits_when_all_that_is_lacking_waits(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    assert sync(pipeline, user).success
    assert {"artists", "albums", "audio-features"} <= pipeline.store.catalog.lacking(NOW).keys()
    others = ["tracks", "artists", "audio-features", "reccobeats"]
    for family in others:
        pipeline.store.limits.postpone(family, NOW + timedelta(hours=1), "used up")
    assert isinstance(tick(pipeline, incomplete_catalog), dg.RunRequest)
    pipeline.store.limits.postpone("albums", NOW + timedelta(hours=1), "used up")
    assert all(family in reason(tick(pipeline, incomplete_catalog)) for family in ["albums", *others])


def test_a_quota_in_the_middle_of_the_catalogue_is_no_failure_and_is_gone_on_from(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    tracks = sorted(pipeline.installation.simulator.world.catalogue.tracks)[:120]
    pipeline.store.catalog.add_stubs("tracks", [Track(spotify_id=spotify_id, name="") for spotify_id in tracks])
    played = {"user_id": user.user_id, "played_at": NOW, "track": {"spotify_id": tracks[0]}}
    pipeline.store.db["listening_history"].insert_one(played)
    pipeline.installation.simulator.behave(quota={"tracks": 1})
    result = pipeline.run("catalog_enrichment")
    assert result.success
    assert the_job(pipeline, result).status == "completed"
    said = details(pipeline, result)
    assert said["tracks"].startswith("Read 50 tracks, 0 unavailable; 70 left, waiting until 2025-06-16 12:00 UTC: ")
    assert set(pipeline.store.marks.pending("analytics_snapshots")) == {user.user_id}
    waiting = reason(tick(pipeline, incomplete_catalog))
    assert "tracks" in waiting
    pipeline.installation.clock.advance(timedelta(hours=24))
    assert isinstance(tick(pipeline, incomplete_catalog), dg.RunRequest)
    pipeline.installation.simulator.behave(quota=None)
    assert details(pipeline, pipeline.run("catalog_enrichment"))["tracks"] == "Read 70 tracks, 0 unavailable"


def test_while_reccobeats_waits_the_catalogue_is_not_asked_for_every_minute(pipeline: Pipeline) -> None:
    pipeline.connect()
    tracks = sorted(pipeline.installation.simulator.world.catalogue.tracks)[:5]
    pipeline.store.catalog.add_stubs("tracks", [Track(spotify_id=spotify_id, name="") for spotify_id in tracks])
    pipeline.installation.simulator.behave(regime="restricted_dev")
    pipeline.store.limits.postpone("reccobeats", NOW + timedelta(hours=1), "ReccoBeats answered 429")
    result = pipeline.run("catalog_enrichment")
    assert result.success
    assert pipeline.store.catalog.lacking(NOW) == {"audio-features": 5}
    assert "ReccoBeats" in reason(tick(pipeline, incomplete_catalog))
    pipeline.installation.clock.advance(timedelta(hours=1))
    assert isinstance(tick(pipeline, incomplete_catalog), dg.RunRequest)


@pytest.mark.parametrize(("waiting", "other"), [("audio-features", "reccobeats"), ("reccobeats", "audio-features")])
def test_one_source_of_audio_features_that_does_not_wait_is_enough_and_is_asked_once(
    pipeline: Pipeline, waiting: str, other: str
) -> None:
    pipeline.connect()
    tracks = sorted(pipeline.installation.simulator.world.catalogue.tracks)[:20]
    pipeline.store.catalog.add_stubs("tracks", [Track(spotify_id=spotify_id, name="") for spotify_id in tracks])
    pipeline.installation.simulator.behave(reccobeats_share=0.5)
    for family in ("audio-features", "reccobeats"):
        pipeline.store.limits.postpone(family, NOW + timedelta(hours=1), "used up")
    assert pipeline.run("catalog_enrichment").success
    assert pipeline.store.catalog.lacking(NOW) == {"audio-features": 20}
    assert "used up" in reason(tick(pipeline, incomplete_catalog))
    pipeline.installation.clock.advance(timedelta(hours=1))
    pipeline.store.limits.postpone(waiting, NOW + timedelta(hours=9), "used up again")
    assert isinstance(tick(pipeline, incomplete_catalog), dg.RunRequest)
    assert pipeline.run("catalog_enrichment").success
    assert pipeline.store.db["api_logs"].count_documents({"family": other}) == 1
    assert "used up again" in reason(tick(pipeline, incomplete_catalog))


def test_a_refusal_by_the_only_source_of_audio_features_is_waited_for(pipeline: Pipeline) -> None:
    environ = {**pipeline.installation.environ, "ECHOSTATS_AUDIO_FEATURES": "spotify"}
    pipeline = replace(pipeline, installation=replace(pipeline.installation, environ=environ))
    pipeline.connect()
    track = min(pipeline.installation.simulator.world.catalogue.tracks)
    pipeline.store.catalog.add_stubs("tracks", [Track(spotify_id=track, name="")])
    pipeline.installation.simulator.behave(regime="restricted_dev")
    assert pipeline.run("catalog_enrichment").success
    assert "refuses" in reason(tick(pipeline, incomplete_catalog))
    pipeline.installation.clock.advance(REMEMBERED_FOR)
    assert isinstance(tick(pipeline, incomplete_catalog), dg.RunRequest)


@pytest.mark.parametrize("regime", ["legacy_dev", "restricted_dev"])
def test_everything_runs_in_every_regime(pipeline: Pipeline, regime: Any) -> None:
    pipeline.installation.simulator.behave(regime=regime)
    user = pipeline.connect()
    results = [
        sync(pipeline, user),
        pipeline.run("library_sync", partition_key=user.partition_key),
        pipeline.run("snapshot_build", partition_key=user.partition_key),
    ]
    assert all(result.success for result in results)
    assert {the_job(pipeline, result).status for result in results} == {"completed"}
    for name in ("playlists", "saved_tracks", "top_items", "analytics_snapshots"):
        assert documents(pipeline.store.db, name), name


def test_a_consent_that_is_gone_fails_one_job_and_is_not_tried_again(pipeline: Pipeline) -> None:
    gone, well = pipeline.connect(0), pipeline.connect(1)
    pipeline.installation.simulator.tokens.revoke(gone.spotify_id)
    pipeline.store.db["spotify_tokens"].update_one({"user_id": gone.user_id}, {"$set": {"expires_at": NOW}})
    assert isinstance(sensed(pipeline, gone), dg.RunRequest)
    result = sync(pipeline, gone)
    assert not result.success
    assert "STEP_UP_FOR_RETRY" not in [event.event_type_value for event in result.all_events]
    job = the_job(pipeline, result)
    assert job.status == "failed"
    assert "ReauthorizationNeeded" in job.error_message
    assert pipeline.store.users.find(gone.partition_key).status == "needs_reauth"
    assert "needs_reauth" in reason(sensed(pipeline, gone))
    assert isinstance(sensed(pipeline, well), dg.RunRequest)
    assert sync(pipeline, well).success
    made = calls(pipeline)
    by_hand = sync(pipeline, gone)
    assert by_hand.success
    assert details(pipeline, by_hand)["recently_played"] == "Not read: the user is needs_reauth"
    assert calls(pipeline) == made
    failed = [each for each in documents(pipeline.store.db, "sync_jobs") if each["status"] == "failed"]
    assert [each["user_id"] for each in failed] == [gone.user_id]
    pipeline.connect(0)
    assert sync(pipeline, gone).success
    assert {play["user_id"] for play in documents(pipeline.store.db, "listening_history")} == {
        gone.user_id,
        well.user_id,
    }


def test_a_user_whom_the_app_does_not_admit_fails_one_job_and_is_paused_until_they_are_added(
    pipeline: Pipeline,
) -> None:
    foreign, well = pipeline.connect(0), pipeline.connect(1)
    pipeline.installation.simulator.behave(allowed_users=frozenset({well.spotify_id}))
    result = sync(pipeline, foreign)
    assert not result.success
    assert "STEP_UP_FOR_RETRY" not in [event.event_type_value for event in result.all_events]
    assert "UserNotRegistered" in the_job(pipeline, result).error_message
    paused = pipeline.store.users.find(foreign.partition_key)
    assert paused.status == "paused"
    assert "User Management" in paused.status_reason
    assert paused.status_reason in reason(sensed(pipeline, foreign))
    made = calls(pipeline)
    assert sync(pipeline, foreign).success
    assert calls(pipeline) == made
    assert sync(pipeline, well).success
    assert isinstance(tick(pipeline, incomplete_catalog), dg.RunRequest)
    assert pipeline.run("catalog_enrichment").success, "read on behalf of who is left"
    failed = [each for each in documents(pipeline.store.db, "sync_jobs") if each["status"] == "failed"]
    assert [each["user_id"] for each in failed] == [foreign.user_id]
    pipeline.installation.simulator.behave(allowed_users=None)
    pipeline.connect(0)
    again = pipeline.store.users.find(foreign.partition_key)
    assert (again.status, again.status_reason) == ("active", "")
    assert sync(pipeline, foreign).success


def test_the_catalogue_is_not_asked_for_while_nobody_can_read_it(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    track = min(pipeline.installation.simulator.world.catalogue.tracks)
    pipeline.store.catalog.add_stubs("tracks", [Track(spotify_id=track, name="")])
    pipeline.installation.simulator.behave(allowed_users=frozenset())
    assert isinstance(tick(pipeline, incomplete_catalog), dg.RunRequest)
    assert not pipeline.run("catalog_enrichment").success
    assert pipeline.store.users.find(user.partition_key).status == "paused"
    assert "no active user" in reason(tick(pipeline, incomplete_catalog))
