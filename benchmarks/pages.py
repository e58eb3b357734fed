"""Measures how long the asset pages of the Dagster UI wait for the webserver, with fourteen years of days per user.

A SQLite instance is filled with materializations of the three assets by day, and a real webserver answers the UI's
queries. The queries are the UI's own, reduced to the fields that take time. Cold is the first time after the
webserver's start, warm is the median of five. The floor is the query for the version alone (Linux only).

    python -m benchmarks.pages                     # 5 users
    python -m benchmarks.pages --users 5 50        # minutes, and gigabytes
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import dagster as dg
from dagster._core.events import StepMaterializationData
from dagster._core.events.log import EventLogEntry

from benchmarks.day import free_port
from benchmarks.processes import TIMEOUT_S, disk_mib, memory_mib, workplace
from benchmarks.runs import add_runs, round_of
from echostats_pipeline.cli.instance import open_instance, project_file
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.orchestration.instance.sensor_roster import Roster
from echostats_pipeline.orchestration.partitions import day_partition
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline_tests.integration.graphql_client import Graphql
from echostats_pipeline_tests.integration.processes import environment, eventually, started

DAYS = 5_110
ASSETS = ("recently_played", "listening_history", "daily_rollups")
LAST = date(2026, 11, 1)
ROUNDS = 20
WARM = 5
GRAPH = """query($keys: [AssetKeyInput!]!) {
  assetNodes(assetKeys: $keys, loadMaterializations: true) {
    id assetKey { path } opNames repository { id }
    assetMaterializations(limit: 1) { timestamp runId }
    assetObservations(limit: 1) { timestamp runId }
    partitionStats { numMaterialized numMaterializing numPartitions numFailed } }
  assetsLatestInfo(assetKeys: $keys) {
    assetKey { path } unstartedRunIds inProgressRunIds latestRun { id status endTime } } }"""
HEALTH = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionKeysByDimension { name type }
  assetPartitionStatuses { __typename ... on MultiPartitionStatuses {
    primaryDimensionName
    ranges { primaryDimStartKey primaryDimEndKey primaryDimStartTime primaryDimEndTime secondaryDim {
      ... on TimePartitionStatuses { ranges { status startTime endTime startKey endKey } }
      ... on DefaultPartitionStatuses { materializedPartitions materializingPartitions failedPartitions } } } } }
} } }"""
EVENTS = """query($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset {
  assetMaterializations(limit: 50) { runId timestamp partition label metadataEntries { label } tags { key value }
    runOrError { ... on Run { id jobName status } } } } } }"""
RUNS = """query { runsOrError(limit: 50) { ... on Runs { results {
  id runId status jobName creationTime startTime endTime tags { key value } assetSelection { path } } } } }"""


