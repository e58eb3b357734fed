"""``analytics_snapshots``: the statistics of each period, ready to be shown."""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from echostats_pipeline.assets import OWNER
from echostats_pipeline.assets.catalog import albums, artists, audio_features, tracks
from echostats_pipeline.assets.rollups import daily_rollups
from echostats_pipeline.model.users import User
from echostats_pipeline.partitions import USERS
from echostats_pipeline.resources.clock import ClockResource
from echostats_pipeline.resources.jobs import Step, SyncJobsResource
from echostats_pipeline.resources.store import StoreResource
from echostats_pipeline.stages.statistics import rebuild_snapshots


@dg.asset(
    partitions_def=USERS,
    group_name="analytics",
    kinds={"mongodb", "polars"},
    owners=[OWNER],
    code_version="1",
    backfill_policy=dg.BackfillPolicy.single_run(),
    deps=[daily_rollups, tracks, artists, albums, audio_features],
)
def analytics_snapshots(
    context: dg.AssetExecutionContext, store: StoreResource, jobs: SyncJobsResource, clock: ClockResource
) -> dg.MaterializeResult:
    """Five documents per user: the last week, month, quarter and year, and all time, with rankings and averages."""
    written = 0

    def work(user: User, _: Sequence[date], step: Step) -> None:
        nonlocal written
        snapshots = rebuild_snapshots(store.get(), user, clock.now())
        written += snapshots
        step.done(snapshots, f"Built {snapshots} snapshots")

    jobs.for_each_user(context, work)
    return dg.MaterializeResult(metadata={"dagster/row_count": written})
