"""Which users and jobs a sensor must leave alone for now, because their newest run has not ended, or failed."""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta

import dagster as dg

from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.automation.run_requests import users_per_run, users_requests
from echostats_pipeline.orchestration.partitions import windows_of_run
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.orchestration.tags import FINISHED, USER_TAG

ON = dg.DefaultSensorStatus.RUNNING
REST_AFTER_FAILURE_S = 15 * 60
"""Seconds until a failed run is requested again. The cause seldom goes away sooner, and every run adds records."""
ENDED_WELL = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED]
UNFINISHED = [status for status in dg.DagsterRunStatus if status not in FINISHED]


def users_of(store: StoreResource) -> Sequence[User]:
    """The users of this installation: the simulated ones, or the real ones."""
    return store.get().users.all(simulated=store.settings.simulated)


def runs_of(
    context: dg.SensorEvaluationContext,
    store: StoreResource,
    keys: Collection[str],
    *,
    batch_size: int | None = None,
    day: date | None = None,
) -> list[dg.RunRequest]:
    """Request runs for some users, in the order in which users were added.

    Args:
        context: Of the sensor's tick.
        store: The database and the settings.
        keys: Partition keys of the users to serve.
        batch_size: Most users that a run serves; None for as many as the settings say.
        day: Each request is made once on that day.
    """
    order = context.instance.get_dynamic_partitions("users")
    most = users_per_run(store.settings, len(order)) if batch_size is None else batch_size
    return users_requests(keys, order=order, batch_size=most, day=day)


def may_start(context: dg.SensorEvaluationContext, job_name: str, now: datetime, user: User | None = None) -> bool:
    """Whether the job's newest run (for the user) has ended, and did not fail a moment ago."""
    filters = dg.RunsFilter(job_name=job_name, tags={USER_TAG: user.partition_key} if user else {})
    return not any(_rests(record, now) for record in context.instance.get_run_records(filters, limit=1))


def is_under_way(context: dg.SensorEvaluationContext, job_name: str) -> bool:
    """Whether a run of a job waits or works."""
    unfinished = dg.RunsFilter(job_name=job_name, statuses=UNFINISHED)
    return bool(context.instance.get_run_records(unfinished, limit=1))


def resting_users(context: dg.SensorEvaluationContext, job_name: str, now: datetime) -> set[str]:
    """Partition keys of the users whose newest run of a job is still going on, or failed a moment ago.

    This takes few queries to Dagster for all users; a query for each takes seconds with many users. Most runs ended
    well.
    They matter only if they came after one that did not.
    """
    lately = now - timedelta(seconds=REST_AFTER_FAILURE_S)
    failed = dg.RunsFilter(job_name=job_name, statuses=[dg.DagsterRunStatus.FAILURE], updated_after=lately)
    unfinished = dg.RunsFilter(job_name=job_name, statuses=UNFINISHED)
    records = [record for each in (failed, unfinished) for record in context.instance.get_run_records(each)]
    if records:
        since = min(record.create_timestamp for record in records)
        records += context.instance.get_run_records(
            dg.RunsFilter(job_name=job_name, statuses=ENDED_WELL, created_after=since)
        )
    order = context.instance.get_dynamic_partitions("users")
    newest: dict[str, bool] = {}
    for record in sorted(records, key=lambda record: record.create_timestamp, reverse=True):
        for key in windows_of_run(record.dagster_run.tags, order) or ():
            newest.setdefault(key, _rests(record, now))
    return {key for key, rests in newest.items() if rests}


def _rests(record: dg.RunRecord, now: datetime) -> bool:
    """Whether a run is still going on, or failed a moment ago."""
    if record.dagster_run.status == dg.DagsterRunStatus.FAILURE and record.end_time is not None:
        return now.timestamp() - record.end_time <= REST_AFTER_FAILURE_S
    return not record.dagster_run.is_finished
