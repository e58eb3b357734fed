"""Questions to a running deployment, and what tests do to it."""

import os
import re
import shutil
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise, takewhile
from pathlib import Path

import dagster as dg

from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.orchestration.tags import USER_TAG, USERS_TAG
from echostats_pipeline.storage.heartbeat import beating
from echostats_pipeline.storage.leases import Lease
from echostats_pipeline_tests.cluster.deployment import Deployment
from echostats_pipeline_tests.cluster.hosts import Host
from echostats_pipeline_tests.cluster.waiting import eventually

PLANNED = "'ASSET_MATERIALIZATION_PLANNED'"
SYNCS = ["initial", "periodic"]


class Stopwatch:
    """Seconds since it was made; `began` is that instant in seconds since 1970."""

    def __init__(self) -> None:
        self.began, self._began = time.time(), time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began


def on_a_busy_machine(seconds: float) -> float:
    """What a limit for an idle machine becomes where more processes want to run than there are cores."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def await_sync(deployed: Deployment, users: Sequence[User], since: datetime) -> float:
    """Wait until users are synced after an instant; return the seconds."""
    watch, wanted = Stopwatch(), [user.user_id for user in users]
    synced = {
        "user_id": {"$in": wanted},
        "job_type": {"$in": SYNCS},
        "status": "completed",
        "completed_at": {"$gte": since},
    }
    eventually("sync", lambda: len(deployed.store.db["sync_jobs"].distinct("user_id", synced)) == len(wanted))
    return watch.seconds


def users(deployed: Deployment, count: int = 3) -> list[User]:
    """All users, of whom there are at least so many, all of them synced. From now on, nothing else is done for them."""
    if missing := range(len(deployed.users), count):
        since = utc_now()
        await_sync(deployed, deployed.connect(*missing), since)
    deployed.stop_sensors("unfinished_libraries", "first_runs", "incomplete_catalog")  # slow, and not of these tests
    return deployed.users


def await_idle(deployed: Deployment) -> None:
    """Wait until nothing is marked for a rebuild, and no run is under way or waiting."""
    marks = deployed.store.marks
    eventually(
        "rest",
        lambda: not marks.pending("daily_rollups") and not marks.pending("analytics_snapshots") and deployed.is_idle(),
    )


def sync_tags(users: Sequence[User]) -> dict[str, str]:
    """The tags of a sync of users who were added one after the other, as the sensor gives them."""
    today = utc_now().date()
    whose = {USER_TAG: users[0].partition_key} if len(users) == 1 else {USERS_TAG: str(len(users))}
    return whose | range_tags(today, today, users[0].partition_key, users[-1].partition_key)


@contextmanager
def held(deployed: Deployment, *users: User) -> Iterator[None]:
    """Hold the histories of users, as a run of a third program would: imports wait until the block ends."""
    leases, store = [Lease(user.user_id, "history", "a third run") for user in users], deployed.store
    for lease in leases:
        eventually("lease", lambda lease=lease: store.leases.take(lease))
    try:
        with beating(*(partial(store.leases.renew, lease) for lease in leases)):
            yield
    finally:
        for lease in leases:
            store.leases.release(lease)


def open_job(deployed: Deployment, user: User, *job_types: str) -> str | None:
    """The run of a user's open job of one of these types."""
    wanted = {"user_id": user.user_id, "job_type": {"$in": job_types}, "status": "running"}
    found = deployed.store.db["sync_jobs"].find_one(wanted)
    return None if found is None else str(found["dagster_run_id"])


def jobs_of(deployed: Deployment, user: User, job_type: str) -> list[tuple[str, str]]:
    """Status and error of a user's jobs of a type."""
    found = deployed.store.db["sync_jobs"].find({"user_id": user.user_id, "job_type": job_type})
    return [(job["status"], job["error_message"]) for job in found]


def newest(deployed: Deployment, job: str, **tags: str) -> dg.DagsterRun | None:
    """The newest run of a job."""
    found = deployed.instance.get_runs(dg.RunsFilter(job_name=job, tags=tags), limit=1)
    return found[0] if found else None


def retry_of(deployed: Deployment, run_id: str) -> dg.DagsterRun | None:
    """The run that repeats another, once it has succeeded."""
    found = deployed.instance.get_runs(dg.RunsFilter(tags={"dagster/parent_run_id": run_id}))
    return next((run for run in found if run.is_success), None)


