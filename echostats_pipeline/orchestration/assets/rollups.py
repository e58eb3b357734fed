"""Asset ``daily_rollups``: one document per user and local day."""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import partial
from typing import NamedTuple

import dagster as dg

from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.assets import OWNER
from echostats_pipeline.orchestration.assets.ingestion import listening_history
from echostats_pipeline.orchestration.assets.metadata import by_user, row_counts, shown
from echostats_pipeline.orchestration.assets.schemas import collection_metadata
from echostats_pipeline.orchestration.partitions import USER_DAYS, day_partition, days_by_user, first_day, last_day
from echostats_pipeline.orchestration.quiet_days import report_built, report_quiet_days
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.orchestration.runs import Step, SyncJobsResource
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.stages.statistics import SharedRebuild, unbuilt_days
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline.transforms.rule_texts import left_out_text


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
    context: dg.AssetExecutionContext, store: StoreResource, jobs: SyncJobsResource, clock: ClockResource
) -> dg.MaterializeResult:
    """One document per user and local day: plays, time, hours, artists, albums, tracks.

    For readers: calendars, trends and any period of their own. Every sync rebuilds the documents from the user's plays,
    in
    the user's time zone. If late plays changed days outside the requested range, the same run rebuilds those days too.
    The
    first day also stands for every day before it.
    """
    there_is = DayWindow(first_day(context.assets_def.partitions_def), last_day(clock.now()))
    asked = days_by_user(context.partition_keys)
    shared = SharedRebuild(store.get(), asked, there_is.first, store.settings.min_play_ms)
    outside: list[dg.MultiPartitionKey] = []
    try:
        served = jobs.for_each_user(context, partial(_build, shared, there_is, outside))
    finally:
        report_built(context, outside)
    report_quiet_days(context, clock.now(), partial(_unbuilt, store.get()))
    users = {key: each.counts for key, each in served.items()}
    rows = row_counts(store.get(), "daily_rollups", sum(each.rollups for each in served.values()))
    return shown(context, {**rows, **by_user(users)})


class _BuiltUser(NamedTuple):
    """Number of rollups of a user in the days that were built, and the metadata that the run shows."""

    rollups: int
    counts: dict[str, int]


def _build(
    shared: SharedRebuild,
    there_is: DayWindow,
    outside: list[dg.MultiPartitionKey],
    user: User,
    days: Sequence[date],
    step: Step,
) -> _BuiltUser:
    """Build the days of a user; add to `outside` the days that were built outside the requested range."""
    every, rebuilt = shared.rebuild(user, step)
    others = sorted(day for day in every - set(days) if there_is.first <= day <= there_is.last)
    outside += (day_partition(user.partition_key, day) for day in others)
    step.counts = {"days": rebuilt.days, "plays_read": rebuilt.plays, "documents_written": rebuilt.written}
    step.detail = f"Built {plural(rebuilt.days, 'day')} from {plural(rebuilt.plays, 'play')}, {rebuilt.written} changed"
    if left_out := left_out_text(rebuilt.excluded_plays, len(rebuilt.excluded_by)):
        step.counts["plays_left_out"] = rebuilt.excluded_plays
        step.detail += f"; {left_out}"
    return _BuiltUser(rebuilt.rollups, step.counts)


def _unbuilt(store: Store, user_key: str, window: DayWindow) -> set[date]:
    return unbuilt_days(store, store.users.by_partition_key(user_key), window)
