"""How the data is divided: by user, and by user and local day."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

import dagster as dg

from echostats_pipeline.transforms.days import DayWindow

USERS = dg.DynamicPartitionsDefinition(name="users")
"""One partition per user, named by `User.partition_key`."""

FIRST_DAY = date(2008, 10, 1)
"""When Spotify began. Plays that others have told of may be older: the first day stands for every day before it too."""
DAYS = dg.DailyPartitionsDefinition(start_date=FIRST_DAY.isoformat(), timezone="UTC", end_offset=2)
"""Calendar dates since then. They are each user's own: east of Greenwich, tomorrow has begun already."""

USER_DAYS = dg.MultiPartitionsDefinition({"date": DAYS, "user": USERS})

PARTITION = "dagster/partition"
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
DAYS_TAG = "echostats/days"
"""Run tag for people, which days a run spans: ``2025-01-15``, or ``2025-01-14..2025-01-15``."""


def last_day() -> date:
    """The last of `DAYS` at this moment: tomorrow, as seen from Greenwich."""
    key = DAYS.get_last_partition_key()
    return FIRST_DAY if key is None else date.fromisoformat(key)


def range_tags(first: date, last: date, first_user: str, last_user: str | None = None) -> dict[str, str]:
    """Run tags that ask for a rectangle of days and users in one run, and say so to people.

    Args:
        first: First date; one before `FIRST_DAY` is served by that.
        last: Last date, included.
        first_user: Partition key of the first user.
        last_user: Partition key of the last user, in the order users were added; None for the first alone.
    """
    first, last = max(first, FIRST_DAY), max(last, FIRST_DAY)
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
    """What a run is about: the days of each user key; None for a user as a whole, None at all for everybody.

    Args:
        tags: The run's; a check without partitions of its own is told of them in no other way.
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
        users = sorted({first_user, last_user})  # of somebody who has been removed
    window = DayWindow(date.fromisoformat(first_day), date.fromisoformat(last_day)) if first_day else None
    return dict.fromkeys(users, window)


def day_partition(user_key: str, day: date) -> dg.MultiPartitionKey:
    """The partition of one day of one user."""
    return dg.MultiPartitionKey({"date": day.isoformat(), "user": user_key})
