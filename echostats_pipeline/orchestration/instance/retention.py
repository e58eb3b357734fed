"""Retention: removes records of old runs and jobs but keeps what they built, and late data of removed users.

Dagster keeps runs forever, at 100 KB and more each. Its own `delete_run` also deletes the materializations: days that
only this run has built turn grey. The event log decides which runs can be deleted without that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import RunsTable, RunTagsTable

from echostats_pipeline.orchestration.dagster_patches.forgotten_runs import ForgetsRuns
from echostats_pipeline.orchestration.instance.user_cleanup import remove_files_of_removed, remove_leftovers
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.orchestration.tags import FINISHED
from echostats_pipeline.storage.failover import through_failover

FILES_KEPT = timedelta(days=30)
"""How long an export stays in the database whose import has failed."""
RUNS_PER_TRANSACTION = 200
"""Number of runs in one transaction, during which no run can write its events."""


@dataclass(frozen=True)
class RetentionResult:
    """Number of old runs that were removed, and of those that had to stay."""

    removed: int = 0
    kept: int = 0


def remove_runs(instance: dg.DagsterInstance, before: datetime) -> RetentionResult:
    """Remove ended runs that were created before an instant. The partitions they built stay shown as built.

    With an event log other than this project's, a run stays if it was the last to build a partition.
    """
    removed = kept = 0
    for batch in _ended_runs(instance, before):
        gone = _forget(instance, batch)
        if isinstance(instance.run_storage, SqlRunStorage):  # one by one, Dagster commits each and leaves its tags
            with instance.run_storage.connect() as connection:
                for table in (RunTagsTable, RunsTable):
                    connection.execute(table.delete().where(table.c.run_id.in_(gone)))
        for run_id in gone:
            if not isinstance(instance.run_storage, SqlRunStorage):
                instance.run_storage.delete_run(run_id)
            instance.compute_log_manager.delete_logs(prefix=[run_id])
        removed, kept = removed + len(gone), kept + len(batch) - len(gone)
    if isinstance(instance.event_log_storage, ForgetsRuns):
        instance.event_log_storage.forget_superseded(before)
    return RetentionResult(removed, kept)


def _ended_runs(instance: dg.DagsterInstance, before: datetime) -> Iterator[list[str]]:
    """Ids of all candidate runs, a batch at a time."""
    filters = dg.RunsFilter(statuses=FINISHED, created_before=before)
    run_ids = [record.dagster_run.run_id for record in instance.get_run_records(filters)]
    for start in range(0, len(run_ids), RUNS_PER_TRANSACTION):
        yield run_ids[start : start + RUNS_PER_TRANSACTION]


def _forget(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> list[str]:
    """Remove the events of runs where this loses nothing, and return those runs."""
    storage = instance.event_log_storage
    if isinstance(storage, ForgetsRuns):
        return storage.forget_runs(run_ids)
    needed = _last_builders(instance)
    gone = [run_id for run_id in run_ids if run_id not in needed]
    for run_id in gone:
        storage.delete_events(run_id)
    return gone


def _last_builders(instance: dg.DagsterInstance) -> set[str]:
    """The runs that were the last to build a partition of an asset."""
    builders = set()
    for key in instance.event_log_storage.all_asset_keys():
        newest = instance.event_log_storage.get_latest_storage_id_by_partition(
            key, dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        ids = list(newest.values())
        for start in range(0, len(ids), RUNS_PER_TRANSACTION):
            chosen = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids[start : start + RUNS_PER_TRANSACTION])
            builders |= {
                record.run_id for record in instance.fetch_materializations(chosen, limit=RUNS_PER_TRANSACTION).records
            }
        if not ids and (event := instance.get_latest_materialization_event(key)):
            builders.add(event.run_id)
    return builders


@dg.op(description="Removes the records of runs older than ECHOSTATS_KEEP_RUNS_DAYS. What the runs built stays shown.")
def remove_old_runs(context: dg.OpExecutionContext, store: StoreResource, clock: ClockResource) -> dg.Output[None]:
    """Remove records that are older than the settings allow."""
    outcome = remove_runs(context.instance, clock.now() - timedelta(days=store.settings.keep_runs_days))
    context.log.info(
        "Removed %d runs; %d runs stay, because each is the last attempt at a partition", outcome.removed, outcome.kept
    )
    return dg.Output(None, metadata={"removed": outcome.removed, "kept": outcome.kept})


@dg.op(
    description="Deletes documents of sync_jobs older than ECHOSTATS_KEEP_RUNS_DAYS. Imports stay, and of each user "
    "and kind of job the newest and the newest that was completed."
)
def remove_old_jobs(context: dg.OpExecutionContext, store: StoreResource, clock: ClockResource) -> dg.Output[None]:
    """Delete what users' jobs of long ago have done, as their runs are gone, too."""
    found, before = store.get(), clock.now() - timedelta(days=store.settings.keep_runs_days)
    user_ids = [user.user_id for user in found.users.all()]
    removed = through_failover(lambda: found.jobs.forget(user_ids, before))
    context.log.info("Deleted %d old jobs of %d users", removed, len(user_ids))
    return dg.Output(None, metadata={"removed": removed})


@dg.op(description="Deletes data of removed users that was written by runs under way at the removal.")
def sweep_removed_users(context: dg.OpExecutionContext, store: StoreResource, clock: ClockResource) -> dg.Output[None]:
    """Delete data of removed users that was written after their removal; usually there is none."""
    removals = store.get().removals
    ids, swept = removals.ids(), removals.sweep()
    again = remove_leftovers(context.instance, store.settings, ids)
    remove_files_of_removed(store.settings, store.get())
    store.get().files.sweep(clock.now() - FILES_KEPT)
    context.log.info(
        "Deleted late data of %d removed users: %s; partitions or folders: %d", len(ids), swept or 0, len(again)
    )
    numbers = {"removed_users": len(ids), "documents": sum(swept.values()), "partitions_or_folders": len(again)}
    return dg.Output(None, metadata={**numbers, "by_collection": swept})


@dg.job(
    description="Remove the records of old runs and jobs, so that the disk does not fill up; what the runs built stays "
    "shown. Also delete late data of removed users."
)
def retention() -> None:
    """Run three independent steps."""
    remove_old_runs()
    remove_old_jobs()
    sweep_removed_users()