def main() -> None:
    """Fill, query, and print the table for every number of users."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[5])
    parser.add_argument("--days", type=int, default=DAYS)
    arguments = parser.parse_args()
    for count in arguments.users:
        with workplace() as folder:
            measure(folder / "home", count, arguments.days)


def measure(home: Path, count: int, days: int) -> None:
    """Fill an instance and print the times of its pages."""
    settings = load_settings(environment(home), env_file=None)
    os.environ["ECHOSTATS_HOME"] = str(home)
    keys = [f"listener-{number:06x}" for number in range(count)]
    with open_instance(settings) as instance:
        began = time.perf_counter()
        stored = fill(instance, keys, days)
        took = time.perf_counter() - began
        Roster(home).write(keys)
        print(f"{count} users, {days:,} days, {len(ASSETS)} assets: {stored:,} materializations in {took:.0f} s")
        with webserver(settings) as ui:
            table = {name: [timed(ask)] for name, ask in queries(ui).items()}
            for name, ask in queries(ui).items():
                table[name].append(median(timed(ask) for _ in range(WARM)))
            for number, (name, ask) in enumerate(queries(ui).items()):
                materialize(instance, keys[0], [LAST + timedelta(days=1 + number)])
                table[name].append(timed(ask))
            for number, (name, ask) in enumerate(queries(ui).items()):
                instance.add_dynamic_partitions("users", [f"newcomer-{number:06x}"])
                table[name].append(timed(ask))
            memory = memory_mib(home)
    floor = table["version (floor)"][1]
    print(f"{'seconds':<24}{'cold':>9}{'warm':>9}{'new day':>9}{'new user':>9}{'warm x floor':>14}")
    for name, seconds in table.items():
        print(f"{name:<24}" + "".join(f"{each:>9.3f}" for each in seconds) + f"{seconds[1] / floor:>14.1f}")
    print(f"disk: {disk_mib(StateFolder(home).dagster_dir):,.0f} MiB; RSS: {dict(memory)} MiB")


def queries(ui: Graphql) -> dict[str, Callable[[], Any]]:
    """The queries of the UI, by page."""
    key = {"path": [ASSETS[-1]]}
    return {
        "version (floor)": lambda: ui.ask("query { version }"),
        "asset graph, live": lambda: ui.ask(GRAPH, keys=[{"path": [name]} for name in ASSETS]),
        "partitions of an asset": lambda: ui.ask(HEALTH, key=key),
        "events of an asset": lambda: ui.ask(EVENTS, key=key),
        "runs": lambda: ui.ask(RUNS),
    }


def timed(ask: Callable[[], Any]) -> float:
    """Seconds until the response."""
    started_at = time.perf_counter()
    ask()
    return time.perf_counter() - started_at


def fill(instance: dg.DagsterInstance, keys: list[str], days: int) -> int:
    """Store all days of all users for every asset, one run per user, and some hundred ordinary runs."""
    instance.add_dynamic_partitions("users", keys)
    span = [LAST - timedelta(days=number) for number in reversed(range(days))]
    stored = sum(materialize(instance, key, span) for key in keys)
    now = utc_now()
    quarters = [now - timedelta(minutes=15 * number) for number in range(ROUNDS)]
    add_runs(instance, [run for at in quarters for key in keys for run in round_of(key, at)])
    return stored


def materialize(instance: dg.DagsterInstance, key: str, span: list[date]) -> int:
    """Store materializations of these days of every asset by a run of one user. Return how many were stored."""
    now = utc_now()
    run = dg.DagsterRun(job_name="rollup_build", status=dg.DagsterRunStatus.SUCCESS)
    add_runs(instance, [(run, now)])
    for name in ASSETS:
        events = []
        for day in span:
            built = dg.AssetMaterialization(name, partition=day_partition(key, day), metadata={"rows": 50})
            event = dg.DagsterEvent(
                event_type_value="ASSET_MATERIALIZATION",
                job_name=run.job_name,
                event_specific_data=StepMaterializationData(built),
            )
            events.append(
                EventLogEntry(  # type: ignore[no-untyped-call]
                    error_info=None,
                    level=20,
                    user_message="",
                    run_id=run.run_id,
                    timestamp=now.timestamp(),
                    job_name=run.job_name,
                    dagster_event=event,
                )
            )
        instance.event_log_storage.store_event_batch(events)
    return len(ASSETS) * len(span)


@contextmanager
def webserver(settings: Settings) -> Iterator[Graphql]:
    """A webserver on the instance, alone with its code server."""
    ui = Graphql(port := free_port(), timeout_s=TIMEOUT_S)
    dagster_home = str(StateFolder(settings.home).dagster_dir)
    options = ["-w", str(project_file("workspace.yaml")), "-h", "127.0.0.1", "-p", str(port)]
    with started(settings.home, "-m", "dagster_webserver", *options, DAGSTER_HOME=dagster_home) as process:
        eventually("webserver", lambda: ui.answers() or None, process)
        eventually("code location", lambda: ui.ask("query { assetNodes { id } }")["assetNodes"] or None, process)
        yield ui


if __name__ == "__main__":
    main()
