"""``daily_rollups``: one document per user and local day."""

from collections.abc import Sequence
from datetime import date, timedelta

import dagster as dg

from echostats_pipeline.assets import OWNER
from echostats_pipeline.assets.ingestion import listening_history
from echostats_pipeline.assets.metadata import by_user
from echostats_pipeline.assets.schemas import collection_metadata
from echostats_pipeline.model.users import User
from echostats_pipeline.partitions import DAYS, FIRST_DAY, USER_DAYS, day_partition, days_by_user
from echostats_pipeline.resources.jobs import Step, SyncJobsResource
from echostats_pipeline.resources.store import StoreResource
from echostats_pipeline.stages.statistics import SharedRebuild


@dg.asset(
    partitions_def=USER_DAYS,
    group_name="rollups",
    kinds={"mongodb", "polars"},
    owners=[OWNER],
    code_version="1",
    backfill_policy=dg.BackfillPolicy.single_run(),
    freshness_policy=dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=2), fail_window=timedelta(hours=26)),
    metadata=collection_metadata("daily_rollups"),
    deps=[listening_history],
)
def daily_rollups(
    context: dg.AssetExecutionContext, store: StoreResource, jobs: SyncJobsResource
) -> dg.MaterializeResult:
    """One document per user and local day: plays, time, hours, artists, albums, tracks.

    For readers: calendars, trends and any period of their own. Built from the user's plays after every sync, in the
    user's time zone; days outside the range that late plays have touched are rebuilt in the same run. The first day
    there is stands for every day before it.
    """
    rollups = 0
    users: dict[str, dict[str, int]] = {}
    shared = SharedRebuild(store.get(), days_by_user(context.partition_keys), FIRST_DAY, store.settings.min_play_ms)

    def work(user: User, days: Sequence[date], step: Step) -> None:
        nonlocal rollups
        every, rebuilt = shared.rebuild(user, step)
        for day in sorted(day for day in every - set(days) if DAYS.has_partition_key(day.isoformat())):
            context.log_event(
                dg.AssetMaterialization(context.asset_key, partition=day_partition(user.partition_key, day))
            )
        step.counts = {"days": rebuilt.days, "plays_read": rebuilt.plays, "documents_written": rebuilt.written}
        step.detail = f"Built {rebuilt.days} days from {rebuilt.plays} plays, {rebuilt.written} changed"
        rollups += rebuilt.rollups
        users[user.partition_key] = step.counts

    jobs.for_each_user(context, work)
    return dg.MaterializeResult(metadata={"dagster/row_count": rollups, **by_user(users)})
