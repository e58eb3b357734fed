"""Starts a whole deployment on this machine from the files in `deploy`, each part on a host of its own.

Commands and variables are those of `compose.cluster.yaml` with the profile ``celery``, and the files of the instance
are those that the Dockerfile copies. Three things differ: an address of this machine stands in place of the name of a
service, the replica set has three members in place of one, and Spotify is simulated.
"""

import contextlib
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import requests

from echostats_pipeline.local.database import open_store
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import environment, load_settings
from echostats_pipeline.simulator.people import SimulatedUser
from echostats_pipeline.simulator.world import World
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.cluster.hosts import Host
from echostats_pipeline_tests.cluster.shipped import IMAGE_FOLDER, Compose, copy_image_files, raise_limits
from echostats_pipeline_tests.cluster.waiting import eventually
from echostats_pipeline_tests.integration.consent import connect
from echostats_pipeline_tests.integration.replica_sets import DATABASE, ReplicaSet, replica_set
from echostats_pipeline_tests.integration.up_process import ENDED, RUN, Ui
from echostats_pipeline_tests.postgres_server import PASSWORD, PostgresServer, free_port, running_postgres

SERVICES = ("postgres", "redis", "simulator", "webserver", "daemon", "code", "laptop")
CELERY_TASK = "dagster-celery/task_id"
"""Tag of a run on Celery."""
EVERYWHERE = "0.0.0.0"
KEY = "5e" * 32
BUDGET = {"daily": 500, "burst": 90}
"""The default budgets of calls to Spotify. The simulated Spotify refuses more than 90 in 30 seconds."""
BEHIND = timedelta(hours=12)
"""How far Spotify's clock is behind at first, so that time can pass there and no play is in the future."""
_READY = "ready."
TERMINATE = """mutation($id: String!) { terminateRun(runId: $id) { __typename
  ... on TerminateRunFailure { message } ... on PythonError { message } } }"""
STOP_SENSOR = "mutation($id: String!) { stopSensor(id: $id) { __typename ... on PythonError { message } } }"
SENSORS = """query { repositoriesOrError { ... on RepositoryConnection { nodes {
  sensors { name sensorState { id } } } } } }"""


