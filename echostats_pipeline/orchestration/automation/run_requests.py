"""Which runs are needed now: pure functions from users, states and the clock to run requests.

Sensors and schedules only call these functions.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg

from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.jobs import import_config
from echostats_pipeline.orchestration.partitions import EARLIEST, RANGE_END, RANGE_START, range_tags
from echostats_pipeline.orchestration.tags import FILES_TAG, USER_TAG, USERS_TAG
from echostats_pipeline.settings import Settings
from echostats_pipeline.transforms.days import DayWindow, local_date

NOON = 12
"""The hour of UTC from which a date is over in every zone."""
WEEK_BEGINS_HOUR = 4
"""The hour of Monday at which the week's playlists are made."""
FIRST_SYNC_DAYS = 3
"""Days that a first sync spans: 50 plays seldom reach further back, and each further day costs an event."""
MOST_SYNC_DAYS = 14
"""Most days that one sync spans: 50 plays hardly reach further back. Older plays mark their days for a rebuild."""


def sync_request(user: User, now: datetime, interval_minutes: int) -> dg.RunRequest:
    """Request a sync of one user, over the days from their last sync until today, in their zone.

    The run key holds the slot of `interval_minutes` that contains `now`, so each slot is requested once.
    """
    return dg.RunRequest(
        run_key=f"{user.partition_key}@{_slot(now, interval_minutes)}",
        tags={USER_TAG: user.partition_key, **range_tags(*_sync_days(user, now), user.partition_key)},
    )


def is_due(user: User, now: datetime, interval_minutes: int) -> bool:
    """Whether a user needs a sync: they are active and were not synced in the present slot of `interval_minutes`."""
    synced = user.last_synced_at
    return user.status == "active" and (
        synced is None or _slot(synced, interval_minutes) < _slot(now, interval_minutes)
    )


def sync_requests(
    users: Sequence[User], now: datetime, interval_minutes: int, *, order: Sequence[str], batch_size: int
) -> list[dg.RunRequest]:
    """Request syncs of many users in few runs. A run for each would cost most in process starts and run records.

    A run is a rectangle of days and users, so a batch holds users who follow each other in `order`, the order in which
    they
    were added. A user who was not synced for days gets a separate run.
    """
    days = {user.partition_key: _sync_days(user, now) for user in users}
    lately = {key for key, (first, last) in days.items() if last - first < timedelta(days=FIRST_SYNC_DAYS)}
    requests = [sync_request(user, now, interval_minutes) for user in users if user.partition_key not in lately]
    for batch in neighbours(lately, order, batch_size):
        spans = [days[key] for key in batch]
        first, last = min(first for first, _ in spans), max(last for _, last in spans)
        requests.append(
            dg.RunRequest(
                run_key=f"{batch[0]}@{_slot(now, interval_minutes)}",
                tags={**_whose(batch), **range_tags(first, last, batch[0], batch[-1])},
            )
        )
    return requests


def users_requests(
    keys: Collection[str], *, order: Sequence[str], batch_size: int, day: date | None = None
) -> list[dg.RunRequest]:
    """Request runs over assets that are partitioned by user, with at most `batch_size` neighbours in each run.

    Args:
        keys: Partition keys of the users to serve.
        order: All user keys in the order they were added.
        batch_size: Most users that a run serves.
        day: For schedules: part of the run key, so that each request is made once that day.
    """

    def request(batch: Sequence[str]) -> dg.RunRequest:
        run_key = None if day is None else f"{batch[0]}@{day}"
        if len(batch) == 1:
            return dg.RunRequest(run_key=run_key, partition_key=batch[0], tags=_whose(batch))
        return dg.RunRequest(run_key=run_key, tags={**_whose(batch), RANGE_START: batch[0], RANGE_END: batch[-1]})

    return [request(batch) for batch in neighbours(keys, order, batch_size)]


def users_per_run(settings: Settings, users: int) -> int:
    """Most users that a run serves: one as long as each user has a sensor."""
    return settings.sync_batch_size if settings.fans_out(users) else 1


def neighbours(keys: Collection[str], order: Sequence[str], most: int) -> list[list[str]]:
    """Divide the keys into batches of at most `most` that follow each other in `order` without a gap."""
    batches: list[list[str]] = []
    previous = None
    for position, key in enumerate(order):
        if key not in keys:
            continue
        if previous is not None and position == previous + 1 and len(batches[-1]) < most:
            batches[-1].append(key)
        else:
            batches.append([key])
        previous = position
    return batches


def _whose(batch: Sequence[str]) -> dict[str, str]:
    """Tags that say which users a run serves."""
    return {USER_TAG: batch[0]} if len(batch) == 1 else {USERS_TAG: str(len(batch))}


@dataclass(frozen=True)
class Rectangle:
    """Days and users that one run serves.

    Attributes:
        users: Partition keys that follow each other in the order users were added.
        days: The days, which are the same for each user.
    """

    users: tuple[str, ...]
    days: DayWindow

    def tags(self, since: date = EARLIEST) -> dict[str, str]:
        """The tags of the run, if the partitions by day begin with `since`."""
        days, users = self.days, self.users
        return {**_whose(users), **range_tags(days.first, days.last, users[0], users[-1], since=since)}


def rectangles(days: Mapping[str, DayWindow], order: Sequence[str]) -> list[Rectangle]:
    """The smallest number of runs that serve each user's days and no others, in the order users were added.

    Args:
        days: The days to serve, by partition key.
        order: All partition keys in the order users were added; contains those of `days`.
    """
    sharing: dict[DayWindow, set[str]] = {}
    for key, window in days.items():
        sharing.setdefault(window, set()).add(key)
    found = [
        Rectangle(tuple(batch), window)
        for window, keys in sharing.items()
        for batch in neighbours(keys, order, most=len(keys))
    ]
    return sorted(found, key=lambda rectangle: order.index(rectangle.users[0]))


