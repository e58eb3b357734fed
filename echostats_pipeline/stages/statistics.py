"""Builds rollups from the history, and snapshots, calendar snapshots and yearly reviews from the rollups."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import islice
from math import ceil
from typing import NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from echostats_pipeline.model.rules import Rule
from echostats_pipeline.model.statistics import Period
from echostats_pipeline.model.users import User
from echostats_pipeline.stages import Progress
from echostats_pipeline.stages.coverage import ensure_spans, settle_unknown
from echostats_pipeline.storage.change_marks import BegunReading
from echostats_pipeline.storage.coverage import stretches_of
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.garbage_collection import paused_collection
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.track_credits import TrackCredits, primary_artists_for
from echostats_pipeline.transforms.coverage import unknown_days
from echostats_pipeline.transforms.days import DayWindow, local_date, windows
from echostats_pipeline.transforms.rule_texts import left_out_text
from echostats_pipeline.transforms.statistics.exclusions import acting
from echostats_pipeline.transforms.statistics.frames import CatalogFrames
from echostats_pipeline.transforms.statistics.listening import ListeningFrames, identified
from echostats_pipeline.transforms.statistics.own_rules import song_pairs, with_rules
from echostats_pipeline.transforms.statistics.rollups import Listener, RollupDocument, build_daily_rollups
from echostats_pipeline.transforms.statistics.snapshots import build_snapshots
from echostats_pipeline.transforms.statistics.songs import Rules

MOST_EXTRA_DAYS = 31
"""Most waiting days outside a run's range that the run also rebuilds; more days get a separate run."""
MOST_DAYS_AT_ONCE = 366
"""Most days of one pass: so progress is visible, and an interruption keeps the passes before it."""
MOST_PLAYS_AT_ONCE = 50_000
"""Most plays of one pass: memory grows with the number of plays."""
FEW_DAYS = 31
"""Ranges of up to this many days are built without counting their plays first."""


@dataclass(frozen=True)
class RebuildResult:
    """The result of a rebuild of rollups: the days, plays and rollups it read, and the documents it wrote.

    Also the plays that would count if no rule left them out, and the ids of the rules that did.
    """

    days: int = 0
    plays: int = 0
    rollups: int = 0
    written: int = 0
    excluded_plays: int = 0
    excluded_by: frozenset[str] = frozenset()

    def __add__(self, other: "RebuildResult") -> "RebuildResult":
        return RebuildResult(
            self.days + other.days,
            self.plays + other.plays,
            self.rollups + other.rollups,
            self.written + other.written,
            self.excluded_plays + other.excluded_plays,
            self.excluded_by | other.excluded_by,
        )


def rebuild_rollups(
    store: Store, user: User, days: Collection[date], *, min_play_ms: int, progress: Progress
) -> RebuildResult:
    """Rebuild the rollups of `days` from the history; if any changed, mark the user's snapshots for a rebuild."""
    progress.expect(len(days))
    return rebuild_rollups_of(store, [(user, days)], min_play_ms=min_play_ms, advanced=progress.advance)[user.user_id]


def rebuild_rollups_of(
    store: Store,
    wanted: Iterable[tuple[User, Collection[date]]],
    *,
    min_play_ms: int,
    advanced: Callable[[int], None] = lambda _: None,
) -> dict[str, RebuildResult]:
    """Do the same as `rebuild_rollups` for several users, whose days share a pass; return the results by user id."""
    wanted = list(wanted)
    rebuilt = {user.user_id: RebuildResult() for user, _ in wanted}
    credits_of = TrackCredits(store.db, passes=ceil(sum(len(days) for _, days in wanted) / MOST_DAYS_AT_ONCE))
    read = _read_ahead(store, _passes(store, wanted), credits_of)
    for stretch, result in _written_behind(store, _built(read, min_play_ms)):
        rebuilt[stretch.user.user_id] += result
        advanced(len(stretch.dates))
    return rebuilt


