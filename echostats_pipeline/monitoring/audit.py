"""Audit of the data: compares plays, rollups and snapshots with the data that each is built from.

Here: examinations of documents, and their findings. Not here: the state of the pipeline itself
(`monitoring.operation`), how a finding is shown, and what it stops (`orchestration.checks`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from echostats_pipeline.model.statistics import PERIODS
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.storage.audit import AuditStore, Instants
from echostats_pipeline.storage.change_marks import NEWEST
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.audit import (
    Difference,
    day_difference,
    day_length,
    history_sums,
    snapshot_difference,
)
from echostats_pipeline.transforms.days import DayWindow, local_midnight, windows
from echostats_pipeline.transforms.statistics.periods import first_date

CLOCK_SKEW = timedelta(minutes=10)
"""Normal difference between the clocks of phones and servers."""
MOST_ROWS = 20
"""Most rows of a table: it shows the worst ones. The numbers beside the table count all rows."""
HOUR_MS = 3_600_000

Severity = Literal["ERROR", "WARN"]
Number = int | float | str
Row = Mapping[str, Any]


class AuditedUser(NamedTuple):
    """A user, and the days of the user that are examined; None for all days."""

    user: User
    window: DayWindow | None

    @property
    def zone(self) -> ZoneInfo:
        """The user's time zone, in which the days begin."""
        return ZoneInfo(self.user.timezone)

    @property
    def instants(self) -> Instants:
        """The first instant of the days, and the first instant after them; None for all time."""
        if self.window is None:
            return None
        return local_midnight(self.window.first, self.zone), local_midnight(self.window.following, self.zone)

    @property
    def dates(self) -> tuple[date, date] | None:
        """The first and the last day; None for all days."""
        return None if self.window is None else (self.window.first, self.window.last)


@dataclass(frozen=True)
class AuditFinding:
    """The result of an examination.

    Attributes:
        passed: Whether no fault was found.
        severity: How bad a fault is. After an ``ERROR``, no later asset may be built from this data.
        description: If a fault was found: what is wrong and what to do, in one or two sentences. Else: what was
            examined.
        numbers: How much was examined, and how much is wrong.
        rows: A table of the worst faults.
        user_ids: Users with wrong documents.
    """

    passed: bool
    severity: Severity
    description: str
    numbers: Mapping[str, Number]
    rows: Sequence[Row] = ()
    user_ids: frozenset[str] = frozenset()


Examination = Callable[[Store, Settings, datetime, Sequence[AuditedUser]], AuditFinding]


def no_play_is_in_the_future(store: Store, _: Settings, now: datetime, scope: Sequence[AuditedUser]) -> AuditFinding:
    """No play ends in the future; ten minutes are allowed, because clocks may differ.

    Examines all plays of the users, also if a run is limited to some days: plays in the future may have any date.
    """
    audit, ids = AuditStore(store.db), set[str]()
    rows: list[Row] = []
    for user, _window in scope:
        plays, newest = audit.plays_after(user.user_id, now + CLOCK_SKEW)
        if newest is not None:
            rows.append({"user": user.partition_key, "plays": plays, "newest": f"{newest:%Y-%m-%d %H:%M:%S} UTC"})
            ids.add(user.user_id)
    plays = sum(row["plays"] for row in rows)
    wrong = (
        f"{_many(plays, 'play')} of {_many(len(rows), 'user')} ended after {now:%Y-%m-%d %H:%M} UTC. Check the clock "
        "of this machine; if it is right, remove these plays from listening_history and sync again."
    )
    return AuditFinding(
        not rows,
        "ERROR",
        wrong if rows else f"No play of {_many(len(scope), 'user')} lies in the future.",
        {"users": len(scope), "plays_in_the_future": plays},
        worst(rows, "plays"),
        frozenset(ids),
    )


