"""Dagster's half of `echostats doctor`: daemon, sensors and schedules, runs that do not end.

The other half, which does not use Dagster, is `monitoring.health`.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorStatus

from echostats_pipeline.monitoring.health import HealthFinding, HealthFindings
from echostats_pipeline.monitoring.incidents import one_line
from echostats_pipeline.orchestration.automation.alerts import ALERT_SENSORS
from echostats_pipeline.orchestration.automation.import_folder import is_watched, waiting_files
from echostats_pipeline.orchestration.automation.schedules import SCHEDULES
from echostats_pipeline.orchestration.automation.sensors import SENSORS
from echostats_pipeline.orchestration.instance.dead_runs import dead_runs_of
from echostats_pipeline.orchestration.instance.identity import instance_id
from echostats_pipeline.orchestration.instance.metrics import failed_runs
from echostats_pipeline.orchestration.tags import MAX_RUNTIME
from echostats_pipeline.storage.store import Store

QUEUED_LONG = timedelta(minutes=30)
"""Runs of one user wait for each other, and an import may take minutes. A longer wait is no ordinary queue."""
DAY = timedelta(days=1)
SILENT_S = 5 * 60
"""Seconds without a heartbeat after which a daemon counts as silent. It gives one twice a minute; Dagster waits 30."""
START_DAEMON = "Start dagster-daemon with the DAGSTER_HOME of this instance; its log says why it ended"
SET_DAGSTER_HOME = "Set DAGSTER_HOME to the folder with the dagster.yaml of that instance"
WAITING = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING)
AT_WORK = (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)


def daemon(instance: dg.DagsterInstance, url: str | None, now: datetime, *, shared: bool = False) -> HealthFindings:
    """Whether a daemon runs the sensors and schedules.

    A shared instance, which DAGSTER_HOME configures, must have one. That of a state folder has one while `up` runs.

    Args:
        instance: The instance.
        url: Address of the UI of `up`, if that runs on this machine.
        now: The time by a clock that agrees with the daemon's; that of this machine may not.
        shared: Whether DAGSTER_HOME configures the instance.
    """
    beats = instance.get_daemon_heartbeats()
    if not beats and (shared or url is None):
        text = "No Dagster daemon has run yet: no user is synced automatically."
        yield HealthFinding(
            "daemon", "problem" if shared else "warning", text, START_DAEMON if shared else "echostats up"
        )
        return
    required = instance.get_required_daemon_types()
    at_work = {kind for kind, beat in beats.items() if now.timestamp() - beat.timestamp <= SILENT_S}
    silent = sorted(kind.lower() for kind in required if kind not in at_work)
    last = max((beat.timestamp for beat in beats.values()), default=None)
    ago = "never" if last is None else f"{timedelta(seconds=max(int(now.timestamp() - last), 0))} ago"
    if silent and url is None and not shared:
        text = f"`echostats up` does not run; the last heartbeat of its daemon was {ago}."
        yield HealthFinding("daemon", "warning", text, "echostats up")
    elif silent:
        text = (
            f"{len(silent)} of {len(required)} daemons are silent ({', '.join(silent)}); the last heartbeat was {ago}."
        )
        restart = "Restart echostats up; dagster.log in ECHOSTATS_HOME says why it ended."
        yield HealthFinding("daemon", "problem", text, START_DAEMON if shared else restart)
    else:
        yield HealthFinding("daemon", "ok", f"All {len(required)} daemons are at work; the last heartbeat was {ago}.")
    for beat in beats.values():
        if beat.errors and not silent:
            text = f"{beat.daemon_type.lower()}: {one_line(beat.errors[0].message)}"
            yield HealthFinding("daemon", "warning", text, "Dagster UI: Deployment, Daemons")


def switched_off(instance: dg.DagsterInstance, sync_sensors: Collection[str]) -> HealthFindings:
    """Sensors and schedules that a person has stopped in the UI; all are on by default."""
    known = {each.name for each in (*SENSORS, *ALERT_SENSORS, *SCHEDULES)} | set(sync_sensors)
    stopped = instance.all_instigator_state(instigator_statuses={InstigatorStatus.STOPPED})
    names = sorted({state.name for state in stopped} & known)
    if names:
        text = f"{len(names)} of {len(known)} sensors and schedules are switched off: {', '.join(names)}."
        yield HealthFinding("sensors", "warning", text, "Dagster UI: Automation, switch them on")
    else:
        yield HealthFinding("sensors", "ok", f"All {len(known)} sensors and schedules are on.")


def runs(instance: dg.DagsterInstance, store: Store | None, now: datetime) -> HealthFindings:
    """Runs that do not end, do not begin, or ended without closing their job; and the number of failed runs."""
    limit_s = instance.run_monitoring_max_runtime_seconds or DAY.total_seconds()
    for record in instance.get_run_records(dg.RunsFilter(statuses=[*AT_WORK, *WAITING])):
        run, at_work = record.dagster_run, record.dagster_run.status in AT_WORK
        since = record.start_time if at_work and record.start_time else record.create_timestamp.timestamp()
        lasted = timedelta(seconds=int(now.timestamp() - since))
        most = timedelta(seconds=int(run.tags.get(MAX_RUNTIME, limit_s))) if at_work else QUEUED_LONG
        if lasted > most:
            text = f"Run {run.run_id} of {run.job_name} is {run.status.value} for {lasted}, longer than {most}."
            yield HealthFinding("runs", "problem", text, f"Dagster UI: Runs, terminate {run.run_id[:8]}")
    failed = failed_runs(instance, now - DAY)
    total = instance.get_runs_count(dg.RunsFilter(updated_after=now - DAY))
    fix = "Dagster UI: Runs, failed; echostats alerts list" if failed else ""
    text = f"{failed:,} of {total:,} runs of the last 24 hours have failed."
    yield HealthFinding("runs", "warning" if failed else "ok", text, fix)
    if store is None:
        return
    dead = [run_id for run_id, *_ in dead_runs_of(instance, store)]
    if dead:
        text = f"{len(dead)} runs have ended without closing their job, the first is {dead[0]}."
        yield HealthFinding("runs", "warning", text, "echostats up: its sensor dead_runs closes them")


def import_folder(folder: Path) -> HealthFindings:
    """Whether exports lie in an import folder that no process looks into, as on a machine without the code server."""
    files = waiting_files(folder)
    if not files:
        return
    if is_watched(folder):
        yield HealthFinding("imports", "ok", f"The import folder {folder} is watched.")
        return
    text = f"{len(files)} files lie in {folder}, and no process has looked there for minutes: they are not imported."
    fix = "echostats import FILE --user USER; or share this folder with the machine that runs the code of Dagster"
    yield HealthFinding("imports", "warning", text, fix)


def other_instances(instance: dg.DagsterInstance, store: Store, now: datetime) -> HealthFindings:
    """Whether another Dagster instance works on this database: then this one may show nothing of what happens."""
    found = store.jobs.instances(now - DAY)
    others = sorted(found - {instance_id(instance)})
    if not others:
        return
    if len(others) == len(found):
        text = "This database is served by another Dagster instance, whose daemon and runs are not seen here."
        yield HealthFinding("instance", "problem", text, SET_DAGSTER_HOME)
    else:
        text = f"{len(found)} Dagster instances have worked on this database in 24 hours; each shows its own runs."
        yield HealthFinding("instance", "warning", text, SET_DAGSTER_HOME)