class SharedRebuild:
    """The rebuilds of one run: the days of all users are computed together, when the first user is requested."""

    def __init__(self, store: Store, asked: Mapping[str, Collection[date]], first_day: date, min_play_ms: int) -> None:
        """Args: the database, days by partition key, the day that stands for all before it, the shortest play (ms)."""
        self._store = store
        self._asked = asked
        self._first_day = first_day
        self._min_play_ms = min_play_ms
        self._built: dict[str, tuple[set[date], RebuildResult]] | None = None

    def rebuild(self, user: User, progress: Progress) -> tuple[set[date], RebuildResult]:
        """Rebuild the requested and the waiting days of a user; return these days, and the result of the rebuild."""
        if self._built is None:
            self._built = self._rebuild_all() if len(self._asked) > 1 else {}
        if user.user_id not in self._built:
            days = self._days(user)
            return days, rebuild_rollups(self._store, user, days, min_play_ms=self._min_play_ms, progress=progress)
        days, rebuilt = self._built.pop(user.user_id)
        progress.expect(rebuilt.days)
        progress.advance(rebuilt.days)
        return days, rebuilt

    def _rebuild_all(self) -> dict[str, tuple[set[date], RebuildResult]]:
        users = [user for user in self._store.users.all() if user.partition_key in self._asked]
        wanted = [(user, self._days(user)) for user in users]
        # If the days of a user cannot be built, each user is built alone, so that the error belongs to that user.
        with suppress(Exception):
            rebuilt = rebuild_rollups_of(self._store, wanted, min_play_ms=self._min_play_ms)
            return {user.user_id: (days, rebuilt[user.user_id]) for user, days in wanted}
        return {}

    def _days(self, user: User) -> set[date]:
        days = self._asked[user.partition_key]
        waiting = self._store.marks.pending_days(user.user_id) - set(days)
        extra = waiting if len(waiting) <= MOST_EXTRA_DAYS else set()
        return {*days, *extra, *(days_before(self._store, user, self._first_day) if self._first_day in days else ())}


class _Stretch(NamedTuple):
    """Days of a user that are being rebuilt, their plays, and what decides which of these rules leave out."""

    user: User
    dates: list[date]
    plays: pl.DataFrame
    rules: list[Rule]
    primary: pl.DataFrame
    begun: BegunReading


_Pass = tuple[list[_Stretch], pl.DataFrame]
"""The days of one pass, and the credits of their tracks."""
_BuiltPass = list[tuple[_Stretch, list[RollupDocument]]]
"""The days of one pass with their rollups."""


def _passes(store: Store, wanted: Iterable[tuple[User, Collection[date]]]) -> Iterator[list[tuple[User, DayWindow]]]:
    """Yield passes of contiguous days of users, of `MOST_DAYS_AT_ONCE` days and about `MOST_PLAYS_AT_ONCE` plays."""
    together: list[tuple[User, DayWindow]] = []
    days, plays = 0, 0
    for user, dates in wanted:
        for piece, of_piece in (sized for whole in windows(dates) for sized in _pieces(store, user, whole)):
            if days + piece.length > MOST_DAYS_AT_ONCE or plays + of_piece > MOST_PLAYS_AT_ONCE:
                yield together
                together, days, plays = [], 0, 0
            together.append((user, piece))
            days, plays = days + piece.length, plays + of_piece
    if together:
        yield together


