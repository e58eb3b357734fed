"""Measures a day of some users under a real `echostats up`: time, memory and disk (Linux only).

The simulated Spotify lives a day behind. Each round moves its clock on by a quarter of an hour, launches a sync of
every user over GraphQL, and waits until the snapshots of all users with changed plays are fresh. The daemon, its queue,
the sensors and the processes of runs are real; only the pauses between the rounds are left out. All syncs are launched
at once and share one slot at Spotify, so the last of five waits for four others. The floor of a sync is the work of the
idle installation in the same time.

    python -m benchmarks.day                   # 96 rounds, about an hour
    python -m benchmarks.day --users 1         # a quarter of that
    python -m benchmarks.day --rounds 6
"""

import argparse
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from statistics import linear_regression, median, quantiles
from typing import Any
from zoneinfo import ZoneInfo

import requests

from benchmarks.processes import TIMEOUT_S, cpu_seconds, disk_mib, memory_mib, workplace
from echostats_pipeline.cli.simulated import SEED
from echostats_pipeline.local import mongod
from echostats_pipeline.local.database import open_store
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.orchestration.tags import USER_TAG
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.simulator.world import World
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import local_date
from echostats_pipeline_tests.integration.consent import connect
from echostats_pipeline_tests.integration.graphql_client import Graphql
from echostats_pipeline_tests.integration.processes import environment, eventually, interrupt, started

INTERVAL = timedelta(minutes=15)
BEHIND = timedelta(days=1)
IDLE_S = 65.0
"""Longer than the pause of any sensor."""
FIRST_S, ROUND_S = 600.0, 300.0
POLL_S = 0.25
UNBOUNDED = {"SPOTIFY_DAILY_CALLS": "1000000", "SPOTIFY_BURST_CALLS": "1000000", "SYNC_INTERVAL_MINUTES": "1440"}
"""A day within an hour does not fit into a day's quota, and only this program requests syncs."""
CLI = ("-m", "echostats_pipeline.cli.main")
LAUNCH = """mutation($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
RUNS = """query($filter: RunsFilter) { runsOrError(filter: $filter) {
  ... on Runs { count results { runId jobName status } } } }"""
LOGS = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection {
  events { __typename ... on MessageEvent { message } } } } }"""
LOCATIONS = "query { repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
UNFINISHED = ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"]


