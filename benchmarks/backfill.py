"""Measures what the records of a run cost: `echostats backfill` over fourteen years of a heavy listener, in one run.

The floor is the same rebuild without a run: no Dagster, no record of each day, no checks, no process to start.

    python -m benchmarks.backfill
    python -m benchmarks.backfill --users 3
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date

import dagster as dg

from benchmarks.filling import insert
from benchmarks.history import history
from benchmarks.measuring import NoProgress
from benchmarks.processes import workplace
from echostats_pipeline.cli.instance import open_instance
from echostats_pipeline.local.database import open_store
from echostats_pipeline.local.mongod import running
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.stages.statistics import rebuild_rollups
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import DayWindow

SPAN = DayWindow(date(2011, 1, 1), date(2024, 12, 27))
"""5,110 days."""


def main() -> None:
    """Time the floor, the command, and the command again when nothing has changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1)
    count = parser.parse_args().users
    with workplace() as folder:
        settings = Settings(home=folder)
        with running(StateFolder(settings.home)), open_store(settings, indexes=True) as store:
            users = [_listener(store, number) for number in range(count)]

            def rebuild() -> None:
                for user in users:
                    rebuild_rollups(store, user, list(SPAN.dates()), min_play_ms=30_000, progress=NoProgress())

            floor = _seconds(rebuild)
            store.db["daily_rollups"].delete_many({})
            first, again = (_seconds(lambda: _backfill(settings)) for _ in range(2))
        with open_instance(settings) as instance:
            runs = len(instance.get_runs(dg.RunsFilter(job_name="rollup_build")))
            days = len(instance.get_materialized_partitions(dg.AssetKey("daily_rollups")))
    wanted = SPAN.length * count
    print(f"{days:,} of {wanted:,} days materialized, {runs // 2} run(s) each time")
    print(f"floor, the rebuild alone:  {floor:6.1f} s = {wanted / floor:,.0f} days/s")
    print(f"echostats backfill:        {first:6.1f} s = {wanted / first:,.0f} days/s, {first / floor:.2f} x floor")
    print(f"again, nothing changed:    {again:6.1f} s = {wanted / again:,.0f} days/s")


def _listener(store: Store, number: int) -> User:
    user = store.users.connect({"spotify_id": str(number)}, authorized_at=utc_now(), simulated=True)
    insert(store.db, "listening_history", history(seed=number, user_id=user.user_id))
    return user


def _backfill(settings: Settings) -> None:
    command = f"-m echostats_pipeline.cli.main backfill --no-snapshots --from {SPAN.first} --to {SPAN.last}"
    subprocess.run(  # noqa: S603 - our own interpreter and arguments
        [sys.executable, *command.split()],
        env={**os.environ, "ECHOSTATS_HOME": str(settings.home), "MONGO_URI": ""},
        cwd=settings.home,
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
