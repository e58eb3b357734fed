"""Asset ``analytics_snapshots``: the statistics of each period, ready for a dashboard."""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import partial

import dagster as dg

from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.assets import OWNER
from echostats_pipeline.orchestration.assets.catalog import albums, artist_tags, artists, audio_features, tracks
from echostats_pipeline.orchestration.assets.metadata import row_counts, shown, snapshot_overview
from echostats_pipeline.orchestration.assets.rollups import daily_rollups
from echostats_pipeline.orchestration.assets.schemas import collection_metadata, columns_of
from echostats_pipeline.orchestration.partitions import USERS
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.orchestration.runs import Step, SyncJobsResource
from echostats_pipeline.stages.statistics import Snapshots, rebuild_snapshots


@dg.asset(
    partitions_def=USERS,
    group_name="analytics",
    kinds={"mongodb", "polars"},
    owners=[OWNER],
    code_version="1",
    backfill_policy=dg.BackfillPolicy.single_run(),
    freshness_policy=dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=26), fail_window=timedelta(hours=50)),
    metadata={
        **collection_metadata("analytics_snapshots"),
        **{
            name: dg.TableSchema(list(columns_of(COLLECTIONS[name])))
            for name in ("calendar_snapshots", "yearly_reviews")
        },
    },
    deps=[daily_rollups, tracks, artists, albums, audio_features, artist_tags],
)
def analytics_snapshots(
    context: dg.AssetExecutionContext, store: StoreResource, jobs: SyncJobsResource, clock: ClockResource
) -> dg.MaterializeResult:
    """Five documents per user: the last week, month, quarter and year, and all time, with rankings and averages.

    For readers: a dashboard can show them as they are. `calendar_snapshots` holds the same statistics for this and the
    last
    week, month and year; `yearly_reviews` holds them for every finished year. Snapshots are rebuilt from the user's
    days
    and the catalogue when either has changed, and at the user's midnight. A run for a single user also draws their
    plays
    per day and hour and lists their top artists and tracks.
    """
    rebuilt = jobs.for_each_user(context, partial(_build, store, clock))
    made = sum(len(snapshots.documents) for snapshots in rebuilt.values())
    rows = row_counts(store.get(), "analytics_snapshots", made)
    return shown(context, {**rows, **snapshot_overview(rebuilt)})


def _build(store: StoreResource, clock: ClockResource, user: User, _: Sequence[date], step: Step) -> Snapshots:
    """Build all snapshots of a user."""
    snapshots = rebuild_snapshots(store.get(), user, clock.now(), same_recording=store.settings.same_recording)
    left_out = snapshots.left_out and f"; {snapshots.left_out}"
    step.done(len(snapshots.documents), f"Built {len(snapshots.documents)} snapshots{left_out}")
    return snapshots
