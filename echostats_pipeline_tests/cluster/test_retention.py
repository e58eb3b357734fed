"""Two months of nights: retention in PostgreSQL keeps the number of runs within bounds, and each day built shown."""

from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from echostats_pipeline.model.base import utc_now
from echostats_pipeline.orchestration.instance.retention import remove_runs
from echostats_pipeline_tests.cluster.conftest import Figure
from echostats_pipeline_tests.orchestration.dagster_patches.test_sqlite_event_log import DAYS, first, second
from echostats_pipeline_tests.orchestration.instance_factories import postgres_instance
from echostats_pipeline_tests.postgres_server import PostgresServer

pytest.importorskip("dagster_postgres")
pytestmark = pytest.mark.cluster

NIGHTS, KEPT_DAYS = 60, 14
BEGINNING = date(2025, 1, 1)


def test_runs_of_60_nights_are_bounded_and_what_they_built_stays_green(
    postgres: PostgresServer, tmp_path: Path, figure: Figure
) -> None:
    name, counts = postgres.create(), []
    with postgres_instance(postgres.url(name, "loader"), tmp_path) as instance:
        for night in range(NIGHTS):
            day = str(BEGINNING + timedelta(days=night))
            assert dg.materialize([first, second], instance=instance, partition_key=day).success
            for table, column in (("runs", "create_timestamp"), ("event_logs", "timestamp")):
                postgres.execute(f"UPDATE {table} SET {column} = {column} - interval '1 day'", name)
            remove_runs(instance, utc_now() - timedelta(days=KEPT_DAYS))
            counts.append(instance.get_runs_count())
        instance.wipe_asset_cached_status([first.key])
        status = get_and_update_asset_status_cache_value(instance, first.key, DAYS)
    assert status is not None
    green = len(status.deserialize_materialized_partition_subsets(DAYS).get_partition_keys())
    ((rows,),) = postgres.execute("SELECT count(*) FROM event_logs", name)
    postgres.drop(name)
    figure(
        f"9: over {NIGHTS} simulated nights at most {max(counts)} runs and at the end {rows} events; {green} days green"
    )
    assert max(counts[KEPT_DAYS:]) == max(counts) <= KEPT_DAYS
    assert green >= NIGHTS