@dataclass
class Day:
    """An installation under test, and its measurements."""

    settings: Settings
    store: Store
    ui: Graphql
    simulator_url: str
    users: Sequence[User]
    synced_s: list[float] = field(default_factory=list)
    fresh_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    rounds_s: list[float] = field(default_factory=list)
    memory: list[tuple[float, Counter[str]]] = field(default_factory=list)

    def round(self) -> None:
        """Run a quarter of an hour: sync every user, and wait for all runs that follow."""
        now = move_clock(self.simulator_url, INTERVAL)
        started, cpu, since = time.monotonic(), cpu_seconds(self.settings.home), utc_now()
        runs = {self._launch(user, now): user for user in self.users}
        syncing, stale = set(runs), {user.user_id for user in self.users}
        while (syncing or stale) and time.monotonic() - started < ROUND_S:
            time.sleep(POLL_S)
            passed = time.monotonic() - started
            ended = syncing - self.unfinished()
            self.synced_s += [passed] * len(ended)
            syncing -= ended
            pending = set(self.store.marks.pending("analytics_snapshots"))  # read before the step that clears it
            fresh = self._fresh(stale, since)
            self.fresh_s += [passed] * len(fresh)
            waiting = {runs[run].user_id for run in syncing} | pending
            stale = (stale - fresh) & waiting
        if syncing or stale:
            raise TimeoutError(f"A round has not ended in {ROUND_S:.0f} seconds")
        self.settle()
        self.rounds_s.append(time.monotonic() - started)
        self.cpu_s.append((cpu_seconds(self.settings.home) - cpu) / len(self.users))

    def has_begun(self) -> bool:
        """Whether every user has first snapshots."""
        return len(self.store.db["analytics_snapshots"].distinct("user_id")) == len(self.users)

    def idle_cpu(self) -> float:
        """CPU seconds per second while the installation is idle; waits until it is."""
        while True:
            self.settle()
            runs, used = self.runs()["count"], cpu_seconds(self.settings.home)
            time.sleep(IDLE_S)
            used = cpu_seconds(self.settings.home) - used
            if self.runs()["count"] == runs:
                return used / IDLE_S

    def failures(self) -> list[str]:
        """Failed and canceled runs, with the errors in Dagster and in their job records."""
        said = []
        for run in self.runs(statuses=["FAILURE", "CANCELED"])["results"]:
            events = self.ui.ask(LOGS, id=run["runId"])["logsForRun"]["events"]
            reasons = [each["message"] for each in events if each["__typename"] == "RunFailureEvent"]
            reasons += [job.error_message for job in self.store.jobs.of_run(run["runId"])]
            said.append(f"{run['jobName']} {run['status']}: {'; '.join(reasons)}")
        return said

    def settle(self) -> None:
        """Wait for the end of all runs."""
        eventually("end of all runs", lambda: not self.unfinished())

    def unfinished(self) -> set[str]:
        """Ids of the runs that have not ended."""
        return {run["runId"] for run in self.runs(statuses=UNFINISHED)["results"]}

    def runs(self, **wanted: Any) -> Any:
        """Number of runs, and their ids."""
        return self.ui.ask(RUNS, filter=wanted)["runsOrError"]

    def _fresh(self, user_ids: set[str], since: datetime) -> set[str]:
        newer = {"user_id": {"$in": sorted(user_ids)}, "computed_at": {"$gt": since}}
        return set(self.store.db["analytics_snapshots"].distinct("user_id", newer))

    def _launch(self, user: User, now: datetime) -> str:
        today = local_date(now, ZoneInfo(user.timezone))
        tags = {USER_TAG: user.partition_key, **range_tags(today, today, user.partition_key)}
        (repository,) = self.ui.ask(LOCATIONS)["repositoriesOrError"]["nodes"]
        params = {
            "selector": {
                "pipelineName": "user_sync",
                "repositoryName": repository["name"],
                "repositoryLocationName": repository["location"]["name"],
            },
            "runConfigData": {},
            "mode": "default",
            "executionMetadata": {"tags": [{"key": name, "value": value} for name, value in tags.items()]},
        }
        launched = self.ui.ask(LAUNCH, params=params)["launchPipelineExecution"]
        return str(launched["run"]["runId"])

    def sample_memory(self) -> None:
        """Record the memory of every process."""
        self.memory.append((time.monotonic(), memory_mib(self.settings.home)))


def main() -> None:
    """Simulate the day and print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=96)
    parser.add_argument("--users", type=int, default=5)
    arguments = parser.parse_args()
    rounds = arguments.rounds
    with workplace() as folder, installation(folder / "home", arguments.users) as day:
        idle = day.idle_cpu()
        runs, disk = day.runs()["count"], disk_mib(StateFolder(day.settings.home).dagster_dir)
        day.sample_memory()
        for number in range(1, rounds + 1):
            day.round()
            day.sample_memory()
            print(f"round {number}: {day.rounds_s[-1]:.0f} s, {day.cpu_s[-1]:.1f} CPU s a user", flush=True)
        report(day, idle, day.runs()["count"] - runs, disk_mib(StateFolder(day.settings.home).dagster_dir) - disk)


@contextmanager
def installation(home: Path, user_count: int) -> Iterator[Day]:
    """Users with their first sync done, and all processes running."""
    settings = load_settings({**environment(home), **UNBOUNDED}, env_file=None)
    port, simulator_port = free_port(), free_port()
    url = f"http://127.0.0.1:{simulator_port}"
    simulate = ("simulate", "--users", str(user_count), "--port", str(simulator_port))
    folder = StateFolder(home).ensure()
    with started(home, *CLI, *simulate) as simulator:
        eventually("simulator", lambda: simulator_answers(url), simulator)
        move_clock(url, -BEHIND)
        folder.write_json(folder.simulator_file, {"url": url})
        with mongod.running(folder), open_store(settings, indexes=True) as store:
            people = World(seed=SEED, user_count=user_count).users
            users = [connect(settings, store, url, person.id, person.timezone) for person in people]
        with started(home, *CLI, "up", "--port", str(port), **UNBOUNDED) as process:
            ui = Graphql(port, timeout_s=TIMEOUT_S)
            eventually("webserver", ui.answers, process)
            with open_store(settings) as store:
                day = Day(settings, store, ui, url, users)
                await_first_snapshots(day)
                yield day
            interrupt(process)


def await_first_snapshots(day: Day) -> None:
    """Wait until the sensors of a new installation have built the first snapshots."""
    deadline = time.monotonic() + FIRST_S
    while not day.has_begun():
        if time.monotonic() > deadline:
            raise TimeoutError(f"No first snapshots of all users in {FIRST_S:.0f} seconds")
        time.sleep(POLL_S)


def move_clock(simulator_url: str, by: timedelta) -> datetime:
    """Move the simulator's clock on, or back. Return its instant then."""
    body = {"advance_seconds": by.total_seconds()}
    answer = requests.post(f"{simulator_url}/simulator/clock", json=body, timeout=30)
    return datetime.fromisoformat(answer.json()["now"])