class Deployment:
    """A running deployment.

    Attributes:
        users: The users that are connected, in the order of their partitions.
        hosts: All hosts by name: those of `SERVICES`, and the workers.
        servers: The replica set.
        postgres: The server with Dagster's history.
        ui: The webserver.
        instance: The instance, as a command on the host ``laptop`` opens it.
        store: The database, as such a command opens it.
        world: What the simulated Spotify serves.
        spotify: Address of the simulated Spotify.
        ahead: How far the clock of the simulated Spotify is ahead of that of this machine.
    """

    def __init__(
        self, hosts: dict[str, Host], servers: ReplicaSet, postgres: PostgresServer, compose: Compose, people: int
    ) -> None:
        self.hosts, self.servers, self.postgres, self._compose = hosts, servers, postgres, compose
        self.world = World(seed=1, user_count=people)
        self.spotify = f"http://{hosts['simulator'].address}:8899"
        self.ahead = timedelta()
        self.users: list[User] = []
        self._stopped: set[str] = set()
        self.ui = Ui(free_port())
        self.store: Store
        self.instance: dg.DagsterInstance
        self.settings = load_settings(hosts["laptop"].environment, env_file=None)

    @property
    def workers(self) -> list[Host]:
        return [host for name, host in sorted(self.hosts.items()) if name.startswith("worker")]

    def start(self, name: str, concurrency: int | None = None) -> "subprocess.Popen[str]":
        """Start the process of a host."""
        host = self.hosts[name]
        command = self._compose.command("worker" if name.startswith("worker") else name)
        here = {IMAGE_FOLDER: str(host.folder / "image"), EVERYWHERE: host.address}
        if name == "webserver":  # published to this machine, at a port that is free
            here[f"{EVERYWHERE}:3000"] = f"127.0.0.1:{self.ui.url.rpartition(':')[2]}"
        for shipped, used in sorted(here.items(), reverse=True, key=lambda each: len(each[0])):
            command = [part.replace(shipped, used) for part in command]
        if name.startswith("worker"):
            command += ["--loglevel=INFO", f"--hostname={name}@%h"]  # it says which runs it takes
            command += [] if concurrency is None else [f"--concurrency={concurrency}"]
        return host.start(command)

    def start_worker(self, name: str, concurrency: int | None = None) -> None:
        """Start a worker, and wait until it takes runs."""
        before = self.hosts[name].said().count(_READY)
        process = self.start(name, concurrency)
        eventually(name, lambda: self.hosts[name].said().count(_READY) > before, process)

    def echostats(self, *arguments: str, host: str = "laptop") -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return self.hosts[host].run("echostats", *arguments)

    def person(self, user: User) -> SimulatedUser:
        return self.world.user(user.spotify_id)

    def connect(self, *numbers: int) -> list[User]:
        """Connect people of the simulated Spotify by their numbers; return them as users."""
        people = [self.world.users[number] for number in numbers]
        new = [connect(self.settings, self.store, self.spotify, each.id, each.timezone) for each in people]
        self.users += new
        return new

    def behave(self, **changes: Any) -> None:
        """Change how the simulated Spotify behaves."""
        requests.post(f"{self.spotify}/simulator/behaviour", json=changes, timeout=30).raise_for_status()

    def let_pass(self, by: timedelta) -> None:
        """Let time pass for the simulated Spotify alone: its people go on listening."""
        address = f"{self.spotify}/simulator/clock"
        requests.post(address, json={"advance_seconds": by.total_seconds()}, timeout=30).raise_for_status()
        self.ahead += by

    def launch(self, job: str, tags: dict[str, str]) -> str:
        """Launch a job as a person does in the UI; return the id of the run."""
        answer = self.ui.launched(self.ui.repository(), job, tags)
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def ended(self, run_id: str) -> str:
        """The status with which a run has ended."""
        return eventually("end of a run", lambda: self.ui.ended(RUN, run_id))

    def terminate(self, run_id: str) -> None:
        """End a run as a person does in the UI."""
        answer = self.ui.ask(TERMINATE, id=run_id)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer

    def stop_sensors(self, *names: str) -> None:
        """Switch sensors off as a person does in the UI."""
        names = tuple(set(names) - self._stopped)
        if not names:
            return
        self._stopped.update(names)
        (repository,) = self.ui.ask(SENSORS)["repositoriesOrError"]["nodes"]
        for each in repository["sensors"]:
            if each["name"] in names:
                self.ui.ask(STOP_SENSOR, id=each["sensorState"]["id"])

    def run(self, run_id: str) -> dg.DagsterRun:
        found = self.instance.get_run_by_id(run_id)
        assert found is not None
        return found

    def executed_on(self, run: dg.DagsterRun) -> str:
        """The host of the worker that has executed a run."""
        task = run.tags[CELERY_TASK]
        (host,) = (host.name for host in self.workers if f"[{task}] received" in host.said())
        return host

    def is_idle(self) -> bool:
        """Whether no run is under way or waiting."""
        return not self.instance.get_runs(
            dg.RunsFilter(statuses=[status for status in dg.DagsterRunStatus if status.value not in ENDED])
        )


