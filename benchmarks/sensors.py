"""Measures one tick of every sensor, with few and with many users, to find sensors that do not keep up.

The database is a real MongoDB, the Dagster instance a real SQLite one. Every user had two runs in the last quarter of
an hour, and five users had a day of runs. One user in twenty waits for a snapshot, one in fifty for rollups; one in
fifty has an open incident. A tick is the daemon's work besides the call to the code server (some 40 ms): resources and
evaluation. The floor is the cheapest possible tick, which reads all users and one run.

    python -m benchmarks.sensors
    python -m benchmarks.sensors --users 5 100 --ticks 3
"""

import argparse
import logging
import os
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import dagster as dg
from bson import ObjectId
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationPlanned
from dagster._core.definitions.partitions.context import partition_loading_context

from benchmarks.processes import workplace
from benchmarks.runs import add_runs, round_of
from echostats_pipeline.cli.instance import open_instance
from echostats_pipeline.definitions import build_definitions, build_resources
from echostats_pipeline.local.database import open_store
from echostats_pipeline.local.mongod import running
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.operations import Incident, SyncJob
from echostats_pipeline.model.statistics import PERIODS
from echostats_pipeline.model.users import User, partition_key
from echostats_pipeline.orchestration.automation.alerts import ALERT_SENSORS
from echostats_pipeline.orchestration.automation.sensors import SENSORS, fan_out_sensor, sync_sensor
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.orchestration.tags import USER_TAG
from echostats_pipeline.settings import load_settings
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.store import Store

INTERVAL_MINUTES = 15
BUSIEST = 5
ROUNDS_A_DAY = 96
SNAPSHOT_BYTES = 20_000
CHECKS_STORED = 60
"""Syncs whose checks were evaluated a moment ago."""
SLOW_MS = 100.0
"""Most milliseconds above the floor."""