def plays_are_unique(store: Store, _: Settings, _now: datetime, scope: Sequence[AuditedUser]) -> AuditFinding:
    """No two plays of a user have the same track and end, or come from the same row of an export.

    Reads the documents themselves, and does not rely on the unique index, which may be missing.
    """
    audit, ids = AuditStore(store.db), set[str]()
    rows: list[Row] = []
    for examined in scope:
        too_many = audit.equal_plays(examined.user.user_id, examined.instants)
        if any(too_many.values()):
            rows.append({"user": examined.user.partition_key, **too_many})
            ids.add(examined.user.user_id)
    counts = {name: sum(row[name] for row in rows) for name in ("equal_places", "equal_import_keys")}
    wrong = (
        f"{_many(counts['equal_places'], 'play')} too many with the same track and end, and "
        f"{counts['equal_import_keys']} too many from the same export row: rollups count them twice. Remove the "
        "duplicates from listening_history, then run: echostats indexes --repair"
    )
    return AuditFinding(
        not rows,
        "ERROR",
        wrong if rows else f"Every play of {_many(len(scope), 'user')} is stored once.",
        {"users": len(scope), **counts},
        worst(rows, "equal_places", "equal_import_keys"),
        frozenset(ids),
    )


def daily_rollups_match_history(
    store: Store, settings: Settings, _: datetime, scope: Sequence[AuditedUser]
) -> AuditFinding:
    """Every rollup agrees with the plays of its day.

    For each user and local day, the plays are read one by one and summed up: all plays, plays that count, plays that
    rules leave out, and listening time. These sums are compared with the totals of the rollup, and with the sums of its
    hours, artists, albums and tracks; the plays of credited artists are compared with what the catalogue credits. Days
    that wait for a rebuild, or are marked for one meanwhile, are not wrong. Days that differ are read a second time.
    """

    def compare(examined: AuditedUser) -> dict[str, Difference | None]:
        user, window = examined
        audit, zone = AuditStore(store.db), examined.zone
        instants = None if window is None else window.instants(zone)
        rules = audit.exclusions(user.user_id)
        plays = audit.plays(user.user_id, instants, names=bool(rules))
        artists = audit.artists(user.user_id, instants)
        history = history_sums(plays, zone, settings.min_play_ms, artists, rules)
        rollups = audit.rollups(user.user_id, examined.dates)
        days = {*history, *rollups} if window is None else window.dates()
        return {str(day): day_difference(day, history.get(day), rollups.get(day)) for day in days}

    def narrowed(examined: AuditedUser, days: Iterable[str]) -> list[AuditedUser]:
        return [AuditedUser(examined.user, window) for window in windows(date.fromisoformat(day) for day in days)]

    return _combined(
        [(each, _compared_twice(store, "daily_rollups", each, compare, narrowed)) for each in scope],
        severity="ERROR",
        noun="day",
        remedy="Rebuild them: materialize daily_rollups for these dates and users.",
    )


def analytics_snapshots_match_rollups(
    store: Store, _: Settings, _now: datetime, scope: Sequence[AuditedUser]
) -> AuditFinding:
    """Every snapshot agrees with the rollups of its period.

    For each user and period, the plays and the time of the rollups are summed up over all dates of the period, also if
    a run is limited to some days. These sums are compared with the totals of the snapshot, and with the sums of its
    hours and weekdays; the number of different ids of tracks is compared, too, and the plays of the artist who is
    credited most. Snapshots that wait for a rebuild are not wrong. Snapshots that differ are read a second time.
    """

    def compare(examined: AuditedUser) -> dict[str, Difference | None]:
        user, zone = examined.user, examined.zone
        audit = AuditStore(store.db)
        days, snapshots = audit.rollups(user.user_id, None), audit.snapshots(user.user_id)
        ends = [snapshot.period_end for snapshot in snapshots.values() if snapshot.period_end is not None]
        last = (max(ends) - timedelta(milliseconds=1)).astimezone(zone).date() if ends else date.max
        heard = audit.last_heard(user.user_id, last)
        firsts = {period: first_date(period, last) for period in PERIODS}
        most = audit.most_credited(user.user_id, firsts, last)
        return {
            period: snapshot_difference(period, snapshots.get(period), days, heard, zone, most[period])
            for period in PERIODS
        }

    def again(examined: AuditedUser, _: Iterable[str]) -> list[AuditedUser]:
        return [examined]

    return _combined(
        [(each, _compared_twice(store, "analytics_snapshots", each, compare, again)) for each in scope],
        severity="WARN",
        noun="snapshot",
        remedy="Rebuild them: materialize analytics_snapshots for these users.",
    )


