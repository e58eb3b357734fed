"""Assets of the warehouse in PostgreSQL: plays, tracks, and the user's own rows, per user."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial

import dagster as dg

from echostats_pipeline.errors import WarehouseError
from echostats_pipeline.marts.warehouse.build import Part, PartUpdate, Warehouse
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.assets import OWNER
from echostats_pipeline.orchestration.assets.catalog import albums, artists, audio_features, tracks
from echostats_pipeline.orchestration.assets.ingestion import listening_history
from echostats_pipeline.orchestration.assets.library import playlists
from echostats_pipeline.orchestration.assets.metadata import by_user, shown
from echostats_pipeline.orchestration.assets.snapshots import analytics_snapshots
from echostats_pipeline.orchestration.partitions import USERS
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.orchestration.runs import MARTS, Step, SyncJobsResource

GROUP, KINDS = "marts", {"postgres", "polars"}
FRESH = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=26), fail_window=timedelta(hours=50))


@dg.asset(
    partitions_def=USERS,
    group_name=GROUP,
    kinds=KINDS,
    owners=[OWNER],
    code_version="1",
    backfill_policy=dg.BackfillPolicy.single_run(),
    freshness_policy=FRESH,
    deps=[listening_history],
)
def warehouse_plays(
    context: dg.AssetExecutionContext, store: StoreResource, jobs: SyncJobsResource, clock: ClockResource
) -> dg.MaterializeResult:
    """The tables `plays`, `days` and `sessions` in PostgreSQL.

    The days of a user that have changed are replaced in one transaction; no reader sees a part of them.
    """
    return _updated(context, store, jobs, clock, "plays")


@dg.asset(
    partitions_def=USERS,
    group_name=GROUP,
    kinds=KINDS,
    owners=[OWNER],
    code_version="1",
    backfill_policy=dg.BackfillPolicy.single_run(),
    freshness_policy=FRESH,
    deps=[warehouse_plays, analytics_snapshots, tracks, artists, albums, audio_features],
)
def warehouse_tracks(
    context: dg.AssetExecutionContext, store: StoreResource, jobs: SyncJobsResource, clock: ClockResource
) -> dg.MaterializeResult:
    """The tables `tracks`, `artists`, `albums`, `genres` and what joins them in PostgreSQL.

    They say how a user's statistics count and show each track. Only rows that differ are written.
    """
    return _updated(context, store, jobs, clock, "tracks")


@dg.asset(
    partitions_def=USERS,
    group_name=GROUP,
    kinds=KINDS,
    owners=[OWNER],
    code_version="1",
    backfill_policy=dg.BackfillPolicy.single_run(),
    freshness_policy=FRESH,
    deps=[warehouse_plays, analytics_snapshots, playlists],
)
def warehouse_profile(
    context: dg.AssetExecutionContext, store: StoreResource, jobs: SyncJobsResource, clock: ClockResource
) -> dg.MaterializeResult:
    """The tables `users`, `playlists`, `user_preferences`, `snapshots` and `gaps` in PostgreSQL.

    What applications write in `playlists` and `user_preferences` stays as it is.
    """
    return _updated(context, store, jobs, clock, "profile")


def _updated(
    context: dg.AssetExecutionContext, store: StoreResource, jobs: SyncJobsResource, clock: ClockResource, part: Part
) -> dg.MaterializeResult:
    """Bring one part of the rows of the run's users up to date."""
    with _opened(store, clock) as warehouse:
        updated = jobs.for_each_user(context, partial(_update, warehouse, part), MARTS)
    counted = {user: {"rows_changed": each.changed, "days": each.days} for user, each in updated.items()}
    return shown(context, by_user(counted))


@contextmanager
def _opened(store: StoreResource, clock: ClockResource) -> Iterator[Warehouse]:
    """Open the warehouse. A server that cannot be used until a person acts stops every kind of retry."""
    try:
        with Warehouse.opened(store.get(), store.settings, clock.now()) as warehouse:
            yield warehouse
    except WarehouseError as error:
        raise dg.Failure(str(error), allow_retries=not error.permanent) from error


def _update(warehouse: Warehouse, part: Part, user: User, _: Sequence[date], step: Step) -> PartUpdate:
    """Update one part of a user's rows."""
    updated = warehouse.update(user, part)
    step.counts = {"rows_changed": updated.changed, "days": updated.days}
    how = (
        "Loaded all plays again" if updated.whole else f"{updated.days} days" if part == "plays" else part.capitalize()
    )
    step.done(updated.changed, f"{how}: {updated.changed} rows changed")
    return updated