def seconds_to_create(deployed: Deployment, run_id: str) -> float:
    """Seconds from the record of a run to its place in the queue: between them, the events of all days are written."""
    record = deployed.instance.get_run_record_by_id(run_id)
    assert record is not None
    (enqueued,) = deployed.instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_ENQUEUED)
    return float(enqueued.timestamp - record.create_timestamp.timestamp())


class Statements:
    """The statements with which processes have written events into PostgreSQL since it was made."""

    def __init__(self, deployed: Deployment) -> None:
        self._postgres = deployed.postgres
        self._log = deployed.postgres.process.folder / "log"
        for option in ("log_statement = 'mod'", "log_min_messages = 'log'"):
            self._postgres.execute(f"ALTER ROLE dagster SET {option}")
        self._from = self._log.stat().st_size

    def end(self, run_id: str) -> int:
        """Number of those that have written planned events of a run."""
        for option in ("log_statement", "log_min_messages"):
            self._postgres.execute(f"ALTER ROLE dagster RESET {option}")
        with self._log.open(encoding="utf-8", errors="replace") as log:
            log.seek(self._from)
            found = log.read().split("LOG:  statement: ")
        return sum(text.startswith("INSERT INTO event_logs") and run_id in text and PLANNED in text for text in found)


def children_of(pid: int) -> list[int]:
    """The processes that any thread of a process has started."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for thread in threads for child in thread.read_text().split()]


def kill_children(host: Host) -> None:
    """Kill the processes in which a worker executes runs."""
    (celery,) = host.running
    for child in children_of(celery.pid):
        os.kill(child, signal.SIGKILL)


def plays_of(deployed: Deployment, user: User) -> list[datetime]:
    """When the plays of a user have ended that Spotify has told, as stored."""
    told = {"user_id": user.user_id, "source": {"$ne": "import"}}
    found = deployed.store.db["listening_history"].find(told, {"played_at": 1})
    return sorted(play["played_at"] for play in found)


def spotify_now(deployed: Deployment) -> datetime:
    """The present instant of the simulated Spotify."""
    return utc_now() + deployed.ahead


def differences(deployed: Deployment, user: User, before: datetime) -> list[str]:
    """What the history of a user has too much or too little, against what the simulated Spotify has shown.

    Args:
        before: An instant before the last sync; a play that ended after it may be missing.
    """
    stored = plays_of(deployed, user)
    shown = deployed.world.shown_before(deployed.person(user), spotify_now(deployed))
    true = sorted(play.played_at for play in takewhile(lambda play: play.played_at >= stored[0], shown))
    missing = [at for at in set(true) - set(stored) if at <= before]
    return [f"missing {at}" for at in missing] + [f"invented {at}" for at in set(stored) - set(true)]


def rights(deployed: Deployment) -> list[dict[str, str]]:
    """The roles of the user of MongoDB with which the deployment works."""
    status = deployed.store.db.client.admin.command("connectionStatus")
    return [dict(role) for role in status["authInfo"]["authenticatedUserRoles"]]


def overlaps(deployed: Deployment) -> list[str]:
    """Users whose plays two runs have read at the same time."""
    spans: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for job in deployed.store.db["sync_jobs"].find({"started_at": {"$ne": None}, "job_type": {"$in": SYNCS}}):
        spans[job["user_id"]].append((job["started_at"], job["completed_at"] or utc_now()))
    return [
        user
        for user, found in spans.items()
        if any(later[0] < earlier[1] for earlier, later in pairwise(sorted(found)))
    ]


def most_calls(deployed: Deployment, family: str, within: timedelta) -> int:
    """Most calls of a family of Spotify's endpoints in any span of this length."""
    calls = deployed.store.db["api_logs"].find({"family": family}, {"timestamp": 1})
    times, first, most = sorted(call["timestamp"] for call in calls), 0, 0
    for last, at in enumerate(times):
        while at - times[first] >= within:
            first += 1
        most = max(most, last - first + 1)
    return most


def calls_by_status(deployed: Deployment, family: str) -> Counter[int]:
    """Calls of a family of Spotify's endpoints by their HTTP status."""
    return Counter(call["status_code"] for call in deployed.store.db["api_logs"].find({"family": family}))