def no_day_is_overlong(store: Store, _: Settings, _now: datetime, scope: Sequence[AuditedUser]) -> AuditFinding:
    """No user listened for longer than the day lasted: 24 hours, or 23 or 25 when the clocks change.

    The whole play belongs to the day on which it ended.
    """
    audit, ids, days = AuditStore(store.db), set[str](), 0
    rows: list[Row] = []
    for examined in scope:
        for day, sums in sorted(audit.rollups(examined.user.user_id, examined.dates).items()):
            days += 1
            hours, most = sums["total_ms"] / HOUR_MS, day_length(day, examined.zone) / timedelta(hours=1)
            if hours > most:
                who = {"user": examined.user.partition_key, "date": str(day)}
                rows.append({**who, "hours": round(hours, 2), "hours_of_the_day": round(most, 2)})
                ids.add(examined.user.user_id)
    wrong = (
        f"More hours of listening than the day has on {_many(len(rows), 'day')}. Two devices played at once, or plays "
        "are stored twice under different ids: look at the plays of these dates in listening_history."
    )
    return AuditFinding(
        not rows,
        "WARN",
        wrong if rows else f"No overlong day among {days:,}.",
        {"days": days, "overlong_days": len(rows)},
        worst(rows, "hours"),
        frozenset(ids),
    )


def daily_rollups_are_unique(store: Store, _: Settings, _now: datetime, scope: Sequence[AuditedUser]) -> AuditFinding:
    """Each user has one rollup per date, even if the unique index is missing."""

    def too_many(examined: AuditedUser) -> int:
        bounds = examined.dates and (str(examined.dates[0]), str(examined.dates[1]))
        return AuditStore(store.db).equal_documents("daily_rollups", examined.user.user_id, "date", bounds)

    return _unique("daily_rollups", "ERROR", [(each.user, too_many(each)) for each in scope])


def analytics_snapshots_are_unique(
    store: Store, _: Settings, _now: datetime, scope: Sequence[AuditedUser]
) -> AuditFinding:
    """Each user has one snapshot per period, even if the unique index is missing."""
    audit = AuditStore(store.db)
    counts = [(each.user, audit.equal_documents("analytics_snapshots", each.user.user_id, "period")) for each in scope]
    return _unique("analytics_snapshots", "WARN", counts)


def worst(rows: Iterable[Row], *by: str) -> list[Row]:
    """Return the `MOST_ROWS` rows with the highest values, highest first."""
    return sorted(rows, key=lambda row: [-float(row[name]) for name in by])[:MOST_ROWS]


def _unique(collection: str, severity: Severity, counts: Sequence[tuple[User, int]]) -> AuditFinding:
    rows = [{"user": user.partition_key, "too_many": count} for user, count in counts if count]
    too_many = sum(count for _, count in counts)
    wrong = (
        f"{_many(too_many, 'document')} of {collection} too many: a reader may get either one. Remove all documents of "
        f"the users below from {collection}, run `echostats indexes --repair`, and materialize {collection} for them."
    )
    return AuditFinding(
        not rows,
        severity,
        wrong if rows else f"Every document of {collection} of {_many(len(counts), 'user')} is stored once.",
        {"users": len(counts), "too_many": too_many},
        worst(rows, "too_many"),
        frozenset(user.user_id for user, count in counts if count),
    )


