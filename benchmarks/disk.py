"""Measures Dagster's disk use in a year of syncing five users every quarter of an hour, with retention every night.

One round is real: sync and snapshots of every user, with all records that Dagster writes. The year consists of copies
of it: rows with new ids, dates and partitions, and hard links for files, each counted as a file. Every night the real
retention removes runs older than a fortnight. Only one sync of `--every` is replayed. What grows with the runs is
scaled up; what grows with the days is not. The history of sensor ticks is left out, because Dagster purges it.

    python -m benchmarks.disk                  # minutes
    python -m benchmarks.disk --days 30 --every 4
"""

import argparse
import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import dagster as dg
from dagster._core.instance import InstanceRef

from benchmarks.accounts import connect_everybody, installation
from benchmarks.processes import MIB
from echostats_pipeline.cli.instance import QUIET, prepare_dagster_home
from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.dagster_patches.sqlite_event_log import BATCH_SIZE, BATCH_SIZE_VARIABLE
from echostats_pipeline.orchestration.instance.retention import remove_runs
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.orchestration.tags import USER_TAG
from echostats_pipeline.simulator.behaviour import Behaviour
from echostats_pipeline.simulator.clock import Clock
from echostats_pipeline.simulator.world import World
from echostats_pipeline.state_folder import StateFolder

USERS = 5
SYNCS_A_DAY = 96
KEEP_DAYS = 14
STEADY_AFTER = 28
SHOWN = (1, 14, 28, 90, 180, 365)
UNBOUNDED = {"SPOTIFY_DAILY_CALLS": "1000000", "SPOTIFY_BURST_CALLS": "1000000"}
RUN_TABLES = {"runs.db": ("runs", "run_tags"), "index.db": ("event_logs", "asset_check_executions")}


