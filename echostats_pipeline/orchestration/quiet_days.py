"""Reports days without work as built, so that the UI shows as missing only what is missing.

Users and days form a rectangle, and no user's history fills it: it begins with the first play of any user, and has
gaps. The first run of a user that finds a day without work reports it, once. The Dagster instance stores which days
were reported, beside the events themselves.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime

import dagster as dg
from dagster._core.events import DagsterEventBatchMetadata, StepMaterializationData

from echostats_pipeline.orchestration.partitions import USER_DAYS, day_partition, days_by_user, first_day, last_day
from echostats_pipeline.transforms.days import DayWindow

MOST_KEYS = 100_000
"""Most days reported for an asset. With more, its page is too slow to use, and each report makes it slower."""
NOTHING_TO_DO = "Nothing to do for this day"

Unbuilt = Callable[[str, DayWindow], Collection[date]]


def report_quiet_days(context: dg.AssetExecutionContext, now: datetime, unbuilt: Unbuilt = lambda *_: ()) -> None:
    """Report the days of the run's users that are not the run's own and were not reported before.

    Does nothing until the first day is known.

    Args:
        context: Context of an asset by day whose work is done.
        now: The present instant; the last day is tomorrow.
        unbuilt: A user's days that still need work, by partition key.
    """
    definition, instance = context.assets_def.partitions_def, context.instance
    if definition is None or definition == USER_DAYS:
        return
    every = DayWindow(first_day(definition), last_day(now))
    order = instance.get_dynamic_partitions("users")
    if every.length * len(order) > MOST_KEYS:
        return
    asked = {user: days for user, days in days_by_user(context.partition_keys).items() if user in order}
    kept = instance.daemon_cursor_storage.get_cursor_values({_place(context, user) for user in asked})
    reported = {user: _window(kept.get(_place(context, user))) for user in asked}
    new = [user for user in asked if reported[user] != every]
    if not new:
        return
    built = _built(context) if any(reported[user] is None for user in new) else {}
    quiet: list[dg.MultiPartitionKey] = []
    for user in new:
        before = reported[user]
        known = {*asked[user], *(built.get(user, ()) if before is None else before.dates())}
        open_days = set(every.dates()) - known
        if open_days:
            open_days -= set(unbuilt(user, DayWindow(min(open_days), max(open_days))))
        quiet += (day_partition(user, day) for day in sorted(open_days))
    report_built(context, quiet, NOTHING_TO_DO)
    # A day that is missing now still needs work; it is reported when that work is done.
    instance.daemon_cursor_storage.set_cursor_values(
        {_place(context, user): f"{every.first}|{every.last}" for user in new}
    )


def _place(context: dg.AssetExecutionContext, user: str) -> str:
    return f"echostats/days/{context.asset_key.to_user_string()}/{user}"


def _window(text: str | None) -> DayWindow | None:
    found = re.fullmatch(r"([\d-]{10})\|([\d-]{10})", text or "")
    return None if found is None else DayWindow(*map(date.fromisoformat, found.groups()))


def _built(context: dg.AssetExecutionContext) -> Mapping[str, Collection[date]]:
    """Days that Dagster already shows as built, as by an earlier version or after the first day has moved back."""
    keys = context.instance.get_materialized_partitions(context.asset_key)
    found: dict[str, set[date]] = {}
    for key in keys:
        day, _, user = key.partition("|")
        found.setdefault(user, set()).add(date.fromisoformat(day))
    return found


def report_built(
    context: dg.AssetExecutionContext, partitions: Sequence[dg.MultiPartitionKey], description: str | None = None
) -> None:
    """Report days that are not the run's own as built, in batches, because each transaction costs Dagster 30 ms."""
    for number, partition in enumerate(partitions, start=1):
        made = dg.AssetMaterialization(context.asset_key, description=description, partition=partition)
        event = dg.DagsterEvent(
            event_type_value=dg.DagsterEventType.ASSET_MATERIALIZATION.value,
            job_name=context.run.job_name,
            event_specific_data=StepMaterializationData(made),
        )
        of_run = f"{context.asset_key.to_user_string()}/{context.run.run_id}/{description}"
        batch = DagsterEventBatchMetadata(of_run, is_end=number == len(partitions))
        context.instance.report_dagster_event(event, context.run.run_id, batch_metadata=batch)