@dataclass(frozen=True)
class _Compared:
    """The result of a comparison of one user's documents with their source."""

    documents: int
    wrong: Sequence[Difference] = ()
    waiting: frozenset[str] = field(default_factory=frozenset)


def _compared_twice(
    store: Store,
    target: str,
    examined: AuditedUser,
    compare: Callable[[AuditedUser], dict[str, Difference | None]],
    narrowed: Callable[[AuditedUser, Iterable[str]], list[AuditedUser]],
) -> _Compared:
    """Compare, and compare differing documents again, because a sync or a rebuild may have written in between.

    A source marks its changes (`storage.change_marks`). A document with a mark before or after it was read is waiting,
    not wrong. If a mark was set even during the second reading, the document counts as waiting as well.
    """
    user_id = examined.user.user_id

    def read(parts: list[AuditedUser]) -> tuple[dict[str, Difference | None], set[str], bool]:
        before = store.marks.marks(user_id, target)
        found = {key: value for part in parts for key, value in compare(part).items()}
        after = store.marks.marks(user_id, target)
        whole = target == "analytics_snapshots"
        marked = {*before, *after} - {NEWEST}
        return found, set(found) if whole and marked else marked, before.get(NEWEST) != after.get(NEWEST)

    found, marked, _ = read([examined])
    documents, waiting = len(found), marked & found.keys()
    suspects = [key for key, difference in found.items() if difference is not None and key not in waiting]
    if not suspects:
        return _Compared(documents, waiting=frozenset(waiting))
    found, marked, moved = read(narrowed(examined, suspects))
    wrong = {key: found[key] for key in suspects if found[key] is not None}
    waiting |= set(wrong) if moved else marked & wrong.keys()
    return _Compared(
        documents,
        [difference for key, difference in wrong.items() if difference is not None and key not in waiting],
        frozenset(waiting),
    )


def _combined(
    found: Sequence[tuple[AuditedUser, _Compared]], *, severity: Severity, noun: str, remedy: str
) -> AuditFinding:
    """Combine the comparisons of all users into one finding."""
    wrong = [(examined, difference) for examined, compared in found for difference in compared.wrong]
    wrong.sort(key=lambda pair: pair[1].size, reverse=True)
    rows: list[Row] = [
        {
            "user": examined.user.partition_key,
            noun: difference.key,
            "differs": ", ".join(difference.fields),
            "plays_expected": difference.expected,
            "plays_found": difference.found or 0,
            "ms_expected": difference.expected_ms,
            "ms_found": difference.found_ms or 0,
        }
        for examined, difference in wrong[:MOST_ROWS]
    ]
    documents = sum(compared.documents for _, compared in found)
    numbers = {
        "users": len(found),
        f"{noun}s": documents,
        "mismatches": len(wrong),
        "waiting_for_a_rebuild": sum(len(compared.waiting) for _, compared in found),
    }
    if not wrong:
        said = f"No difference in {_many(documents, noun)} of {_many(len(found), 'user')}."
        return AuditFinding(passed=True, severity=severity, description=said, numbers=numbers)
    (examined, difference), *_ = wrong
    said = (
        f"{len(wrong)} of {_many(documents, noun)} differ from their source; the worst, {difference.key} of "
        f"{examined.user.partition_key}, {_told(difference)} ({', '.join(difference.fields)}). {remedy}"
    )
    ids = frozenset(examined.user.user_id for examined, _ in wrong)
    return AuditFinding(passed=False, severity=severity, description=said, numbers=numbers, rows=rows, user_ids=ids)


def _told(difference: Difference) -> str:
    """What is wrong with a document, by two numbers that are not the same."""
    if "no document" in difference.fields:
        return "is missing"
    plays, ms = difference.found or 0, difference.found_ms or 0
    if plays != difference.expected:
        return f"has {_many(plays, 'play')} instead of {difference.expected:,}"
    if ms != difference.expected_ms:
        return f"has {ms:,} ms of listening instead of {difference.expected_ms:,}"
    return "has the right plays and listening time, but something else is wrong"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
