"""Progress of reading libraries: what is left, each user's share of the calls, and which libraries are due.

A large library is read over several days, as the budget of calls allows. The budget of each family of endpoints is
shared between the users who need calls (`transforms.shares`); the calls of each user are stored across runs.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import get_args

from echostats_pipeline.errors import APP_FAMILY
from echostats_pipeline.model.library import LibraryPart, LibraryReading, TimeRange, TopItemKind
from echostats_pipeline.model.users import User
from echostats_pipeline.spotify.client import PAGE_LIMIT
from echostats_pipeline.spotify.families import Family
from echostats_pipeline.spotify.quota import Budget
from echostats_pipeline.storage.readings import UnreadCounts
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.shares import UNKNOWN_NEED, Wish, days_needed, share_of

PARTS: Sequence[LibraryPart] = get_args(LibraryPart)
FAMILIES: Mapping[LibraryPart, Family] = {
    "playlists": "playlists",
    "saved_tracks": "saved-tracks",
    "top_items": "top-items",
}
NOUNS: Mapping[LibraryPart, str] = {"playlists": "playlists", "saved_tracks": "liked songs", "top_items": "rankings"}
CHECKED_FOR = timedelta(hours=20)
"""Time after which a library is read again: less than a day, or a daily schedule would skip every other day."""
RANKINGS = len(get_args(TopItemKind)) * len(get_args(TimeRange))
WORTH_A_RUN = 4
"""A run is worth its start when 1 / `WORTH_A_RUN` of a user's daily share can be read, or all that is left."""
WINDOW = Budget().window


@dataclass(frozen=True)
class LibraryProgress:
    """The progress of one part of a user's library.

    Attributes:
        part: The part of the library.
        done: Number of items that are stored as Spotify has them, or that the present pass has compared.
        total: Number of all items.
        days_left: Estimated days until all items are read; None if nothing is left, or if it is unknown.
        is_known: Whether this part was ever read.
        is_under_way: Whether items are still to be read.
        is_repeated: Whether all items are stored already, and the pass only compares them.
        failed: Number of items that could not be read; the next pass requests them again.
    """

    part: LibraryPart
    done: int
    total: int
    days_left: int | None
    is_known: bool
    is_under_way: bool
    is_repeated: bool
    failed: int

    @property
    def left(self) -> int:
        """Number of items still to be read."""
        return max(0, self.total - self.done)

    @property
    def is_complete(self) -> bool:
        """Whether all items are read."""
        return self.is_known and not self.is_under_way and not self.failed

    @property
    def text(self) -> str:
        """The progress in words: ``412 of 600 playlists, ready in about 2 days``."""
        noun = NOUNS[self.part]
        if not self.is_known:
            return f"{noun} not read yet"
        if self.is_complete:
            return f"{self.done:,} {noun}"
        again = " compared again" if self.is_repeated else ""
        said = f"{self.done:,} of {self.total:,} {noun}{again}"
        if self.is_under_way and self.days_left is not None:
            said += f", ready in about {self.days_left:,} day{'' if self.days_left == 1 else 's'}"
        return said + (f", {self.failed:,} could not be read and will be requested again" if self.failed else "")


@dataclass(frozen=True)
class Demand:
    """The calls that all synced users need for one part of the library, and their progress.

    Attributes:
        part: The part of the library.
        readings: State of reading by user id, for users whose part was ever read.
        unread: Playlists whose contents are not read yet, by user id.
        rankings: Times at which the rankings of a user were read, by user id.
        wishes: Calls that each user needs, by user id; the user `of` of `demand` is always included.
    """

    part: LibraryPart
    readings: Mapping[str, LibraryReading]
    unread: Mapping[str, UnreadCounts]
    rankings: Mapping[str, Collection[datetime]]
    wishes: Mapping[str, Wish]


def demand(store: Store, part: LibraryPart, now: datetime, *, of: User | None = None) -> Demand:
    """Return the calls that users need for a part of the library.

    Args:
        store: The database.
        part: The part of the library.
        now: The present instant.
        of: A user who is read now, even if nothing is due or the user's last attempt failed.
    """
    readings = store.readings.all(part)
    unread = store.readings.unread() if part == "playlists" else {}
    read = store.library.top_items_read() if part == "top_items" else {}
    rankings = {user_id: list(found.values()) for user_id, found in read.items()}
    wishes: dict[str, Wish] = {}
    for user in store.users.all():
        user_id, mine = user.user_id, of is not None and user.user_id == of.user_id
        reading = readings.get(user_id)
        if not mine and (user.status != "active" or (reading is not None and reading.failed)):
            continue
        if reading is None:
            wishes[user_id] = Wish(RANKINGS if part == "top_items" else UNKNOWN_NEED)
            continue
        need = _need(reading, unread.get(user_id, UnreadCounts()), rankings.get(user_id, ()), now)
        lately = sum(at > now - WINDOW for at in reading.called_at)
        wishes[user_id] = Wish(max(need, mine), lately, reading.calls)
    return Demand(part, readings, unread, rankings, wishes)