def traces_in_documents(deployed: Deployment, user: User) -> dict[str, int]:
    """Documents that name a user, by collection; a removal itself is remembered without a name."""
    found = {}
    names = [user.user_id, user.partition_key, user.spotify_id]
    for name in deployed.store.db.list_collection_names():
        number = sum(any(each in repr(document) for each in names) for document in deployed.store.db[name].find())
        if number:
            found[name] = number
    return found


def traces_in_files(deployed: Deployment, user: User) -> list[str]:
    """Files of any host whose path or content names a user."""
    names = [user.user_id, user.partition_key]
    return [
        f"{host.name}: {path.relative_to(host.folder)}"
        for host in deployed.hosts.values()
        for path in host.files()
        if host.name not in {"redis", "simulator"}
        and any(each in str(path) or each.encode() in path.read_bytes() for each in names)
    ]


def materialized(deployed: Deployment, asset: str, user: User) -> set[str]:
    """The days of a user that are shown as built."""
    built = deployed.instance.get_materialized_partitions(dg.AssetKey(asset))
    return {key for key in built if key.endswith(user.partition_key)}


def metric_names(text: str) -> set[str]:
    """The names of the metrics in Prometheus' text form."""
    return set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


def drop(deployed: Deployment, user: User, export: Path, name: str | None = None) -> None:
    """Put an export into a user's import folder on the host of the code server."""
    folder = deployed.hosts["code"].state / "imports" / user.partition_key
    eventually("import folder", folder.is_dir)
    shutil.copy(export, folder / (name or export.name))


def give(host: Host, export: Path) -> None:
    """Put a file into the folder where the commands of a host run."""
    shutil.copy(export, host.state)


def is_open(deployed: Deployment, run_id: str) -> bool:
    """Whether a run has an open job."""
    return run_id in deployed.store.jobs.open_runs()


def leases(deployed: Deployment, *run_ids: str) -> int:
    """Number of leases that these runs hold."""
    return deployed.store.db["user_leases"].count_documents({"dagster_run_id": {"$in": run_ids}})


def slow_sync(deployed: Deployment, user: User) -> str:
    """Launch a sync that lasts until Spotify is fast again; return its run once it is under way."""
    deployed.behave(faults={"slow": 1.0}, slow_seconds=20)
    run_id = deployed.launch("user_sync", sync_tags([user]))
    eventually("running sync", lambda: open_job(deployed, user, *SYNCS) == run_id)
    return run_id


def ticked_since(deployed: Deployment, sensor: str, since: float) -> bool:
    """Whether a sensor has ended a tick that began after an instant."""
    states = [state for state in deployed.instance.all_instigator_state() if state.name == sensor]
    ticks = [
        tick
        for state in states
        for tick in deployed.instance.get_ticks(state.instigator_origin_id, state.selector_id, after=since, limit=5)
    ]
    return any(tick.is_completed for tick in ticks)


def planned_events(deployed: Deployment, run_id: str) -> int:
    """Number of partitions that a run has planned to build."""
    query = (
        "SELECT count(*) FROM event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION_PLANNED' "
        f"AND run_id = '{run_id}'"
    )
    ((number,),) = deployed.postgres.execute(query, "dagster")
    return int(number)


def seconds_to_execute(deployed: Deployment, run_id: str) -> float:
    """Seconds from the start of a run to its end."""
    record = deployed.instance.get_run_record_by_id(run_id)
    assert record is not None
    assert record.start_time is not None
    assert record.end_time is not None
    return record.end_time - record.start_time


def runs_by_host(deployed: Deployment, runs: Sequence[dg.DagsterRun]) -> Counter[str]:
    """How many of these runs each worker has executed."""
    return Counter(deployed.executed_on(run) for run in runs)


def kept_for_red(deployed: Deployment) -> int:
    """Failed or canceled runs, which stay if they are the last attempt at a partition."""
    return deployed.instance.get_runs_count(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])
    )


def age_heartbeats(deployed: Deployment, *, minutes: int) -> None:
    """Make the heartbeats of all daemons as old as if this time had passed."""
    for beat in deployed.instance.get_daemon_heartbeats().values():
        deployed.instance.add_daemon_heartbeat(beat._replace(timestamp=beat.timestamp - 60 * minutes))