@contextmanager
def deployment(
    *, workers: int = 2, concurrency: int | None = None, people: int = 100, **more: str
) -> Iterator[Deployment]:
    """Run a deployment until the block ends.

    Args:
        workers: Number of hosts with a Celery worker: ``worker1``, ``worker2``, ...
        concurrency: Number of runs that each executes at once, to which the limits of the instance are raised; None for
            what the files say.
        people: Number of people of the simulated Spotify; none of them is connected.
        more: Further settings of all processes.
    """
    names = (*SERVICES, *(f"worker{number}" for number in range(1, workers + 1)))
    network = f"127.{secrets.randbelow(100) + 100}.{secrets.randbelow(250)}"
    addresses = {name: f"{network}.{number}" for number, name in enumerate(names, start=2)}
    with ExitStack() as stack:
        place = Path(tempfile.mkdtemp(prefix="echostats-cluster"))
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        servers = stack.enter_context(replica_set())
        postgres = stack.enter_context(running_postgres(address=addresses["postgres"], port=5432))
        postgres.execute(f"CREATE ROLE dagster LOGIN PASSWORD '{PASSWORD}'")
        postgres.execute("CREATE DATABASE dagster OWNER dagster")
        compose = Compose({"ECHOSTATS_INSTANCE": f"{IMAGE_FOLDER}/celery"})
        hosts = {
            name: Host(name, place / "hosts", addresses[name], _variables(name, compose, servers, addresses, more))
            for name in names
        }
        for host in hosts.values():
            copy_image_files(host.folder / "image", addresses)
            if concurrency is not None:
                raise_limits(host.folder / "image" / "celery" / "dagster.yaml", workers * concurrency)
            host.environment["DAGSTER_HOME"] = str(host.folder / "image" / "celery")
            stack.callback(host.kill)
        made = Deployment(hosts, servers, postgres, compose, people)
        limits = ["--rate-limit", str(BUDGET["burst"])]
        hosts["simulator"].start(
            ["echostats", "simulate", "--host", addresses["simulator"], "--users", str(people), *limits]
        )
        redis = ["--bind", addresses["redis"], "--dir", str(hosts["redis"].state)]
        hosts["redis"].start([*compose.command("redis"), *redis])
        eventually("Redis", lambda: _listens(addresses["redis"], 6379))
        processes = [made.start(name) for name in ("code", "webserver", "daemon")]
        for number in range(1, workers + 1):
            made.start_worker(f"worker{number}", concurrency)
        eventually("Spotify", lambda: _listens(addresses["simulator"], 8899))
        made.let_pass(-BEHIND)
        made.store = stack.enter_context(open_store(made.settings, indexes=True, patience_ms=30_000))
        laptop = hosts["laptop"].environment
        stack.enter_context(environment({name: laptop[name] for name in laptop if name.startswith("DAGSTER_")}))
        made.instance = stack.enter_context(dg.DagsterInstance.from_config(laptop["DAGSTER_HOME"]))
        for process in processes:
            eventually("UI with the code", lambda: made.ui.answers() and made.ui.repository(), process)
        yield made


def _variables(
    name: str, compose: Compose, servers: ReplicaSet, addresses: dict[str, str], more: dict[str, str]
) -> dict[str, str]:
    """The variables of a host, as the Compose file gives them to its service."""
    service = {"laptop": "command", "simulator": "redis"}.get(name, "worker" if name.startswith("worker") else name)
    named = compose.environment(service)
    ours = {
        "DAGSTER_PG_HOST": addresses["postgres"],
        "DAGSTER_PG_PASSWORD": PASSWORD,
        "MONGO_URI": servers.uri,
        "MONGO_DB": DATABASE,
        "ENCRYPTION_KEY": KEY,
    }
    named.pop("ECHOSTATS_IMPORTS", None)  # a folder of the container; here it is that in the host's state folder
    found = {key: ours.get(key, value.replace("//redis:", f"//{addresses['redis']}:")) for key, value in named.items()}
    if "MONGO_URI" in found:
        found |= {"SIMULATOR_URL": f"http://{addresses['simulator']}:8899", "ECHOSTATS_GENRES": "none"}
        found |= {"ECHOSTATS_AUDIO_FEATURES": "none", "ECHOSTATS_RECOMMENDATIONS": "off", **more}
    return found


def _listens(address: str, port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection((address, port), timeout=1).close()
        return True
    return False
