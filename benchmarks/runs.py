"""Writes many runs with chosen dates into Dagster's tables; through Dagster's API each costs 10 ms."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable
from dagster_shared.serdes import serialize_value

from echostats_pipeline.orchestration.partitions import PARTITION, range_tags
from echostats_pipeline.orchestration.tags import USER_TAG

TOOK = timedelta(seconds=5)


def round_of(user_key: str, at: datetime) -> list[tuple[dg.DagsterRun, datetime]]:
    """The two runs of a quarter of an hour for a user who listens; both have succeeded."""
    done = dg.DagsterRunStatus.SUCCESS
    days = range_tags(at.date(), at.date(), user_key)
    common = {USER_TAG: user_key, "dagster/max_runtime": "900", "dagster/from_sensor": "true"}
    key = f"{user_key}@{at:%H:%M}"
    sync = {**common, **days, "dagster/run_key": key, "dagster/sensor_name": f"sync_{user_key.replace('-', '_')}"}
    build = {**common, PARTITION: user_key, "dagster/sensor_name": "stale_snapshots"}
    return [
        (dg.DagsterRun(job_name="user_sync", status=done, tags=sync), at),
        (dg.DagsterRun(job_name="snapshot_build", status=done, tags=build), at + TOOK),
    ]


def add_runs(instance: dg.DagsterInstance, runs: Iterable[tuple[dg.DagsterRun, datetime]]) -> None:
    """Store runs that were created at the given instants and ended `TOOK` later."""
    storage, rows, tags = instance.run_storage, [], []
    assert isinstance(storage, SqlRunStorage)  # noqa: S101 - what dagster.yaml says
    for run, at in sorted(runs, key=lambda each: each[1]):
        created = at.astimezone(UTC).replace(tzinfo=None)
        rows.append(
            {
                "run_id": run.run_id,
                "pipeline_name": run.job_name,
                "status": run.status.value,
                "run_body": serialize_value(run),
                "partition": run.tags.get(PARTITION),
                "create_timestamp": created,
                "update_timestamp": created + TOOK,
                "start_time": at.timestamp(),
                "end_time": (at + TOOK).timestamp(),
            }
        )
        tags += [{"run_id": run.run_id, "key": name, "value": value} for name, value in run.tags.items()]
    with storage.connect() as connection:
        connection.execute(RunsTable.insert(), rows)
        connection.execute(RunTagsTable.insert(), tags)
