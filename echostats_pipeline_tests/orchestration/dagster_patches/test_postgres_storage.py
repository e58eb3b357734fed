"""Dagster's storage in a real PostgreSQL: the same events as in SQLite, in few statements, and retention."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from echostats_pipeline.orchestration.dagster_patches.sqlite_event_log import BATCH_SIZE_VARIABLE
from echostats_pipeline.orchestration.instance.identity import instance_id
from echostats_pipeline.orchestration.instance.retention import RetentionResult, remove_runs
from echostats_pipeline.orchestration.partitions import RANGE_END, RANGE_START
from echostats_pipeline_tests.orchestration.dagster_patches.test_sqlite_event_log import DAYS, first, run, second
from echostats_pipeline_tests.orchestration.instance.test_retention import sound, whole
from echostats_pipeline_tests.orchestration.instance_factories import OURS, instance_with, postgres_instance
from echostats_pipeline_tests.postgres_server import PostgresServer

pytest.importorskip("dagster_postgres")

ALL_OF_TIME = datetime(2100, 1, 1, tzinfo=UTC)
FIRST = dg.AssetKey("first")


@pytest.fixture
def database(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of an empty database."""
    monkeypatch.delenv(BATCH_SIZE_VARIABLE, raising=False)
    name = postgres.create()
    yield name
    postgres.drop(name)
    os.environ.pop(BATCH_SIZE_VARIABLE, None)  # which the storage has set


@pytest.fixture
def stored(postgres: PostgresServer, database: str, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with postgres_instance(postgres.url(database, "loader"), tmp_path) as instance:
        yield instance


def test_the_events_and_the_state_of_assets_are_those_of_sqlite(
    postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    events, state = run(postgres_instance(postgres.url(database, "loader"), tmp_path / "postgres"))
    of_sqlite, state_of_sqlite = run(instance_with(OURS, tmp_path / "sqlite"))
    assert sorted(map(repr, events)) == sorted(map(repr, of_sqlite))
    assert state == state_of_sqlite


def test_the_events_of_a_new_run_over_many_days_take_few_statements(stored: dg.DagsterInstance) -> None:
    job = dg.Definitions([first, second], jobs=[dg.define_asset_job("both")]).resolve_job_def("both")
    statements: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        made = stored.create_run_for_job(job, tags={RANGE_START: "2025-01-01", RANGE_END: "2026-02-04"})
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)
    assert len(stored.all_logs(made.run_id)) == 2 * 400
    assert len(statements) < 40


def test_a_check_that_a_run_has_planned_is_shown_as_such(
    stored: dg.DagsterInstance, postgres: PostgresServer, database: str
) -> None:
    job = dg.Definitions([whole], asset_checks=[sound], jobs=[dg.define_asset_job("all_of_it")])
    stored.create_run_for_job(job.resolve_job_def("all_of_it"))
    query = "SELECT check_name, execution_status FROM asset_check_executions"
    assert postgres.execute(query, database) == [("sound", "PLANNED")]


def test_runs_of_many_nights_go_and_what_they_built_stays_shown(
    stored: dg.DagsterInstance, postgres: PostgresServer, database: str
) -> None:
    for day in range(1, 4):
        tags = {RANGE_START: f"2025-01-{day:02}", RANGE_END: f"2025-01-{day + 1:02}"}
        assert dg.materialize([first, second], instance=stored, tags=tags).success
        assert remove_runs(stored, ALL_OF_TIME) == RetentionResult(removed=1)
        assert stored.get_runs_count() == 0
        stored.wipe_asset_cached_status([FIRST])
        status = get_and_update_asset_status_cache_value(stored, FIRST, DAYS)
        assert status is not None
        assert len(status.deserialize_materialized_partition_subsets(DAYS).get_partition_keys()) == day + 1
    ((rows,),) = postgres.execute("SELECT count(*) FROM event_logs", database)
    assert rows == 2 * 4 + 1, "a day of each asset, and the day that an event has named"


def test_every_process_stores_batches_and_knows_the_instance(
    stored: dg.DagsterInstance, postgres: PostgresServer, database: str, tmp_path: Path
) -> None:
    assert os.environ[BATCH_SIZE_VARIABLE] == "1000"
    with postgres_instance(postgres.url(database, "loader"), tmp_path / "elsewhere") as again:
        assert instance_id(again) == instance_id(stored)
