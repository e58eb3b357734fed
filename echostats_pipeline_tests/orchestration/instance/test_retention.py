"""Old runs are removed, and what they built stays shown: on real files, with this project's and the stock event log."""

import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from bson import ObjectId
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from echostats_pipeline.orchestration.instance.retention import RetentionResult, remove_runs
from echostats_pipeline.orchestration.partitions import RANGE_END, RANGE_START
from echostats_pipeline_tests.conftest import Pipeline
from echostats_pipeline_tests.orchestration.instance_factories import OURS, STOCK, instance_with

warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)

DAYS = dg.DailyPartitionsDefinition("2025-01-01")
FAIL_TAG = "test/fail"
ALL_OF_TIME = datetime(2100, 1, 1, tzinfo=UTC)
DAY = dg.AssetKey("day")


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def day(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    if FAIL_TAG in context.run.tags:
        raise dg.Failure("as asked")
    return dg.MaterializeResult(metadata={"rows": 1})


@dg.asset
def whole() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"rows": 1})


@dg.asset_check(asset=whole)
def sound() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with instance_with(OURS, tmp_path) as instance:
        yield instance


def build(instance: dg.DagsterInstance, first: int, last: int, **tags: str) -> str:
    """Materialize a range of days of January. Return the run."""
    span = {RANGE_START: f"2025-01-{first:02}", RANGE_END: f"2025-01-{last:02}"}
    return dg.materialize([day], instance=instance, tags={**span, **tags}, raise_on_error=False).run_id


def states(instance: dg.DagsterInstance) -> list[set[str]]:
    """Partitions that are built, and those that failed since, as the UI computes them from the events alone."""
    instance.wipe_asset_cached_status([DAY])
    status = get_and_update_asset_status_cache_value(instance, DAY, DAYS)
    assert status is not None
    subsets = (
        status.deserialize_materialized_partition_subsets(DAYS),
        status.deserialize_failed_partition_subsets(DAYS),
    )
    return [set(subset.get_partition_keys()) for subset in subsets]


def test_every_run_goes_and_what_it_built_stays_built(stored: dg.DagsterInstance, tmp_path: Path) -> None:
    runs = [build(stored, 1, 5), build(stored, 4, 6), dg.materialize([whole, sound], instance=stored).run_id]
    before, newest = states(stored), stored.get_latest_materialization_event(DAY)
    assert before == [{f"2025-01-{number:02}" for number in range(1, 7)}, set()]
    assert remove_runs(stored, ALL_OF_TIME) == RetentionResult(removed=3)
    assert states(stored) == before
    assert stored.get_latest_materialization_event(DAY) == newest
    assert stored.get_runs() == []
    assert [path for run_id in runs for path in tmp_path.rglob(f"{run_id}*")] == []
    with closing(sqlite3.connect(tmp_path / "events" / "index.db")) as index:
        assert rows(index, "event_logs") == 7, "six days, and the one that has no days"
        assert rows(index, "asset_check_executions") == 1
    with closing(sqlite3.connect(tmp_path / "runs" / "runs.db")) as index:
        assert (rows(index, "runs"), rows(index, "run_tags")) == (0, 0)
    assert remove_runs(stored, ALL_OF_TIME) == RetentionResult()
    build(stored, 1, 7)
    assert states(stored)[0] == {f"2025-01-{number:02}" for number in range(1, 8)}


def test_a_day_that_failed_last_stays_red_and_a_healed_one_does_not_keep_its_failure(
    stored: dg.DagsterInstance, tmp_path: Path
) -> None:
    build(stored, 1, 3)
    healed, red = (build(stored, *days, **{FAIL_TAG: "1"}) for days in ((2, 2), (3, 4)))
    build(stored, 2, 2)
    before = states(stored)
    assert before == [{"2025-01-01", "2025-01-02", "2025-01-03"}, {"2025-01-03", "2025-01-04"}]
    assert remove_runs(stored, ALL_OF_TIME) == RetentionResult(removed=3, kept=1)
    assert states(stored) == before
    assert [run.run_id for run in stored.get_runs()] == [red]
    assert list(tmp_path.rglob(f"{healed}*")) == []


def test_with_the_stock_event_log_the_last_builders_stay(tmp_path: Path) -> None:
    with instance_with(STOCK, tmp_path) as stored:
        superseded, *last = [build(stored, 1, 5), build(stored, 1, 5), build(stored, 6, 6)]
        before = states(stored)
        assert remove_runs(stored, ALL_OF_TIME) == RetentionResult(removed=1, kept=2)
        assert {run.run_id for run in stored.get_runs()} == set(last)
        assert stored.get_run_by_id(superseded) is None
        assert states(stored) == before


def test_night_after_night_one_materialization_of_a_day_stays(stored: dg.DagsterInstance, tmp_path: Path) -> None:
    for first in (1, 2):
        build(stored, first, first + 1)
        assert remove_runs(stored, ALL_OF_TIME) == RetentionResult(removed=1)
    assert states(stored) == [{"2025-01-01", "2025-01-02", "2025-01-03"}, set()]
    with closing(sqlite3.connect(tmp_path / "events" / "index.db")) as index:
        assert rows(index, "event_logs") == 3


def test_a_place_that_an_old_run_still_holds_is_free_again(stored: dg.DagsterInstance) -> None:
    storage, run_id = stored.event_log_storage, build(stored, 1, 1)
    storage.set_concurrency_slots("place", 1)
    assert storage.claim_concurrency_slot("place", run_id, "day").is_claimed
    assert not storage.claim_concurrency_slot("place", "another", "day").is_claimed
    assert remove_runs(stored, ALL_OF_TIME) == RetentionResult(removed=1)
    assert storage.claim_concurrency_slot("place", "another", "day").is_claimed


def test_young_runs_and_runs_that_have_not_ended_stay(stored: dg.DagsterInstance) -> None:
    build(stored, 1, 1)
    running = stored.add_run(dg.DagsterRun(job_name="any", status=dg.DagsterRunStatus.STARTED))
    assert remove_runs(stored, datetime.now(UTC) - timedelta(days=1)) == RetentionResult()
    assert remove_runs(stored, ALL_OF_TIME) == RetentionResult(removed=1)
    assert [run.run_id for run in stored.get_runs()] == [running.run_id]


def test_the_job_keeps_as_long_as_the_settings_say(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    assert pipeline.run("snapshot_build", partition_key=user.partition_key).success
    jobs = pipeline.store.db["sync_jobs"]
    (young,) = jobs.find()
    long_ago = young["created_at"] - timedelta(days=pipeline.installation.settings.keep_runs_days, seconds=1)
    jobs.insert_one({**young, "_id": ObjectId(), "dagster_run_id": "gone", "created_at": long_ago})
    result = pipeline.run("retention")
    assert result.success, "the clock of this pipeline stands in the past: no run is old enough"
    assert len(pipeline.instance.get_runs()) == 2
    assert list(jobs.find()) == [young]


def rows(database: sqlite3.Connection, table: str) -> int:
    return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
