"""Measures what runs cost on SQLite and on PostgreSQL: the part of each run, and the part of each of its users.

Runs execute in this process, so that its start is not part of them; that is measured apart. `benchmarks.cluster` prints
the result.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import yaml
from dagster._core.instance.ref import InstanceRef

from benchmarks.measuring import timed
from benchmarks.processes import children_of, cpu_of, disk_mib
from benchmarks.round import spotify
from echostats_pipeline.cli.instance import prepare_dagster_home
from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.local.database import open_store
from echostats_pipeline.local.mongod import running
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.orchestration.automation.run_requests import sync_requests, users_requests
from echostats_pipeline.orchestration.dagster_patches.sqlite_event_log import BATCH_SIZE, BATCH_SIZE_VARIABLE
from echostats_pipeline.settings import environment, load_settings
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.cluster.shipped import DEPLOY
from echostats_pipeline_tests.postgres_server import PASSWORD, PostgresServer, running_postgres

FEW, MANY = 1, 20
"""Users of the two runs from whose difference the cost of a user follows."""
INTERVAL_MINUTES = 1440
UNBOUNDED = {
    "SYNC_INTERVAL_MINUTES": str(INTERVAL_MINUTES),
    "SPOTIFY_BURST_CALLS": "100000",
    "SPOTIFY_DAILY_CALLS": "1000000",
}
WORK = (
    ("a first sync, of three days and 50 new plays", "user_sync"),
    ("snapshots", "snapshot_build"),
    ("a sync of today that finds nothing new", "user_sync"),
)
PARTS = (("CPU of its process", "ms"), ("of mongod", "ms"), ("of PostgreSQL", "ms"), ("history", "KiB"))
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


class Cost(NamedTuple):
    """CPU milliseconds of a run: of its process, of mongod, of PostgreSQL; and the KiB that Dagster stores of it."""

    process: float
    mongod: float
    postgres: float
    stored: float


def print_run_costs(folder: Path) -> None:
    """Measure runs of few and of many users on both storages, and print what a run and a user cost."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "ECHOSTATS_HOME": str(folder / "home"),
        "ECHOSTATS_EMBEDDED_MONGO": "1",
        "ECHOSTATS_SENSORS": "fanout",
        "ECHOSTATS_AUDIO_FEATURES": "none",
        BATCH_SIZE_VARIABLE: str(BATCH_SIZE),
        **UNBOUNDED,
    }
    settings = load_settings(environ, env_file=None)
    home = StateFolder(settings.home).ensure()
    print(f"the start of a run's process, until the code is loaded: {start_of_process(environ):.1f} CPU s")
    with (
        environment(environ),
        running(home) as mongod,
        running_postgres() as postgres,
        spotify(settings, 2 * (FEW + MANY), answer_s=0),
        open_store(settings, indexes=True) as store,
    ):
        users = store.users.all()
        home_of_sqlite = prepare_dagster_home(home)
        on_sqlite = Bench(
            store, nullcontext(home_of_sqlite), mongod.pid, postgres, lambda: disk_mib(home_of_sqlite) * 1024
        )
        print_costs("SQLite", on_sqlite, [user.user_id for user in users[: FEW + MANY]])
        database = postgres.create()
        size = f"SELECT pg_database_size('{database}')"
        on_postgres = Bench(
            store,
            postgres_home(folder / "postgres", postgres, database),
            mongod.pid,
            postgres,
            lambda: postgres.execute(size)[0][0] / 1024,
        )
        print_costs("PostgreSQL", on_postgres, [user.user_id for user in users[FEW + MANY :]])


@dataclass(frozen=True)
class Bench:
    """What runs are measured on: the databases, Dagster's home, and how many KiB its history has by now."""

    store: Store
    dagster_home: AbstractContextManager[Path]
    mongod_pid: int
    postgres: PostgresServer
    stored_kib: Callable[[], float]

    def cost(self, instance: dg.DagsterInstance, run: dg.JobDefinition, request: dg.RunRequest) -> Cost:
        """Execute a run, and return what it cost."""
        before, stored = of_postgres(self.postgres), self.stored_kib()
        taken, _ = timed(
            self.mongod_pid,
            lambda: run.execute_in_process(
                instance=instance, run_config=QUIET, tags=dict(request.tags), partition_key=request.partition_key
            ),
        )
        of_server = of_postgres(self.postgres) - before
        return Cost(taken.own * 1000, taken.server * 1000, of_server * 1000, self.stored_kib() - stored)


def print_costs(name: str, bench: Bench, user_ids: Sequence[str]) -> None:
    """Measure the runs of `WORK` on one storage."""
    definitions = build_definitions()
    with bench.dagster_home as place, dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(place))) as instance:
        keys = [user.partition_key for user in bench.store.users.all() if user.user_id in user_ids]
        instance.add_dynamic_partitions("users", keys)
        for what, job in WORK:
            users = [user for user in bench.store.users.all() if user.user_id in user_ids]
            costs = []
            for part in (users[:FEW], users[FEW:]):
                if job == "user_sync":
                    (request,) = sync_requests(part, utc_now(), INTERVAL_MINUTES, order=keys, batch_size=MANY)
                else:
                    mine = [user.partition_key for user in part]
                    (request,) = users_requests(mine, order=keys, batch_size=MANY)
                costs.append(bench.cost(instance, definitions.resolve_job_def(job), request))
            print(f"{name}, {what}: {said(*costs)}", flush=True)


def said(few: Cost, many: Cost) -> str:
    """What a run costs, and each of its users."""
    a_user = Cost(*(max(large - small, 0.0) / (MANY - FEW) for small, large in zip(few, many, strict=True)))
    a_run = Cost(*(max(small - FEW * each, 0.0) for small, each in zip(few, a_user, strict=True)))
    return "; ".join(
        f"{part} {of_run:.0f} {unit} a run + {of_user:.1f} {unit} a user"
        for (part, unit), of_run, of_user in zip(PARTS, a_run, a_user, strict=True)
    )


@contextmanager
def postgres_home(folder: Path, server: PostgresServer, database: str) -> Iterator[Path]:
    """The folder of an instance whose history is in PostgreSQL, as `deploy` configures it."""
    names = {"HOST": "127.0.0.1", "USERNAME": "loader", "PASSWORD": PASSWORD, "DB": database}
    config = yaml.safe_load((DEPLOY / "dagster.yaml").read_text(encoding="utf-8"))
    config["storage"]["custom"]["config"]["postgres_db"]["port"] = server.port
    folder.mkdir()
    (folder / "dagster.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with environment({f"DAGSTER_PG_{name}": value for name, value in names.items()}):
        yield folder


def of_postgres(server: PostgresServer) -> float:
    """CPU seconds of PostgreSQL so far."""
    process = server.process.running
    return 0.0 if process is None else sum(map(cpu_of, children_of(process.pid)))


def start_of_process(environ: dict[str, str]) -> float:
    """CPU seconds that a process takes to load the code."""
    before = os.times()
    command = [sys.executable, "-c", "from echostats_pipeline.definitions import build_definitions as b; b()"]
    subprocess.run(command, env=environ, check=True, cwd=Path(__file__).parents[1])  # noqa: S603 - our own interpreter
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system
