"""Alert sensors: open an incident for failed runs, failed checks and users in trouble; notify once.

Three sensors detect trouble and record it (collection ``incidents``). A fourth closes what is over and sends the
notices. Trouble is therefore recorded even if no address can be reached, and a notice that failed is sent again later.
Instants are Dagster's own where runs are compared with each other.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
from dagster._core.storage.asset_check_execution_record import (
    COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
)
from dagster_shared.error import SerializableErrorInfo

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.model.base import to_utc
from echostats_pipeline.model.operations import Incident
from echostats_pipeline.model.users import User
from echostats_pipeline.monitoring.incidents import (
    advice_for,
    configured_secrets,
    one_line,
    redacted,
    root_cause,
    user_trouble,
    words,
)
from echostats_pipeline.monitoring.notifier import Notifier
from echostats_pipeline.orchestration.partitions import PARTITION, RANGE_END, RANGE_START
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.orchestration.tags import USER_TAG

MOST_A_TICK = 5
"""Number of notices sent in one tick. Each address may take seconds, and a tick has a minute."""
NO_TROUBLE = {"model_beats_popularity"}
"""Checks that are no trouble when they do not pass: with few users, a model is rarely surely better."""
CHECKS_LOOKED_AT = 50
"""Number of evaluations of a check examined in one tick, the newest first. Each user and sync makes one."""
RUNS_LOOKED_AT = 200
ON = dg.DefaultSensorStatus.RUNNING
OVERLAP_S = 120.0
"""Seconds of overlap between two ticks: evaluations may be stored in another order than they were made in."""


@dg.run_failure_sensor(minimum_interval_seconds=15, default_status=ON, description="Records failed runs as incidents.")
def run_failure_alerts(context: dg.RunFailureSensorContext, store: StoreResource, clock: ClockResource) -> None:
    """Open an incident for the job and user of a failed run. It returns nothing, else a tick would see only one run."""
    run, user_key = context.dagster_run, user_of(context.dagster_run)
    recorded = [job.error_message for job in store.get().jobs.of_run(run.run_id) if job.error_message]
    chain = [link for event in context.get_step_failure_events() for link in error_chain(event)]
    cause = root_cause(recorded, chain, context.failure_event.message or "")
    user, at = _known(store, user_key), _ended_at(context.instance, run.run_id)
    if user is None and store.get().removals.had_key(user_key):
        return
    trouble = None if user is None or user.status == "active" else user_trouble(user, clock.now())
    if trouble is not None:  # The failed check made the run fail: one incident, one notice.
        store.get().incidents.see(trouble.model_copy(update={"run_id": run.run_id}))
        return
    seen = Incident(
        key=f"run:{run.job_name}:{user_key}",
        kind="run",
        subject=f"{run.job_name} failed{f' for {user_key}' if user_key else ''}",
        cause=one_line(cause, configured_secrets(store.settings)),
        advice=advice_for(cause),
        job_name=run.job_name,
        user_key=user_key,
        user_id=user.user_id if user else "",
        run_id=run.run_id,
        opened_at=at,
        last_seen_at=at,
    )
    store.get().incidents.see(seen)


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=ON,
    description="Records failed asset checks as incidents; a check that passes ends its incident. The cursor is the "
    "time of the newest evaluation seen, in seconds since 1970. Without a cursor it reads the newest of each check.",
)
def check_alerts(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SkipReason:
    """Open and close one incident per check and user, from the newest evaluations of all checks."""
    known = context.repository_def.asset_graph.asset_check_keys if context.repository_def else ()
    incidents, opened = store.get().incidents, []
    wrong = {incident.key for incident in incidents.open(["check"])}
    newest = since = float(context.cursor or 0)
    for key in sorted((key for key in known if key.name not in NO_TROUBLE), key=lambda key: key.to_user_string()):
        for at, evaluation, run in _evaluated(context.instance, key, since - OVERLAP_S):
            newest = max(newest, at)
            if evaluation.passed and f"{_check_key(key)}:{user_of(run)}" not in wrong:
                continue
            user = _known(store, user_of(run))
            if user is None and store.get().removals.had_key(user_of(run)):
                continue
            seen = check_incident(evaluation, run, user, at, configured_secrets(store.settings))
            last = incidents.get(seen.key, open_only=True)
            wrong.add(seen.key)
            if not evaluation.passed and incidents.see(seen):
                opened.append(seen.subject)
            elif evaluation.passed and last is not None and last.last_seen_at < seen.last_seen_at:
                incidents.close(seen.key, seen.last_seen_at)
    for gone in incidents.open(["check"]):
        if known and gone.key.rpartition(":")[0] not in {_check_key(key) for key in known}:
            incidents.close(gone.key, gone.last_seen_at, notify=False)
    context.update_cursor(str(newest))
    return dg.SkipReason("; ".join(opened) or f"Nothing new from {len(known)} checks")


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=ON,
    description="Records an incident for each user who must connect again, soon or now, or who is not on the app's "
    "allow-list. It keeps no cursor.",
)
def user_alerts(store: StoreResource, clock: ClockResource) -> dg.SkipReason:
    """Open an incident for the most serious trouble of each user, and close incidents that are over."""
    incidents, now, in_trouble = store.get().incidents, clock.now(), {}
    known = incidents.open(["user"])
    known_keys = {incident.key for incident in known}
    for user in store.get().users.all(simulated=store.settings.simulated):
        if (trouble := user_trouble(user, now)) is None:
            continue
        in_trouble[user.partition_key] = trouble.key
        if trouble.key not in known_keys:
            incidents.see(trouble)
    for incident in known:
        present = in_trouble.get(incident.user_key)
        if present != incident.key:  # another trouble has replaced it: no notice of its end
            incidents.close(incident.key, now, notify=present is None)
    return dg.SkipReason(f"In trouble: {', '.join(in_trouble)}" if in_trouble else "Every user is well")


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=ON,
    description="Closes incidents of jobs that succeed again, and sends notices of opened and closed incidents to "
    "ECHOSTATS_ALERTS. It keeps no cursor: the collection `incidents` records the notices sent.",
)
def incident_notices(context: dg.SensorEvaluationContext, store: StoreResource, clock: ClockResource) -> dg.SkipReason:
    """Send one notice of every incident, and one of its end, to every address."""
    incidents, now = store.get().incidents, clock.now()
    for incident in incidents.open(["run"]):
        if (at := _succeeded_since(context.instance, incident)) is not None:
            incidents.close(incident.key, at)
    if not store.settings.alerts:
        return dg.SkipReason(f"ECHOSTATS_ALERTS is not set; open incidents: {len(incidents.open())}")
    notifier, secrets = Notifier(store.settings.alerts), configured_secrets(store.settings)
    sent = []
    for incident in incidents.due(now, MOST_A_TICK):
        if not incidents.claim(incident, now):
            continue
        notice, accepted = words(incident, store.settings.ui_url), list(incident.accepted_by)
        for delivery in notifier.send(notice.title, notice.body, good=notice.good, already=accepted):
            if delivery.accepted:
                accepted.append(delivery.mark)
            else:
                reason = redacted(delivery.reason, secrets)
                context.log.warning("A notice was not accepted by address %s: %s", delivery.name, reason)
        incidents.sent(incident, accepted, now, complete=set(notifier.marks) <= set(accepted))
        sent.append(f"{notice.title} ({len(accepted)} of {len(notifier.marks)} addresses)")
    return dg.SkipReason("; ".join(sent) or "No notice to send")


ALERT_SENSORS = (run_failure_alerts, check_alerts, user_alerts, incident_notices)


def user_of(run: dg.DagsterRun) -> str:
    """The partition key of the user a run serves; ``first..last`` for a range, and an empty text for all users."""
    if USER_TAG in run.tags:
        return run.tags[USER_TAG]
    partition = run.tags.get(PARTITION, "")
    ends = [run.tags.get(tag, partition).rpartition("|")[2] for tag in (RANGE_START, RANGE_END)]
    return ends[0] if ends[0] == ends[1] else "..".join(ends)


def _known(store: StoreResource, user_key: str) -> User | None:
    try:
        return store.get().users.by_partition_key(user_key)
    except NotFoundError:
        return None


def error_chain(event: dg.DagsterEvent) -> Iterator[tuple[str, str]]:
    """Class and message of the error of a failed step and of its causes, the outermost first."""
    error: SerializableErrorInfo | None = getattr(event.event_specific_data, "error", None)
    while error is not None:
        yield error.cls_name or "", error.message
        error = error.cause


def _ended_at(instance: dg.DagsterInstance, run_id: str) -> datetime:
    record = instance.get_run_record_by_id(run_id)
    ended = record.end_time or record.update_timestamp.timestamp() if record else 0.0
    return to_utc(datetime.fromtimestamp(ended, UTC))


def _succeeded_since(instance: dg.DagsterInstance, incident: Incident) -> datetime | None:
    """When the job of an incident succeeded for its user after the incident was last seen; None if it has not."""
    filters = dg.RunsFilter(
        job_name=incident.job_name, statuses=[dg.DagsterRunStatus.SUCCESS], updated_after=incident.last_seen_at
    )
    for record in instance.get_run_records(filters, limit=RUNS_LOOKED_AT):
        ended = to_utc(datetime.fromtimestamp(record.end_time or 0.0, UTC))
        if ended > incident.last_seen_at and user_of(record.dagster_run) == incident.user_key:
            return ended
    return None


def _evaluated(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, since: float
) -> list[tuple[float, dg.AssetCheckEvaluation, dg.DagsterRun]]:
    """The newest evaluations of a check after an instant, in the order they were made: instant, evaluation, run."""
    history = instance.event_log_storage.get_asset_check_execution_history(
        key, limit=CHECKS_LOOKED_AT, status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
    )
    young = [
        (record.event.timestamp, record.evaluation, record.run_id)
        for record in history
        if record.event is not None and record.evaluation is not None and record.event.timestamp > since
    ]
    run_ids = sorted({run_id for _, _, run_id in young})
    runs = {run.run_id: run for run in instance.get_runs(dg.RunsFilter(run_ids=run_ids))} if run_ids else {}
    found = [(at, evaluation, runs[run_id]) for at, evaluation, run_id in young if run_id in runs]
    return sorted(found, key=lambda each: each[0])


def check_incident(
    evaluation: dg.AssetCheckEvaluation, run: dg.DagsterRun, user: User | None, at: float, secrets: list[str]
) -> Incident:
    """The incident for an evaluation that did not pass: for this check and the user its run serves."""
    asset, user_key = evaluation.asset_key.to_user_string(), user_of(run)
    found = ", ".join(f"{name}: {value.value}" for name, value in evaluation.metadata.items())
    warned = " (a warning)" if evaluation.severity == dg.AssetCheckSeverity.WARN else ""
    instant = to_utc(datetime.fromtimestamp(at, UTC))
    return Incident(
        key=f"{_check_key(evaluation.asset_check_key)}:{user_key}",
        kind="check",
        subject=f"Check {evaluation.check_name} of {asset} failed{f' for {user_key}' if user_key else ''}{warned}",
        cause=one_line(evaluation.description or found or "The check did not pass and says no more", secrets),
        advice=f"Look at the check on the page of {asset} in the Dagster UI; materializing it again repeats the check.",
        user_key=user_key,
        user_id=user.user_id if user else "",
        run_id=run.run_id,
        opened_at=instant,
        last_seen_at=instant,
    )


def _check_key(key: dg.AssetCheckKey) -> str:
    return f"check:{key.asset_key.to_user_string()}:{key.name}"