@dataclass
class Year:
    """A Dagster home that grows over a year, and the rows of a round that are copied.

    Attributes:
        folder: The Dagster home.
        template: The ids of the runs of one round.
        day: The date of that round.
        rows: Their rows by table, as mappings.
        tags: Tags of events, by the id of the event.
    """

    folder: Path
    template: Sequence[str]
    day: datetime
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    tags: dict[int, list[dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for database, tables in RUN_TABLES.items():
            with self.opened(database) as connection:
                for table in tables:
                    self.rows[table] = _rows(connection, table, "run_id", self.template)
                if database == "index.db":
                    ids = [row["id"] for row in self.rows["event_logs"]]
                    for row in _rows(connection, "asset_event_tags", "event_id", ids):
                        self.tags.setdefault(row["event_id"], []).append(row)

    @contextmanager
    def opened(self, database: str) -> Iterator[sqlite3.Connection]:
        """Open one of Dagster's databases; changes are committed at the end."""
        paths = list(self.folder.rglob(database))
        with closing(sqlite3.connect(paths[0], timeout=60)) as connection, connection:
            yield connection

    def live(self, date: datetime, syncs: int) -> None:
        """Add the runs of a day."""
        pause = timedelta(days=1) / syncs
        rounds = [(date + pause * number, {run: str(uuid.uuid4()) for run in self.template}) for number in range(syncs)]
        for database, tables in RUN_TABLES.items():
            with self.opened(database) as connection:
                for table in tables:
                    self._copy_rows(connection, table, rounds)
        for _, ids in rounds:
            for old, new in ids.items():
                self._copy_files(old, new)

    def _copy_rows(
        self, connection: sqlite3.Connection, table: str, rounds: Sequence[tuple[datetime, Mapping[str, str]]]
    ) -> None:
        (last,) = connection.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()  # noqa: S608 - ours
        copies, tags = [], []
        for at, ids in rounds:
            for row in self.rows[table]:
                last += 1
                copies.append({**self._moved(row, at, ids), "id": last})
                if table == "event_logs":
                    tags += [{**self._moved(tag, at, ids), "event_id": last} for tag in self.tags.get(row["id"], ())]
        _insert(connection, table, copies)
        _insert(connection, "asset_event_tags", [{name: tag[name] for name in tag if name != "id"} for tag in tags])

    def _moved(self, row: Mapping[str, Any], at: datetime, ids: Mapping[str, str]) -> dict[str, Any]:
        """A row with another time, run and day."""
        by = at - self.day
        moved: dict[str, Any] = {}
        old = row.get("run_id")
        for name, value in row.items():
            if name in {"start_time", "end_time"} and value is not None:
                moved[name] = value + by.total_seconds()
            elif name.endswith("timestamp") and value is not None:
                moved[name] = str(datetime.fromisoformat(value) + by)
            elif isinstance(value, str):
                text = value.replace(self.day.date().isoformat(), at.date().isoformat())
                moved[name] = text.replace(old, ids[old]) if old else text
            else:
                moved[name] = value
        return moved

    def _copy_files(self, old: str, new: str) -> None:
        for path in [*self.folder.glob(f"storage/**/{old}.db"), self.folder / "logs" / old]:
            if path.exists():
                target = path.with_name(path.name.replace(old, new))
                shutil.copytree(path, target, copy_function=os.link) if path.is_dir() else os.link(path, target)

    def sizes(self) -> dict[str, float]:
        """Sizes on disk, in MiB."""
        found = {"index.db": 0.0, "runs.db": 0.0, "run files": 0.0}
        for path in self.folder.rglob("*"):
            name = next((name for name in RUN_TABLES if path.name.startswith(name)), "run files")
            found[name] += path.stat().st_blocks * 512 / MIB
        return found


def main() -> None:
    """Simulate the year and print the disk use."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--every", type=int, default=16, help="replay one of this number of syncs")
    arguments = parser.parse_args()
    world = World(seed=1, user_count=USERS)
    clock = Clock()
    clock.advance(-timedelta(days=1))
    with installation(world, Behaviour(rate_limit=0), clock) as (settings, store, simulator):
        users = connect_everybody(settings, store, simulator)
        folder = prepare_dagster_home(StateFolder(settings.home))
        os.environ |= {"DAGSTER_HOME": str(folder), BATCH_SIZE_VARIABLE: str(BATCH_SIZE)}
        os.environ |= {"ECHOSTATS_HOME": str(settings.home), "ENCRYPTION_KEY": "0" * 64, **UNBOUNDED}
        with dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(folder))) as instance:
            instance.add_dynamic_partitions("users", [user.partition_key for user in users])
            definitions = build_definitions()
            one_round(definitions, instance, users, simulator.clock.now())
            simulator.clock.advance(timedelta(hours=2))
            template = one_round(definitions, instance, users, simulator.clock.now())
            year = Year(folder, template, simulator.clock.now())
            replay(year, instance, arguments.days, arguments.every)


def one_round(
    definitions: dg.Definitions, instance: dg.DagsterInstance, users: Sequence[User], now: datetime
) -> list[str]:
    """Sync every user and build their snapshots. Return the ids of the runs."""
    runs = []
    for user in users:
        tags = {USER_TAG: user.partition_key, **range_tags(now.date(), now.date(), user.partition_key)}
        for job, arguments in (
            ("user_sync", {"tags": tags}),
            ("snapshot_build", {"partition_key": user.partition_key, "tags": {USER_TAG: user.partition_key}}),
        ):
            defined = definitions.resolve_job_def(job)
            result = defined.execute_in_process(instance=instance, run_config=QUIET, **arguments)
            runs.append(result.run_id)
    return runs


def replay(year: Year, instance: dg.DagsterInstance, days: int, every: int) -> None:
    """Simulate the days, and print the table."""
    first = utc_now().astimezone(UTC) - timedelta(days=days + 1)
    syncs = SYNCS_A_DAY // every
    base, per_run = year.sizes(), 0.0
    sizes: dict[int, dict[str, float]] = {}
    nights, removed = [], 0
    for day in range(1, days + 1):
        date = first + timedelta(days=day)
        year.live(date, syncs)
        if day == 1:
            per_run = (sum(year.sizes().values()) - sum(base.values())) * MIB / (syncs * len(year.template))
        began = time.perf_counter()
        gone = remove_runs(instance, date + timedelta(days=1) - timedelta(days=KEEP_DAYS))
        if gone.removed:
            nights.append((time.perf_counter() - began) / gone.removed)
            removed += gone.removed
        if day in SHOWN or day in {STEADY_AFTER, days}:
            sizes[day] = year.sizes()
            print(f"day {day}: {sum(sizes[day].values()):.0f} MiB as replayed, {removed} runs removed", flush=True)
    report(sizes, base, every, per_run)
    night = median(nights or [0.0])
    print(f"retention: {night * 1000:.1f} ms a run, {night * SYNCS_A_DAY * 2 * USERS:.0f} s a night")


def report(sizes: Mapping[int, Mapping[str, float]], base: Mapping[str, float], every: int, per_run: float) -> None:
    """Print the sizes, scaled to all syncs, and their growth once the first runs are removed."""
    last = max(sizes)
    slopes = dict.fromkeys(base, 0.0)
    if last > STEADY_AFTER:
        slopes = {name: (sizes[last][name] - sizes[STEADY_AFTER][name]) / (last - STEADY_AFTER) for name in base}
    print(f"MiB with all {SYNCS_A_DAY} syncs a day (one of {every} replayed; what grows with runs is scaled)")
    print(f"{'day':>5}" + "".join(f"{name:>15}" for name in (*base, "total", "never removed")))
    for day, found in sizes.items():
        scaled = {
            name: base[name] + slopes[name] * day + every * max(found[name] - base[name] - slopes[name] * day, 0.0)
            for name in base
        }
        never = sum(base.values()) + day * SYNCS_A_DAY * 2 * USERS * per_run / MIB
        print(f"{day:>5}" + "".join(f"{size:>15,.0f}" for size in (*scaled.values(), sum(scaled.values()), never)))
    print(f"growth after day {STEADY_AFTER}, MiB a day: " + ", ".join(f"{n} {s:+.3f}" for n, s in slopes.items()))
    print(f"a run takes {per_run / 1024:.0f} KiB, rows included")


def _rows(connection: sqlite3.Connection, table: str, column: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    marks = ",".join("?" * len(values))
    found = connection.execute(f"SELECT * FROM {table} WHERE {column} IN ({marks})", list(values))  # noqa: S608 - ours
    names = [each[0] for each in found.description]
    return [dict(zip(names, row, strict=True)) for row in found]


def _insert(connection: sqlite3.Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        names = list(rows[0])
        marks = ",".join("?" * len(names))
        columns = ",".join(f'"{name}"' for name in names)
        statement = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 - ours
        connection.executemany(statement, [[row[name] for name in names] for row in rows])


if __name__ == "__main__":
    main()