def _sync_days(user: User, now: datetime) -> tuple[date, date]:
    """First and last of the days that a sync spans."""
    zone = ZoneInfo(user.timezone)
    today = local_date(now, zone)
    never = today - timedelta(days=FIRST_SYNC_DAYS - 1)
    since = local_date(user.last_synced_at, zone) if user.last_synced_at else never
    return min(max(since, today - timedelta(days=MOST_SYNC_DAYS)), today), today


def _slot(now: datetime, interval_minutes: int) -> int:
    """The number of the interval that contains an instant."""
    return int(now.timestamp()) // (interval_minutes * 60)


def import_request(
    user: User, versions: Mapping[str, str], handed_over: Mapping[str, str] | None = None, *, database: str = ""
) -> dg.RunRequest:
    """Request an import of a user's exports. Each version is requested once: the run key holds all versions.

    It holds the generation of the database, too: Dagster skips a run key that it knows, and its history may know
    imports that a restored database lacks.

    Args:
        user: Their user.
        versions: The exports with their versions, by path.
        handed_over: The same by name, if they were stored in the database.
        database: The generation of the database.
    """
    digest = hashlib.sha256(repr((database, sorted(versions.items()))).encode()).hexdigest()[:16]
    return dg.RunRequest(
        run_key=f"{user.partition_key}@{digest}",
        partition_key=user.partition_key,
        tags={USER_TAG: user.partition_key, FILES_TAG: str(len(versions))},
        run_config=import_config([] if handed_over else [Path(path) for path in versions], handed_over),
    )


def rollup_requests(
    users: Iterable[User],
    pending: Mapping[str, Sequence[str]],
    busy: Collection[str],
    *,
    since: date = EARLIEST,
) -> list[dg.RunRequest]:
    """Request rebuilds of the days that wait: one run per user, over the range that contains all of these days.

    Args:
        users: The users to consider.
        pending: Dates that wait (``YYYY-MM-DD``, in order) by user id.
        busy: Ids of users with a running job, which may rebuild these days itself.
        since: The first date with a partition; it also stands for all earlier dates.
    """

    def tags(user: User, days: Sequence[str]) -> dict[str, str]:
        first, last = date.fromisoformat(days[0]), date.fromisoformat(days[-1])
        return {USER_TAG: user.partition_key, **range_tags(first, last, user.partition_key, since=since)}

    return [
        dg.RunRequest(tags=tags(user, days))
        for user in users
        if (days := pending.get(user.user_id)) and user.user_id not in busy
    ]


def stale_users(
    users: Iterable[User],
    pending: Collection[str],
    period_ends: Mapping[str, datetime],
    busy: Collection[str],
    now: datetime,
) -> set[str]:
    """Partition keys of users whose snapshots need a rebuild: rollups or catalogue changed, or a new day has begun.

    Args:
        users: The users to consider.
        pending: Ids of users whose snapshots wait for a rebuild.
        period_ends: When the periods of the present snapshots end, by user id.
        busy: Ids of users with a running job, which may change their rollups again.
        now: The present instant.
    """
    return {
        user.partition_key
        for user in users
        if user.user_id not in busy
        and (user.user_id in pending or period_ends.get(user.user_id, now + timedelta(days=1)) <= now)
    }


def catalog_families(lacking: Iterable[str], waiting: Collection[str], sources: Collection[str]) -> set[str]:
    """Which of the families of endpoints with missing entries can be completed now.

    Args:
        lacking: Families with missing entries.
        waiting: Families that must not be called now.
        sources: Sources of audio features that can be called now; one is enough.
    """
    return {family for family in lacking if (sources if family == "audio-features" else family not in waiting)}


def weekly_requests(
    users: Sequence[User], now: datetime, *, order: Sequence[str], batch_size: int
) -> list[dg.RunRequest]:
    """Request this week's playlists of each user, once a week from Monday, 04:00 in their own zone.

    Users who share a run live in many zones: theirs are made together, when Monday has begun everywhere.
    """
    begun: dict[date, set[str]] = {}
    for user in users:
        zone = ZoneInfo(user.timezone) if batch_size == 1 else ZoneInfo("Etc/GMT+12")
        local = (now - timedelta(hours=WEEK_BEGINS_HOUR)).astimezone(zone).date()
        begun.setdefault(local - timedelta(days=local.weekday()), set()).add(user.partition_key)
    return [
        request
        for monday, keys in sorted(begun.items())
        for request in users_requests(keys, order=order, batch_size=batch_size, day=monday)
    ]


def closing_requests(
    users: Sequence[User], now: datetime, *, order: Sequence[str], batch_size: int
) -> list[dg.RunRequest]:
    """Request a rebuild of each user's last two days in their own zone, once a local day, which closes yesterday.

    Users who share a run live in many zones, and neighbours seldom in the same one. Their days are closed together,
    when
    yesterday is over everywhere, over the three days that are yesterday or today for at least one of the users.
    """
    keys = {user.partition_key for user in users}
    todays = {user.partition_key: local_date(now, ZoneInfo(user.timezone)) for user in users}
    over_everywhere = now.hour >= NOON
    requests = []
    for batch in neighbours(keys, order, batch_size) if batch_size == 1 or over_everywhere else ():
        first, last = now.date() - timedelta(days=1), now.date() + timedelta(days=1)
        if batch_size == 1:
            first, last = todays[batch[0]] - timedelta(days=1), todays[batch[0]]
        tags = {**_whose(batch), **range_tags(first, last, batch[0], batch[-1])}
        requests.append(dg.RunRequest(run_key=f"{batch[0]}@{last}", tags=tags))
    return requests
