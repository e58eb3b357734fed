"""Dagster's reads before a step: the same versions, without listing every day."""

import dagster as dg
import pytest
from dagster._core.execution.context.system import StepExecutionContext

from echostats_pipeline import definitions
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.dagster_patches import upstream_partitions
from echostats_pipeline_tests.conftest import Pipeline
from echostats_pipeline_tests.orchestration.test_jobs import TODAY, range_of

ABOVE = "dagster/input_data_version/"
BY_DAY = ("daily_rollups", "listening_history")


def run(pipeline: Pipeline, job: str, user: User | None = None) -> dg.ExecuteInProcessResult:
    """A run of one of the jobs without days, for one user or for all."""
    result = pipeline.run(job, partition_key=user.partition_key if user else None)
    assert result.success
    return result


def versions(result: dg.ExecuteInProcessResult) -> set[tuple[str, str, str]]:
    """The built asset, its upstream asset by day, and the version of that."""
    built = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
    return {
        (each.asset_key.to_user_string(), above, version)
        for each in built
        for above in BY_DAY
        if (version := (each.tags or {}).get(f"{ABOVE}{above}"))
    }


def test_the_versions_are_those_that_stock_dagster_finds(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    user = pipeline.connect()
    assert pipeline.run("user_sync", tags=range_of(TODAY, TODAY, user)).success
    jobs = (("snapshot_build", user), ("catalog_enrichment", None))
    ours = [versions(run(pipeline, *job)) for job in jobs]
    monkeypatch.setattr(definitions, "list_no_days_above_steps", lambda: None)
    monkeypatch.setattr(StepExecutionContext, "has_asset_partitions_for_input", upstream_partitions._has_partitions)
    theirs = [versions(run(pipeline, *job)) for job in jobs]
    assert ours == theirs
    assert [{(asset, above) for asset, above, _ in each} for each in ours] == [
        {("analytics_snapshots", "daily_rollups")},
        {(asset, "listening_history") for asset in ("tracks", "artists", "albums", "audio_features", "artist_tags")},
    ]


def test_days_are_listed_above_what_is_by_day_alone(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = set()
    stock = StepExecutionContext.asset_partitions_subset_for_input

    def listing(step: StepExecutionContext, input_name: str, **more: bool) -> object:
        listed.add((step.step.key, input_name))
        return stock(step, input_name, **more)

    monkeypatch.setattr(StepExecutionContext, "asset_partitions_subset_for_input", listing)
    user = pipeline.connect()
    assert pipeline.run("user_sync", tags=range_of(TODAY, TODAY, user)).success
    run(pipeline, "snapshot_build", user)
    run(pipeline, "catalog_enrichment")
    assert listed == {("listening_history", "recently_played"), ("daily_rollups", "listening_history")}
