"""EchoTune's database under Dagster: a sensor that waits for statistics, a run, and checks that see faults."""

from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.marts.echotune.database import user_object_id
from echostats_pipeline.monitoring.audit import AuditedUser
from echostats_pipeline.orchestration import mart_checks
from echostats_pipeline.orchestration.automation.mart_sensors import stale_echotune
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.settings import load_settings
from echostats_pipeline.storage.installed import databases_of
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, Pipeline
from echostats_pipeline_tests.marts.echotune.conftest import Installed


@pytest.fixture
def with_mart(pipeline: Pipeline, echotune: Installed) -> Pipeline:
    """An installation whose settings name the mart."""
    environ = {**pipeline.installation.environ, **echotune.environ()}
    settings = load_settings(environ, env_file=None)
    store = Store.of(pipeline.store.db, databases_of(settings))
    return replace(
        pipeline, installation=replace(pipeline.installation, environ=environ, settings=settings, store=store)
    )


def wanted(pipeline: Pipeline, sensor: dg.SensorDefinition = stale_echotune) -> list[dg.RunRequest]:
    """The runs that a sensor requests."""
    definitions = build_definitions(pipeline.resources(), settings=pipeline.installation.settings)
    with dg.build_sensor_context(
        instance=pipeline.instance, resources=pipeline.resources(), definitions=definitions
    ) as context:
        result: Any = sensor(context)
    return [] if isinstance(result, dg.SkipReason) else result


def test_a_sync_brings_one_update_once_the_statistics_are_built(with_mart: Pipeline, echotune: Installed) -> None:
    user = with_mart.connect()
    key = user.partition_key
    assert with_mart.run("user_sync", tags=range_tags(NOW.date(), NOW.date(), key)).success
    assert wanted(with_mart) == [], "the snapshots are not built yet"
    assert with_mart.run("snapshot_build", partition_key=key).success
    assert [request.partition_key for request in wanted(with_mart)] == [key]
    run = with_mart.run("echotune_build", partition_key=key)
    assert run.success
    assert {each.check_name: each.passed for each in run.get_asset_check_evaluations()} == {
        "echotune_plays_match_history": True,
        "echotune_shares_are_whole": True,
    }
    assert wanted(with_mart) == []
    plays = with_mart.store.db["listening_history"].count_documents({})
    assert echotune.collection("listening_history").count_documents({"source": "pipeline"}) == plays > 0
    (job,) = with_mart.store.jobs.of_run(run.run_id)
    assert job.status == "completed"


def test_the_checks_see_what_is_missing_or_wrong(with_mart: Pipeline, echotune: Installed) -> None:
    user = with_mart.connect()
    assert with_mart.run("user_sync", tags=range_tags(NOW.date(), NOW.date(), user.partition_key)).success
    assert with_mart.run("snapshot_build", partition_key=user.partition_key).success
    assert with_mart.run("echotune_build", partition_key=user.partition_key).success
    owner = user_object_id(user.user_id)
    scope, settings = [AuditedUser(user, None)], with_mart.installation.settings
    checks = (
        mart_checks.echotune_plays_match_history,
        mart_checks.echotune_ids_are_known,
        mart_checks.echotune_shares_are_whole,
    )
    assert [check(with_mart.store, settings, NOW, scope).passed for check in checks] == [True, True, True]
    echotune.collection("listening_history").delete_one({"userId": owner})
    echotune.collection("track_metadata").delete_many({})
    item = {"trackId": "a", "name": "", "artist": "", "album": "", "score": 1, "strategy": "hybrid", "reason": ""}
    tracks = [{**item, "components": {"content": 0.5}}]
    wrong = {"userId": owner, "recommendation_type": "hybrid", "tracks": tracks, "expiresAt": NOW, "source": "pipeline"}
    echotune.collection("recommendations").insert_one(wrong)
    assert [check(with_mart.store, settings, NOW, scope).passed for check in checks] == [False, False, False]


def test_without_the_mart_there_is_no_asset_job_sensor_or_check_of_it(pipeline: Pipeline) -> None:
    definitions = build_definitions(settings=pipeline.installation.settings)
    repository = definitions.get_repository_def()
    assert not [key for key in repository.asset_graph.get_all_asset_keys() if "echotune" in key.to_user_string()]
    sensors = [sensor.name for sensor in repository.sensor_defs]
    assert not [name for name in (*repository.job_names, *sensors) if "echotune" in name]
