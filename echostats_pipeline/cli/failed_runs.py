"""The runs that Dagster knows to have failed: `echostats up` tells those of which the database knows nothing."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from echostats_pipeline.monitoring.incidents import root_cause
from echostats_pipeline.orchestration.automation.alerts import error_chain, user_of

MOST_RUNS = 100


@dataclass(frozen=True)
class FailedRun:
    """A failed run, as Dagster knows it; `user_key` is empty for a run that serves all users."""

    run_id: str
    job_name: str
    user_key: str
    at: datetime
    cause: str


def failed_runs(instance: dg.DagsterInstance, since: datetime, known: Collection[str]) -> list[FailedRun]:
    """Return the runs that have failed since an instant, but not those whose ids are known."""
    filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    found = []
    for record in instance.get_run_records(filters, limit=MOST_RUNS):
        run = record.dagster_run
        if run.run_id in known:
            continue
        steps = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        ended = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.PIPELINE_FAILURE)
        chain = [link for entry in steps if entry.dagster_event for link in error_chain(entry.dagster_event)]
        said = next((entry.dagster_event.message for entry in ended if entry.dagster_event), "") or ""
        at = datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.update_timestamp
        found.append(FailedRun(run.run_id, run.job_name, user_of(run), at, root_cause([], chain, said)))
    return found