def _pieces(store: Store, user: User, window: DayWindow) -> Iterator[tuple[DayWindow, int]]:
    """Yield the pieces of a window that fit into a pass, with an estimate of the plays of each piece."""
    for piece in window.pieces(MOST_DAYS_AT_ONCE):
        if piece.length <= FEW_DAYS:
            yield piece, 0
            continue
        plays = store.plays.count(user.user_id, *piece.instants(ZoneInfo(user.timezone)))
        parts = max(1, ceil(plays / MOST_PLAYS_AT_ONCE))
        yield from ((part, plays // parts) for part in piece.pieces(ceil(piece.length / parts)))


def _read_ahead(
    store: Store, passes: Iterator[list[tuple[User, DayWindow]]], credits_of: TrackCredits
) -> Iterator[_Pass]:
    """Yield the plays of each pass; the next pass is read while the present one is computed and written."""
    read = partial(_read, store, credits_of)
    with ThreadPoolExecutor(1) as reader:
        reading = deque(reader.submit(read, each) for each in islice(passes, 1))
        while reading:
            found = reading.popleft().result()
            reading.extend(reader.submit(read, each) for each in islice(passes, 1))
            yield found


def _read(store: Store, credits_of: TrackCredits, pieces: Iterable[tuple[User, DayWindow]]) -> _Pass:
    stretches = []
    for user, window in pieces:
        dates = list(window.dates())
        begun = store.marks.begin(user.user_id, "daily_rollups", [day.isoformat() for day in dates])
        plays = store.plays.read(user.user_id, *window.instants(ZoneInfo(user.timezone)))
        # After the marks: a rule that comes now marks its days again.
        rules = acting(store.rules.of(user.user_id))
        primary = primary_artists_for(store.db, rules, plays["track_id"])
        stretches.append(_Stretch(user, dates, plays, rules, primary, begun))
    # After all marks were noted: credits that change from now on mark their days again.
    track_ids = pl.concat([pl.Series("track_id", [], pl.String), *(each.plays["track_id"] for each in stretches)])
    return stretches, credits_of.of(track_ids)


def _built(passes: Iterable[_Pass], min_play_ms: int) -> Iterator[_BuiltPass]:
    """Yield the rollups of each pass."""
    for stretches, track_credits in passes:
        listeners = [
            Listener(each.user.user_id, each.user.timezone, each.plays, each.dates, each.rules, each.primary)
            for each in stretches
        ]
        with paused_collection():
            rollups = build_daily_rollups(listeners, track_credits, min_play_ms=min_play_ms)
        yield list(zip(stretches, rollups, strict=True))


def _written_behind(store: Store, passes: Iterable[_BuiltPass]) -> Iterator[tuple[_Stretch, RebuildResult]]:
    """Write each pass while the next one is computed; yield what was written."""
    with ThreadPoolExecutor(1) as writer:
        writing = deque[Future[list[tuple[_Stretch, RebuildResult]]]]()
        for built in passes:
            writing.append(writer.submit(_replace_all, store, built))
            if len(writing) > 1:
                yield from writing.popleft().result()
        for written in writing:
            yield from written.result()


def _replace_all(store: Store, built: _BuiltPass) -> list[tuple[_Stretch, RebuildResult]]:
    with paused_collection():
        return [(stretch, _replace(store, stretch, rollups)) for stretch, rollups in built]


def _replace(store: Store, stretch: _Stretch, rollups: Sequence[RollupDocument]) -> RebuildResult:
    user_id = stretch.user.user_id
    written = store.statistics.replace_rollups(user_id, stretch.dates, rollups)
    # A process that died while it wrote has left rollups that are in no snapshot; their marks are still open.
    if not written and store.statistics.has_changed_rollups(user_id):
        store.marks.ask(user_id, "analytics_snapshots")
    store.marks.finish(stretch.begun)
    plays = sum(rollup["total_rows"] for rollup in rollups)
    return RebuildResult(
        len(stretch.dates),
        plays,
        len(rollups),
        written,
        sum(rollup["excluded_plays"] for rollup in rollups),
        frozenset(each["rule_id"] for rollup in rollups for each in rollup.get("excluded_by", ())),
    )


def days_before(store: Store, user: User, day: date) -> set[date]:
    """Return the days before `day` from the first to the last one with plays, and those that wait for a rebuild."""
    waiting = {early for early in store.marks.pending_days(user.user_id) if early < day}
    span = store.users.history_span(user.user_id)
    if span is None:
        return waiting
    first, last = (local_date(instant, ZoneInfo(user.timezone)) for instant in span)
    return waiting | set(DayWindow(first, min(last, day - timedelta(days=1))).dates())


def unbuilt_days(store: Store, user: User, window: DayWindow) -> set[date]:
    """Return the days of a window that wait for a rebuild, or have plays and no rollup."""
    waiting = {day for day in store.marks.pending_days(user.user_id) if window.first <= day <= window.last}
    played = store.plays.days(user.user_id, window, ZoneInfo(user.timezone))
    return waiting | (played - store.statistics.rollup_days(user.user_id, window))


@dataclass(frozen=True)
class Snapshots:
    """The new snapshots of one user, and the frames behind them that charts show.

    Attributes:
        documents: The snapshots, by period.
        days: Plays per day, as `frames.DAYS_SCHEMA`.
        hours: Plays per day and hour, as `frames.HOURS_SCHEMA`.
        today: The last date of every period.
        unknown: Dates that no import and no sync covers completely.
    """

    documents: Mapping[Period, Document]
    days: pl.DataFrame
    hours: pl.DataFrame
    today: date
    unknown: Collection[date] = ()

    @property
    def left_out(self) -> str:
        """How many plays of all time rules leave out, in words; empty if none."""
        all_time = self.documents["all_time"]
        return left_out_text(all_time["excluded_plays"], len(all_time["excluded_by"]))


def rebuild_snapshots(store: Store, user: User, now: datetime, *, same_recording: bool = True) -> Snapshots:
    """Rebuild the snapshots, calendar snapshots and yearly reviews of one user from the rollups and the catalogue.

    Args:
        store: The database.
        user: Owner of the snapshots.
        now: The instant that decides what today is.
        same_recording: Whether a recording under several ids counts as one song.
    """
    with store.marks.reading(user.user_id, "analytics_snapshots"):
        heard = listening_frames(store, user.user_id, same_recording=same_recording)
        today = local_date(now, ZoneInfo(user.timezone))
        covered = stretches_of(ensure_spans(store, user, now))
        settle_unknown(store, user, covered, now)
        unknown = unknown_days(covered, today, ZoneInfo(user.timezone))
        built = build_snapshots(heard, user_id=user.user_id, timezone=user.timezone, today=today, unknown=unknown)
        store.statistics.replace_reviews(user.user_id, built.reviews, now)
        store.statistics.replace_calendar(built.calendar, now)
        # Last, because they say until when all of these are valid: after a crash before this, all are built again.
        store.statistics.replace_snapshots(built.snapshots, now)
        store.marks.mark(user.user_id, "analytics_snapshots")
    snapshots = {each["period"]: each for each in built.snapshots}
    return Snapshots(snapshots, heard.days, heard.hours, today, unknown.touched)


def listening_frames(store: Store, user_id: str, *, same_recording: bool = True) -> ListeningFrames:
    """Read all that a user has heard, as the user's rules show it; without `same_recording`, ids are no songs."""
    with ThreadPoolExecutor(1) as reader:
        # The first time, the server reads the catalogue while this process decodes the rollups.
        ahead = None if store.catalog.has_frames(user_id) else reader.submit(_catalog_of_plays, store, user_id)
        rollups = store.statistics.rollup_frames(user_id)
    if untold := rollups.untold_dates():
        store.marks.ask(user_id, "daily_rollups", [day.isoformat() for day in untold])
    track_ids = rollups.track_ids["track_id"].unique()
    asked, catalog = (track_ids.clear(), None) if ahead is None else ahead.result()
    if catalog is None or not track_ids.is_in(asked.implode()).all():
        catalog = store.catalog.frames(user_id, track_ids)
    playlists = {} if rollups.contexts.is_empty() else store.library.playlist_names(user_id)
    rules = store.rules.of(user_id)
    joined = Rules(*song_pairs(rules)) if same_recording else None
    return with_rules(identified(rollups, catalog, partial(store.plays.last_names, user_id), joined, playlists), rules)


def _catalog_of_plays(store: Store, user_id: str) -> tuple[pl.Series, CatalogFrames]:
    """Return the ids of all tracks that a user has played, and the catalogue frames of these tracks."""
    track_ids = store.plays.track_ids(user_id)
    return track_ids, store.catalog.frames(user_id, track_ids)
