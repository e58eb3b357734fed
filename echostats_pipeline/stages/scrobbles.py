"""Sends the plays of a user on to a service: each once, whatever is rebuilt, imported again or killed.

A play is recorded as pending before the request, with the exact listen. After a crash these very listens are sent again
before anything else: a service that has them ignores them (decision 0024). What was sent is recognised by the id of the
play, else by song and time, because an export may replace a play that the API has reported.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from echostats_pipeline.errors import ListensRefused, ScrobbleTokenRefused
from echostats_pipeline.model.scrobbles import ScrobbleTarget
from echostats_pipeline.model.users import User
from echostats_pipeline.stages import Progress
from echostats_pipeline.storage.scrobbles import COLUMNS
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.track_credits import primary_artists_for
from echostats_pipeline.transforms.days import DayWindow, local_date, local_midnight
from echostats_pipeline.transforms.scrobbles import (
    READ_SCHEMA,
    NewListen,
    ScrobblePlan,
    countable_plays,
    first_instant,
    requests_of,
    scrobble_plan,
)

Clock = Callable[[], datetime]

RECENT, NEWEST_PLAYS = timedelta(days=60), 1_000
"""How much of the history is read again after a sync: these days, and at least so many plays.

Spotify's API reports the newest 50 plays and no older one, and these may have been played over months.
"""
WHOLE_EVERY = timedelta(days=7)
"""How often the whole history is read, in case another program has changed it."""
SLACK = timedelta(minutes=5)
"""Clocks of two machines differ by less."""
DAYS_AT_ONCE = 366
DAY, AROUND = timedelta(days=1), timedelta(hours=1)
MOST_REFUSED = 10
"""If a service refuses so many plays one by one and takes none, it does not understand the requests."""


class ScrobbleServer(Protocol):
    """A service that takes listens, like `spotify.listenbrainz.ListenBrainz`."""

    def submit(self, listens: Sequence[dict[str, Any]]) -> None:
        """Send listens."""


@dataclass
class ScrobbleResult:
    """What was sent.

    Attributes:
        sent: Plays that the service has taken.
        repeated: Those among them that a process had begun to send before it died.
        refused: Plays that the service refuses, each with the reason in words.
        requests: Number of requests that the service has accepted.
        recognised: Plays with a new id that had been sent under another one.
        left_out: Plays that are not sent, by the reason.
    """

    sent: int = 0
    repeated: int = 0
    refused: list[str] = field(default_factory=list)
    requests: int = 0
    recognised: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    def counts(self) -> dict[str, int]:
        """The numbers, as they stand in the step of a job."""
        left_out = {f"not_sent_{reason}": count for reason, count in sorted(self.left_out.items())}
        return {
            "sent": self.sent,
            "repeated": self.repeated,
            "refused": len(self.refused),
            "requests": self.requests,
            "recognised": self.recognised,
            **left_out,
        }


def waits_for_sending(store: Store, target: ScrobbleTarget, now: datetime) -> bool:
    """Whether there may be something to send to a target that accepts the user's token."""
    if target.refusal:
        return False
    changed = store.scrobbles.newest_marks(target.user_id) != target.read_marks
    return changed or _reads_all(store, target, now) or store.scrobbles.has_pending(target)