@dg.sensor(name="floor", job_name="user_sync")
def cheapest(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SkipReason:
    """The least work of any tick."""
    users = list(store.get().db["users"].find())
    runs = context.instance.get_run_records(limit=1)
    return dg.SkipReason(f"{len(users)} users, {len(runs)} run")


def main() -> None:
    """Measure every sensor with every number of users, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[5, 100, 1_000])
    parser.add_argument("--ticks", type=int, default=7)
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    measured = {count: measure(count, arguments.ticks) for count in arguments.users}
    most = arguments.users[-1]
    print(f"Median of {arguments.ticks} warm ticks in ms, by number of users")
    print(f"{'sensor':<22}" + "".join(f"{count:>10,}" for count in measured) + f"{'x floor':>10}")
    for name, slowest in measured[most].items():
        row = "".join(f"{ticks[name]:>10.1f}" for ticks in measured.values())
        slow = "  slow" if slowest > measured[most]["floor"] + SLOW_MS else ""
        print(f"{name:<22}{row}{slowest / measured[most]['floor']:>10.1f}{slow}")


def measure(count: int, ticks: int) -> dict[str, float]:
    """Milliseconds of one tick by sensor."""
    with workplace() as folder:
        settings = load_settings({"ECHOSTATS_HOME": str(folder / "home")}, env_file=None)
        os.environ["ECHOSTATS_HOME"] = str(settings.home)
        home = StateFolder(settings.home).ensure()
        with (
            running(home),
            open_store(settings, indexes=True) as store,
            open_instance(settings) as instance,
        ):
            keys = fill(store, instance, count)
            first = sync_sensor(keys[0], INTERVAL_MINUTES)
            fan_out = fan_out_sensor(INTERVAL_MINUTES, settings.sync_batch_size)
            repository = build_definitions(roster=keys[:1], settings=settings).get_repository_def()
            sensors = (cheapest, first, fan_out, *SENSORS, *ALERT_SENSORS)
            cursors: dict[str, str | None] = {}
            took: dict[str, list[float]] = {sensor.name: [] for sensor in sensors}
            for _ in range(ticks + 2):  # in turn, so that other work of the machine affects all of the sensors
                for sensor in sensors:
                    took[sensor.name].append(_tick(sensor, instance, repository, cursors))
            return {"sync_<user>" if name == first.name else name: median(each[2:]) for name, each in took.items()}


def _tick(
    sensor: dg.SensorDefinition,
    instance: dg.DagsterInstance,
    repository: dg.RepositoryDefinition,
    cursors: dict[str, str | None],
) -> float:
    """Milliseconds of a tick that continues from the cursor of the sensor's last one."""
    needed = sensor.required_resource_keys
    started = time.perf_counter()
    with (
        partition_loading_context(dynamic_partitions_store=instance),
        dg.build_sensor_context(
            instance=instance,
            cursor=cursors.get(sensor.name),
            sensor_name=sensor.name,
            repository_def=repository,
            resources={key: made for key, made in build_resources().items() if key in needed},
        ) as context,
    ):
        outcome = sensor.evaluate_tick(context)
    cursors[sensor.name] = outcome.cursor
    return (time.perf_counter() - started) * 1000


def fill(store: Store, instance: dg.DagsterInstance, count: int) -> list[str]:
    """Store the users and their records. Return their partition keys."""
    now = utc_now()
    users = [_user(number, now) for number in range(count)]
    store.db["users"].insert_many({"_id": user.id, **user.to_bson()} for user in users)
    keys = [user.partition_key for user in users]
    instance.add_dynamic_partitions("users", keys)
    lately = timedelta(minutes=INTERVAL_MINUTES)
    runs = [run for number, key in enumerate(keys) for run in round_of(key, now - lately * ((number + 1) / count))]
    for key in keys[:BUSIEST]:
        for number in range(1, ROUNDS_A_DAY):
            runs += round_of(key, now - lately * (number + 1))
    add_runs(instance, runs)
    by_key = {user.partition_key: user for user in users}
    store.db["sync_jobs"].insert_many(_job(by_key[run.tags[USER_TAG]], run, at) for run, at in runs)
    store.db["analytics_snapshots"].insert_many(
        {
            "user_id": user.user_id,
            "period": period,
            "period_end": now + timedelta(hours=6),
            "computed_at": now,
            "filler": "." * SNAPSHOT_BYTES,
        }
        for user in users
        for period in PERIODS
    )
    for user in users[::20]:
        store.marks.ask(user.user_id, "analytics_snapshots")
    for user in users[::50]:
        store.marks.ask(user.user_id, "daily_rollups", [str(now.date())])
        store.incidents.see(_incident(user, now))
    _evaluate_checks(instance, [run for run, _ in runs[: 2 * count] if run.job_name == "user_sync"][:CHECKS_STORED])
    return keys


def _user(number: int, now: datetime) -> User:
    user_id = ObjectId()
    return User.model_validate(
        {
            "_id": user_id,
            "spotify_id": f"listener{number}",
            "display_name": f"Listener {number}",
            "partition_key": partition_key(f"Listener {number}", str(user_id)),
            "timezone": "Europe/Berlin",
            "last_synced_at": now - timedelta(minutes=INTERVAL_MINUTES),
            "authorized_at": now,
            "simulated": True,
        }
    )


def _job(user: User, run: dg.DagsterRun, at: datetime) -> dict[str, Any]:
    return SyncJob(
        user_id=user.user_id, status="completed", dagster_run_id=run.run_id, started_at=at, completed_at=at
    ).to_bson()


def _incident(user: User, now: datetime) -> Incident:
    return Incident(
        key=f"run:library_sync:{user.partition_key}",
        kind="run",
        subject=f"library_sync failed for {user.partition_key}",
        cause="a cause",
        job_name="library_sync",
        user_key=user.partition_key,
        opened_at=now,
        last_seen_at=now,
    )


def _evaluate_checks(instance: dg.DagsterInstance, runs: Sequence[dg.DagsterRun]) -> None:
    """Store the two checks of the rollups, passed in each of the runs."""
    for run in runs:
        for name in ("daily_rollups_match_history", "no_day_is_overlong"):
            key = dg.AssetKey("daily_rollups")
            planned = AssetCheckEvaluationPlanned(asset_key=key, check_name=name)
            evaluated = dg.AssetCheckEvaluation(asset_key=key, check_name=name, passed=True, metadata={})
            for kind, data in (("PLANNED", planned), ("", evaluated)):
                event_type = "_".join(filter(None, ["ASSET_CHECK_EVALUATION", kind]))
                event = dg.DagsterEvent(event_type_value=event_type, job_name=run.job_name, event_specific_data=data)
                instance.report_dagster_event(event, run.run_id)


if __name__ == "__main__":
    main()