def _need(reading: LibraryReading, unread: UnreadCounts, rankings: Collection[datetime], now: datetime) -> int:
    """Return the calls that are still needed; for a library that was read some time ago, those that find changes."""
    if reading.part == "top_items":
        return RANKINGS - sum(at > now - CHECKED_FOR for at in rankings)
    if not reading.is_open:
        is_due = reading.finished_at is None or reading.finished_at <= now - CHECKED_FOR
        return (_pages(reading.total) if reading.part == "playlists" else 1) if is_due else 0
    if not reading.total:
        return UNKNOWN_NEED
    left = 0 if reading.listed_at else _pages(reading.total - reading.place)
    if reading.part == "saved_tracks":
        return left
    contents = sum(map(_pages, unread.rows))
    unlisted = 0 if reading.listed_at else reading.total - reading.place
    mean = max(1, round(contents / unread.playlists)) if unread.playlists else 1
    return left + contents + (unlisted * mean if reading.finished_at is None else 0)


def _pages(rows: int) -> int:
    """Return the number of calls for a list of `rows` rows; an empty list takes one call, too."""
    return max(1, -(-rows // PAGE_LIMIT))


def calls_for(store: Store, user: User, part: LibraryPart, daily_calls: int, now: datetime) -> int:
    """Return how many calls a user may make now for a part of their library.

    If the budget is used up, this returns 1: that call is refused, and the refusal says until when to wait.
    """
    free = free_calls(store, part, daily_calls, now)
    wishes = demand(store, part, now, of=user).wishes
    # The need of this user is an estimate, because a list may have grown: it must not limit the user's share.
    unbounded = {**wishes, user.user_id: Wish(UNKNOWN_NEED, wishes[user.user_id].lately, wishes[user.user_id].ever)}
    return share_of(user.user_id, unbounded, free) if free else 1


def free_calls(store: Store, part: LibraryPart, daily_calls: int, now: datetime) -> int:
    """Return how many calls for a part of the library the budget still allows, for all users together."""
    made, _ = store.limits.calls(FAMILIES[part], now - WINDOW)
    return max(0, daily_calls - made)


def progress_of(store: Store, user: User, daily_calls: int, wanted: Demand) -> LibraryProgress:
    """Return the progress of a part of a user's library."""
    part, user_id = wanted.part, user.user_id
    reading = wanted.readings.get(user_id)
    if reading is None:
        return LibraryProgress(part, 0, 0, None, False, True, False, 0)
    unread, wish = wanted.unread.get(user_id, UnreadCounts()), wanted.wishes.get(user_id)
    is_under_way, is_repeated = reading.is_open, False
    if part == "playlists":
        done = store.library.playlist_count(user_id) - unread.stored
        total = done + unread.playlists
        if reading.is_open and reading.listed_at is None:
            total = max(total, reading.total - reading.nameless)
    elif part == "saved_tracks":
        done = total = store.library.saved_count(user_id)
        if reading.is_open:
            done, total, is_repeated = reading.place, reading.total, reading.finished_at is not None
    else:
        done, total = len(wanted.rankings.get(user_id, ())), RANKINGS
        is_under_way = done < total
    days = None
    if is_under_way and wish is not None and wish.need < UNKNOWN_NEED:
        days = max(1, days_needed(user_id, wanted.wishes, daily_calls))
    return LibraryProgress(part, done, total, days, True, is_under_way, is_repeated, unread.failed)


def libraries(
    store: Store, users: Iterable[User], daily_calls: int, now: datetime
) -> list[tuple[User, list[LibraryProgress]]]:
    """Return the progress of each part of each user's library."""
    demands = [demand(store, part, now) for part in PARTS]
    return [(user, [progress_of(store, user, daily_calls, each) for each in demands]) for user in users]


def due_libraries(store: Store, users: Sequence[User], daily_calls: int, now: datetime) -> set[str]:
    """Return the partition keys of users with an incomplete library, of which enough can be read now to start a run.

    Plays come first: a library waits for the first sync of its user. A part that failed waits for the next daily run.
    """
    waiting = store.limits.waiting([*FAMILIES.values(), APP_FAMILY], now)
    candidates = [user for user in users if user.status == "active" and user.last_synced_at is not None]
    due: set[str] = set()
    for part in PARTS:
        if APP_FAMILY in waiting or FAMILIES[part] in waiting:
            continue
        free = free_calls(store, part, daily_calls, now)
        wanted = demand(store, part, now)
        due |= {user.partition_key for user in candidates if _is_worth_a_run(user.user_id, wanted, free, daily_calls)}
    return due


def _is_worth_a_run(user_id: str, wanted: Demand, free: int, daily_calls: int) -> bool:
    reading, wish = wanted.readings.get(user_id), wanted.wishes.get(user_id)
    if wish is None or not wish.need or not (reading is None or reading.is_open):
        return False
    enough = max(1, daily_calls // max(1, _wanting(wanted.wishes.values())) // WORTH_A_RUN)
    return share_of(user_id, wanted.wishes, free) >= min(wish.need, enough)


def _wanting(wishes: Collection[Wish]) -> int:
    return sum(wish.need > 0 for wish in wishes)
