"""Measures a round of syncing 1,000 users under a real `echostats up`, from the first tick to the last fresh snapshot.

Every user has 50 new plays, the worst case. The simulated Spotify takes 150 ms to respond. The floor is the time of the
calls alone, with as many at once as one run makes.

    python -m benchmarks.round
    python -m benchmarks.round --users 100
"""

import argparse
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from typing import cast

from benchmarks.accounts import connect_everybody
from benchmarks.processes import cpu_by_role, workplace
from echostats_pipeline.local.database import open_store
from echostats_pipeline.local.mongod import running
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.orchestration.assets.ingestion import CALLS_AT_ONCE
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.simulator.behaviour import Behaviour, Fault
from echostats_pipeline.simulator.running import running_simulator
from echostats_pipeline.simulator.world import World
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.store import Store

ANSWER_S = 0.15
POLL_S = 1.0
MOST_S = 1800.0
END_S = 120.0


def main() -> None:
    """Run two rounds and print their times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000)
    users = parser.parse_args().users
    with workplace() as folder:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "ECHOSTATS_HOME": f"{folder}/home",
            "ECHOSTATS_SENSORS": "fanout",
            "SYNC_INTERVAL_MINUTES": "1440",  # no second round begins while the first is measured
            "SPOTIFY_BURST_CALLS": "100000",
            "SPOTIFY_DAILY_CALLS": "1000000",
            "ECHOSTATS_AUDIO_FEATURES": "none",
        }
        settings = load_settings(environ, env_file=None)
        home = StateFolder(settings.home).ensure()
        with running(home), spotify(settings, users), open_store(settings) as store, up(environ):
            floor = users * ANSWER_S / CALLS_AT_ONCE
            print(f"{users} users, {ANSWER_S * 1000:.0f} ms an answer; the calls alone: {floor:.0f} s")
            since, before = first_sync(store), cpu_by_role(folder)
            report(store, since, users, floor)
            spent = {role: seconds - before.get(role, 0) for role, seconds in cpu_by_role(folder).items()}
            print(f"CPU seconds {sum(spent.values()):.0f}: " + ", ".join(f"{of} {s:.1f}" for of, s in spent.items()))


def report(store: Store, since: datetime, users: int, floor: float) -> None:
    """Wait for the end of a round, then print it."""
    synced = until(lambda: store.db["users"].count_documents({"last_synced_at": {"$gte": since}}) == users, since)
    fresh = until(
        lambda: (
            store.db["analytics_snapshots"].count_documents({"period": "week"}) == users
            and not store.marks.pending("analytics_snapshots")
        ),
        since,
    )
    failed = store.db["sync_jobs"].count_documents({"status": "failed"})
    print(
        f"all synced after {synced:.0f} s ({synced / floor:.1f} x the calls), all snapshots fresh after {fresh:.0f} s"
    )
    print(f"goal 300 s, interval 900 s; {failed} failed jobs")


def first_sync(store: Store) -> datetime:
    """When the first job of the round was opened."""
    deadline = time.monotonic() + MOST_S
    while time.monotonic() < deadline:
        job = store.db["sync_jobs"].find_one({}, sort=[("started_at", 1)])
        if job is not None:
            return cast(datetime, job["started_at"])
        time.sleep(POLL_S)
    raise SystemExit("No sync has begun")


def until(condition: Callable[[], bool], since: datetime) -> float:
    """Seconds from an instant until a condition holds."""
    while not condition():
        took = (utc_now() - since).total_seconds()
        if took > MOST_S:
            raise SystemExit("Not done within half an hour")
        time.sleep(POLL_S)
    return (utc_now() - since).total_seconds()


@contextmanager
def up(environ: dict[str, str]) -> Iterator[None]:
    """Run `echostats up` on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "echostats_pipeline.cli.main", "up", "--port", str(port)]
    with subprocess.Popen(command, env=environ, cwd=environ["HOME"], start_new_session=True) as process:  # noqa: S603
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
            process.kill()


@contextmanager
def spotify(settings: Settings, users: int, answer_s: float = ANSWER_S) -> Iterator[None]:
    """A simulated Spotify in a separate process, with this number of users, all connected."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(settings, users, answer_s, theirs))
    process.start()
    try:
        ours.recv()
        yield
    finally:
        with suppress(OSError):  # it has ended by itself
            ours.send("end")
        process.join()


def serve(settings: Settings, users: int, answer_s: float, control: Connection) -> None:
    """Serve until stopped; tell when every user is connected."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the benchmark, which then ends this process
    home = StateFolder(settings.home)
    epoch = utc_now().date() - timedelta(days=21)
    world = World(seed=1, user_count=users, epoch=epoch)
    with (
        running_simulator(world, behaviour=Behaviour(rate_limit=0)) as simulator,
        open_store(settings, indexes=True) as store,
    ):
        home.write_json(home.simulator_file, {"url": simulator.base_url})
        connect_everybody(settings, store, simulator)
        for user in world.users:  # the first call of each user generates plays, which is not response time
            world.recently_played(user, utc_now())
        if answer_s:
            simulator.behave(faults={"slow": Fault(rate=1.0)}, slow_seconds=answer_s)
        control.send("ready")
        with suppress(EOFError):  # the benchmark was killed
            control.recv()


if __name__ == "__main__":
    main()
