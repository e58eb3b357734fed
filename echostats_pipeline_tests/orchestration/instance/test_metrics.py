"""Metrics: names that follow Prometheus' rules, and queries that use only indexes."""

import re
from datetime import timedelta

import dagster as dg
import pytest
from prometheus_client.parser import text_string_to_metric_families

from echostats_pipeline.model.catalog import Track
from echostats_pipeline.model.operations import ApiLog, Incident
from echostats_pipeline.orchestration.instance.metrics import exposition, measured
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.storage.sync_jobs import JobKey
from echostats_pipeline_tests.conftest import NOW, Installation, Pipeline

LARGE = {"listening_history", "api_logs", "sync_jobs", "spotify_calls", "listening_gaps", "daily_rollups"}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(installation: Installation, instance: dg.DagsterInstance | None = None) -> Samples:
    text = exposition(measured(installation.store, instance, installation.settings, installation.now())).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[f"echostats_{name}", frozenset(labels.items())]


def test_an_empty_installation_is_measured(installation: Installation, instance: dg.DagsterInstance) -> None:
    found = samples(installation, instance)
    assert value(found, "open_sync_jobs") == 0
    assert value(found, "failed_runs_24h") == 0
    assert value(found, "api_budget_calls") == installation.settings.daily_calls
    assert {name for name, _ in samples(installation)} < {name for name, _ in found}


def test_users_and_their_plays_are_measured(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    key = user.partition_key
    assert pipeline.run("user_sync", tags=range_tags(NOW.date(), NOW.date(), key)).success
    pipeline.installation.clock.advance(timedelta(minutes=20))
    found = samples(pipeline.installation)
    assert value(found, "sync_age_seconds", user=key) == 20 * 60
    assert value(found, "plays", user=key) == pipeline.store.users.plays_stored(user.user_id) > 0
    assert value(found, "consent_remaining_seconds", user=key) == pytest.approx(182 * 86_400, rel=0.01)
    statuses = [value(found, "user_status", user=key, status=name) for name in ("active", "paused", "needs_reauth")]
    assert statuses == [1, 0, 0]
    assert value(found, "sync_jobs_24h", type="initial", status="completed") == 1
    assert value(found, "api_budget_used_calls", family="recently-played") == 1
    assert value(found, "enrichment_queue_length", kind="artists") > 0
    assert value(found, "pending_rebuilds", target="analytics_snapshots") == 1


def test_calls_waits_jobs_and_incidents_are_measured(installation: Installation, instance: dg.DagsterInstance) -> None:
    store, user = installation.store, installation.connect()
    store.db["api_logs"].delete_many({})
    with store.api_logs() as logs:
        for status, age in ((200, 0), (200, 1), (429, 2), (500, 25)):
            logs.add(ApiLog(family="tracks", status_code=status, timestamp=NOW - timedelta(hours=age)))
    store.limits.postpone("tracks", NOW + timedelta(minutes=2), "429")
    store.jobs.open(JobKey(user.user_id, "r"), "periodic", NOW)
    store.catalog.add_stubs("tracks", [Track(spotify_id="4uLU6hMCjMI75M1A2tKUQC", name="")])
    store.incidents.see(Incident(key="k", kind="check", subject="s", cause="c", opened_at=NOW, last_seen_at=NOW))
    found = samples(installation, instance)
    assert value(found, "api_attempts_24h", family="tracks", status="200") == 2
    assert value(found, "api_attempts_24h", family="tracks", status="429") == 1
    assert ("echostats_api_attempts_24h", frozenset({("family", "tracks"), ("status", "500")})) not in found
    assert value(found, "api_wait_seconds", family="tracks") == 120
    assert value(found, "open_sync_jobs") == 1
    assert value(found, "enrichment_queue_length", kind="tracks") == 1
    assert value(found, "open_incidents", kind="check") == 1


def test_failed_runs_are_measured(installation: Installation, instance: dg.DagsterInstance) -> None:
    instance.add_run(dg.DagsterRun(job_name="user_sync", status=dg.DagsterRunStatus.FAILURE))
    assert value(samples(installation, instance), "failed_runs_24h") == 1


def test_names_follow_prometheus_conventions(installation: Installation, instance: dg.DagsterInstance) -> None:
    metrics = list(measured(installation.store, instance, installation.settings, NOW))
    names = [metric.name for metric in metrics]
    assert len(set(names)) == len(names)
    for metric in metrics:
        assert re.fullmatch(r"echostats(_[a-z0-9]+)*", metric.name)
        assert not metric.name.endswith(("_total", "_minutes", "_ms", "_count"))
        assert metric.documentation.endswith(".")


def test_no_large_collection_is_read_without_an_index(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    assert pipeline.run("user_sync", tags=range_tags(NOW.date(), NOW.date(), user.partition_key)).success
    db = pipeline.store.db
    db.command("profile", 2)
    samples(pipeline.installation)
    db.command("profile", 0)
    plans = [(entry["ns"].partition(".")[2], entry.get("planSummary", "")) for entry in db["system.profile"].find()]
    looked_at = {name for name, _ in plans}
    assert {"listening_history", "api_logs", "sync_jobs"} <= looked_at
    assert [(name, plan) for name, plan in plans if name in LARGE and "COLLSCAN" in plan] == []


def test_a_storage_of_runs_that_fails_leaves_what_the_database_knows(
    installation: Installation, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> int:
        raise ConnectionError("canary")

    monkeypatch.setattr(dg.DagsterInstance, "get_daemon_heartbeats", down)
    text = exposition(measured(installation.store, instance, installation.settings, NOW)).decode()
    assert "\nechostats_dagster_instance_found 0.0\n" in text
    assert "echostats_failed_runs_24h" not in text
    assert "\nechostats_api_budget_calls " in text