@dataclass
class Scrobbler:
    """Sends the plays of a user to one target.

    Attributes:
        min_play_ms: Plays known to be shorter do not count.
    """

    store: Store
    user: User
    target: ScrobbleTarget
    min_play_ms: int
    clock: Clock
    result: ScrobbleResult = field(default_factory=ScrobbleResult)
    _doubtful: list[tuple[NewListen, str]] = field(default_factory=list)
    """Plays that the service refuses, until it takes one: only then it is certain that it understands the requests."""

    def send(self, server: ScrobbleServer, progress: Progress) -> ScrobbleResult:
        """Send all that was not sent yet, the oldest first.

        Raises:
            ScrobbleTokenRefused: the service does not accept the token; nothing more is sent until there is another.
            SpotifyError: the service cannot be used now. What it has not taken is sent next time.
            LeaseLostError: another process sends the same plays.
        """
        scrobbles = self.store.scrobbles
        try:
            for batch in requests_of(scrobbles.pending(self.target)):
                progress.expect(len(batch))
                self.result.repeated += self._submit(server, batch)
                progress.advance(len(batch))
            marks, read_at = scrobbles.newest_marks(self.user.user_id), self.clock()
            whole = _reads_all(self.store, self.target, read_at)
            for plan in self._plans(whole=whole):
                scrobbles.move(plan.moved)
                self.result.recognised += len(plan.moved)
                self.result.left_out.update(plan.left_out)
                progress.expect(len(plan.listens))
                for batch in requests_of(plan.listens):
                    scrobbles.begin(self.target, batch)
                    self._submit(server, batch)
                    progress.advance(len(batch))
            self._record_refused()
        except ScrobbleTokenRefused as error:
            scrobbles.update_target(self.target, refusal=str(error))
            raise
        read: dict[str, Any] = {"read_marks": marks, "read_at": read_at}
        scrobbles.update_target(self.target, **read, **({"whole_read_at": read_at} if whole else {}))
        return self.result

    def preview(self) -> ScrobbleResult:
        """What would be sent of the whole history, as `send` counts it. Nothing is written."""
        self.result.sent = len(self.store.scrobbles.pending(self.target))
        for plan in self._plans(whole=True):
            self.result.sent += len(plan.listens)
            self.result.recognised += len(plan.moved)
            self.result.left_out.update(plan.left_out)
        return self.result

    def _plans(self, *, whole: bool) -> Iterator[ScrobblePlan]:
        """What is to be sent, a piece of the history at a time."""
        span, zone = self.store.users.history_span(self.user.user_id), ZoneInfo(self.user.timezone)
        if span is None:
            return
        since = first_instant(self.target.since, self.user.timezone)
        first = span[0]
        if not whole and self.target.read_at is not None:
            before = self.store.scrobbles.end_before(self.user.user_id, NEWEST_PLAYS) or first
            first = max(first, min(before, self.target.read_at - RECENT))
        if since is not None:
            first = max(first, since)
        last = local_date(span[1], zone) + DAY
        for piece in DayWindow(min(local_date(first, zone) - DAY, last), last).pieces(DAYS_AT_ONCE):
            start, end = local_midnight(piece.first, zone), local_midnight(piece.following, zone)
            yield self._plan(start, end, since)

    def _plan(self, start: datetime, end: datetime, since: datetime | None) -> ScrobblePlan:
        """What is to be sent of the plays that ended in ``[start, end)``."""
        store, user_id = self.store, self.user.user_id
        plays = store.plays.read_columns(user_id, start - DAY, end + AROUND, COLUMNS, READ_SCHEMA)
        rules = store.rules.of(user_id)
        countable = countable_plays(
            plays,
            timezone=self.user.timezone,
            rules=rules,
            min_play_ms=self.min_play_ms,
            primary=primary_artists_for(store.db, rules, plays["track_id"]),
        )
        within = countable.filter(countable["played_at"].is_between(start, end, closed="left"))
        sent = store.scrobbles.between(self.target, start - AROUND, end + AROUND)
        fresh = within.filter(~within["id"].is_in([each.play_id for each in sent]))
        # Rows of an upload may have moved by hours since then; their ids tell.
        fresh = fresh.filter(~fresh["id"].is_in(sorted(store.scrobbles.recorded(self.target, fresh["id"]))))
        seen = set(plays["id"])
        return scrobble_plan(
            fresh,
            seen | store.scrobbles.existing(each.play_id for each in sent if each.play_id not in seen),
            sent,
            target=self.target.target,
            since=since,
            now=self.clock(),
            facts=store.scrobbles.facts(fresh["track_id"].drop_nulls()),
        )

    def _submit(self, server: ScrobbleServer, batch: Sequence[NewListen]) -> int:
        """Send recorded listens; return how many were taken. If one of them is refused, the others are sent apart."""
        try:
            server.submit([each.listen for each in batch])
        except ListensRefused as error:
            if len(batch) > 1:
                half = len(batch) // 2
                return self._submit(server, batch[:half]) + self._submit(server, batch[half:])
            self._refuse(batch[0], error)
            return 0
        self.store.scrobbles.end(self.target, batch, self.clock())
        self.result.sent += len(batch)
        self.result.requests += 1
        self._record_refused()
        return len(batch)

    def _refuse(self, play: NewListen, error: ListensRefused) -> None:
        """Remember that the service refuses a play, unless it refuses them all."""
        if not self.result.requests and len(self._doubtful) >= MOST_REFUSED:
            raise error
        self._doubtful.append((play, error.reason or str(error)))
        if self.result.requests:
            self._record_refused()

    def _record_refused(self) -> None:
        """Record the plays that the service refuses. They are not sent again."""
        for play, reason in self._doubtful:
            self.store.scrobbles.end(self.target, [play], self.clock(), reason)
            names, at = play.listen["track_metadata"], datetime.fromtimestamp(play.listened_at, UTC)
            named = f"{names['artist_name']} - {names['track_name']}"
            self.result.refused.append(f"{named}, begun {at:%Y-%m-%d %H:%M:%S} UTC: {reason}")
        self._doubtful.clear()


def _reads_all(store: Store, target: ScrobbleTarget, now: datetime) -> bool:
    """Whether the whole history has to be read: at first, every week, and after an import or a change of rules."""
    read, whole = target.read_at, target.whole_read_at
    if read is None or whole is None or whole < now - WHOLE_EVERY:
        return True
    if store.scrobbles.newest_marks(target.user_id).get("exclusions") != target.read_marks.get("exclusions"):
        return True
    files = store.imports.of_user(target.user_id)
    return any(each.completed_at is None or each.completed_at > read - SLACK for each in files)
