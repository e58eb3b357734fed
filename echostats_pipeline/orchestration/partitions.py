"""Partitions of the data: by user, and by user and local day."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from echostats_pipeline.transforms.days import DayWindow

USERS = dg.DynamicPartitionsDefinition(name="users")
"""One partition per user, named by `User.partition_key`."""

EARLIEST = date(2002, 1, 1)
"""No service counted plays before this date. Earlier plays, as of devices with a wrong clock, go to the first day."""
FIRST_DAY = date(2008, 10, 1)
"""First day until the first play is known: when Spotify began."""


def user_days(first: date) -> dg.MultiPartitionsDefinition:
    """Every user's local dates since the first one. The last is tomorrow, which has already begun east of Greenwich."""
    days = dg.DailyPartitionsDefinition(start_date=first.isoformat(), timezone="UTC", end_offset=2)
    return dg.MultiPartitionsDefinition({"date": days, "user": USERS})


USER_DAYS = user_days(FIRST_DAY)
"""Partitions that assets by day are declared with. The definitions replace its first day by that of the first play."""

PARTITION = "dagster/partition"
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
DAYS_TAG = "echostats/days"
"""Run tag for people with the days that a run spans: ``2025-01-15``, or ``2025-01-14..2025-01-15``."""


def is_by_day(definition: dg.PartitionsDefinition | None) -> bool:
    """Whether partitions are by user and day, whatever their first day is."""
    return isinstance(definition, dg.MultiPartitionsDefinition)


def first_day(definition: dg.PartitionsDefinition | None) -> date:
    """The first date of partitions by user and day. It also stands for every date before it."""
    if not isinstance(definition, dg.MultiPartitionsDefinition):
        return FIRST_DAY
    days = definition.get_partitions_def_for_dimension("date")
    return days.start.date() if isinstance(days, dg.TimeWindowPartitionsDefinition) else FIRST_DAY


def last_day(now: datetime) -> date:
    """The last date at an instant: tomorrow in UTC."""
    return now.astimezone(UTC).date() + timedelta(days=1)


def range_tags(
    first: date, last: date, first_user: str, last_user: str | None = None, *, since: date = EARLIEST
) -> dict[str, str]:
    """Run tags that request a rectangle of days and users in one run, and show its days to people.

    Args:
        first: First date; the partition of `since` serves an earlier date.
        last: Last date, included.
        first_user: Partition key of the first user.
        last_user: Partition key of the last user, in the order users were added; None for the first alone.
        since: The first date with a partition.
    """
    first, last = max(first, since), max(last, since)
    return {
        RANGE_START: f"{first}|{first_user}",
        RANGE_END: f"{last}|{last_user or first_user}",
        DAYS_TAG: f"{first}" if first == last else f"{first}..{last}",
    }


def days_by_user(keys: Iterable[str]) -> dict[str, list[date]]:
    """The partitions of a run as dates per user key, both in order. Users of `USERS` keys have no dates."""
    found: dict[str, list[date]] = {}
    for key in keys:
        if isinstance(key, dg.MultiPartitionKey):
            dimensions = key.keys_by_dimension
            found.setdefault(dimensions["user"], []).append(date.fromisoformat(dimensions["date"]))
        else:
            found.setdefault(key, [])
    return {user: sorted(days) for user, days in found.items()}


def windows_of_run(tags: Mapping[str, str], order: Sequence[str]) -> dict[str, DayWindow | None] | None:
    """The days of each user key that a run serves; None for a user without days; None alone for all users.

    Args:
        tags: The run's tags. A check without partitions can learn the partitions of its run only from them.
        order: All user keys in the order they were added, by which Dagster understands a range.
    """
    key = tags.get(PARTITION)
    first, last = tags.get(RANGE_START, key), tags.get(RANGE_END, key)
    if first is None or last is None:
        return None
    (first_day, _, first_user), (last_day, _, last_user) = first.rpartition("|"), last.rpartition("|")
    if {first_user, last_user} <= set(order):
        users = order[order.index(first_user) : order.index(last_user) + 1]
    else:
        users = sorted({first_user, last_user})  # of a user who has been removed
    window = DayWindow(date.fromisoformat(first_day), date.fromisoformat(last_day)) if first_day else None
    return dict.fromkeys(users, window)


def day_partition(user_key: str, day: date) -> dg.MultiPartitionKey:
    """The partition of one day of one user."""
    return dg.MultiPartitionKey({"date": day.isoformat(), "user": user_key})