def simulator_answers(url: str) -> bool:
    """Whether the simulator responds."""
    try:
        return requests.get(f"{url}/simulator/clock", timeout=5).ok
    except requests.RequestException:
        return False


def report(day: Day, idle: float, runs: int, disk: float) -> None:
    """Print all results."""
    failures = day.failures()
    snapshots = f"{len(day.fresh_s)} snapshots, {runs - len(day.synced_s) - len(day.fresh_s)} other runs"
    print(f"{len(day.rounds_s)} rounds: {len(day.synced_s)} syncs, {snapshots}; failed: {len(failures)} (goal 0)")
    for failure in failures:
        print(f"  {failure}")
    print(f"a round: {spread(day.rounds_s)}; launch to end of a sync: {spread(day.synced_s)}")
    print(f"launch to fresh snapshot: {spread(day.fresh_s)}")
    floor = idle * median(day.rounds_s) / len(day.users)
    ratio = median(day.cpu_s) / floor
    print(f"CPU of a user's sync with all that follows: {spread(day.cpu_s)} = {ratio:.1f} x floor")
    print(f"floor: idle, {idle * 100:.0f} % of a core, {floor:.2f} s in one user's part of a round")
    print(f"disk of the Dagster folder: {disk * 1024 / max(runs, 1):.0f} KiB per run ({runs} runs, {disk:.1f} MiB)")
    print_memory(day.memory)


def print_memory(samples: Sequence[tuple[float, Counter[str]]]) -> None:
    """Print resident memory at the start, each quarter and the end, and its slope."""
    quarters = [round(number * (len(samples) - 1) / 4) for number in range(5)]
    hours = [(at - samples[0][0]) / 3600 for at, _ in samples]
    print(f"{'RSS, MiB':<14}{'start':>8}{'1/4':>8}{'1/2':>8}{'3/4':>8}{'end':>8}{'per hour':>10}{'per round':>11}")
    lasting = sorted({name for _, found in samples for name in found if name != "runs"})
    for name in (*lasting, "sum"):
        values = [sum(found[each] for each in (lasting if name == "sum" else [name])) for _, found in samples]
        slope = linear_regression(hours, values).slope if len(samples) > 1 else 0.0
        a_round = slope * hours[-1] / max(len(samples) - 1, 1)
        row = "".join(f"{values[quarter]:>8,}" for quarter in quarters)
        print(f"{name:<14}{row}{slope:>+10.0f}{a_round:>+11.2f}")


def spread(seconds: Sequence[float]) -> str:
    """Median and ninth decile."""
    ninth = quantiles(seconds, n=10)[8] if len(seconds) > 1 else sum(seconds)
    return f"median {median(seconds or [0]):.1f} s, p90 {ninth:.1f} s"


def free_port() -> int:
    """A port on which no program listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    main()
