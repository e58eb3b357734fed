"""The play history as an app sees it at an instant, and the truth about the plays it could have seen.

Pure. Belongs here: the faults of rows (late, doubled, stamped at the start, null, episodes), and `ApiTruth`. Not here:
JSON (``bodies``), cursors (``api``), faults of whole answers (``faults``).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from echostats_pipeline.simulator.behaviour import Behaviour
from echostats_pipeline.simulator.catalogue import Episode, Track
from echostats_pipeline.simulator.dice import chance
from echostats_pipeline.simulator.habits import SimulatedPlay
from echostats_pipeline.simulator.people import SimulatedUser
from echostats_pipeline.simulator.world import REACHABLE_PLAYS, World, is_shown

LATE_INTERVAL = timedelta(hours=2)
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A row of recently-played.

    Attributes:
        played_at: The stamp in the row.
        item: The item in the row: the track, None, or an episode that was not played.
        play: The true play of this row, or the play before which the episode appears.
    """

    played_at: datetime
    item: Track | Episode | None
    play: SimulatedPlay


class History:
    """The play history of one user under one behaviour.

    Args:
        world: The world with the true plays.
        user: The user who played.
        behaviour: The behaviour whose faults of rows apply.
    """

    def __init__(self, world: World, user: SimulatedUser, behaviour: Behaviour) -> None:
        self._world = world
        self._user = user
        self._behaviour = behaviour
        self._rows: dict[datetime, tuple[HistoryRow, ...]] = {}  # by start of the play; many polls show the same plays

    def rows(self, now: datetime, struck: frozenset[str] = _NOTHING) -> tuple[HistoryRow, ...]:
        """Return at most 50 rows, newest stamp first; `struck` are the faults that strike this call."""
        plays = islice(self._visible(now, struck), REACHABLE_PLAYS)
        rows = [
            row
            for number, play in enumerate(plays)
            for row in (self._known_rows_of(play) if number else self._rows_of(play, struck))
            if row.played_at <= now
        ]
        return tuple(sorted(rows, key=lambda row: row.played_at, reverse=True)[:REACHABLE_PLAYS])

    def visible_at(self, play: SimulatedPlay) -> datetime:
        """Return the instant at which the play enters the history."""
        share = self._behaviour.rate("late-rows")
        interval = (play.played_at - _UNIX_EPOCH) // LATE_INTERVAL
        if not share or chance(self._world.seed, "late-rows", self._user.id, interval) >= share:
            return play.played_at
        over = _UNIX_EPOCH + (interval + 1) * LATE_INTERVAL
        return over + timedelta(seconds=self._behaviour.late_seconds)

    def _visible(self, now: datetime, struck: frozenset[str]) -> Iterator[SimulatedPlay]:
        """Return the plays in the history at `now`, newest first."""
        known_until = now
        if "late-rows" in struck:
            known_until -= timedelta(seconds=self._behaviour.late_seconds)
        return (play for play in self._world.shown_before(self._user, known_until) if self.visible_at(play) <= now)

    def _known_rows_of(self, play: SimulatedPlay) -> tuple[HistoryRow, ...]:
        if play.started_at not in self._rows:
            self._rows[play.started_at] = tuple(self._rows_of(play, _NOTHING))
        return self._rows[play.started_at]

    def _rows_of(self, play: SimulatedPlay, struck: frozenset[str]) -> Iterator[HistoryRow]:
        def hit(fault: str) -> bool:
            share = self._behaviour.rate(fault)
            return fault in struck or (share > 0 and self._draw(fault, play) < share)

        stamp = play.started_at if hit("start-stamps") else play.played_at
        item = None if hit("null-track") else play.track
        yield HistoryRow(stamp, item, play)
        if hit("doubled-rows"):
            seconds = 2 + 18 * self._draw("distance", play)
            side = -1 if self._draw("side", play) < 0.5 or "doubled-rows" in struck else 1  # noqa: PLR2004 - one half
            yield HistoryRow(stamp + side * timedelta(milliseconds=int(seconds * 1000)), item, play)
        if hit("episode-row"):
            episodes = self._world.catalogue.episodes
            episode = episodes[int(self._draw("episode", play) * len(episodes))]
            yield HistoryRow(stamp - timedelta(seconds=1), episode, play)

    def _draw(self, what: str, play: SimulatedPlay) -> float:
        return chance(self._world.seed, what, self._user.id, play.started_at)


@dataclass(frozen=True, slots=True)
class ApiTruth:
    """The plays of a window, oldest first, as far as the Web API goes.

    Attributes:
        shown: Plays that recently-played can show: tracks of the catalogue, 30 s or more, not private.
        reachable: Plays of `shown` that at least one poll could read.
    """

    shown: tuple[SimulatedPlay, ...]
    reachable: tuple[SimulatedPlay, ...]

    def lost(
        self, stored: Iterable[tuple[str, datetime]], slack: timedelta = timedelta(seconds=60)
    ) -> tuple[SimulatedPlay, ...]:
        """Return the reachable plays without an entry in `stored` (track id, played_at); an entry stands for one play.

        The stamp of an entry may differ by `slack` from the end or the start of the play.
        """
        stamps: dict[str, list[datetime]] = {}
        for track_id, played_at in stored:
            stamps.setdefault(track_id, []).append(played_at)
        return tuple(
            play for play in self.reachable if play.track and not _claimed(stamps.get(play.track.id, []), play, slack)
        )


def api_truth(
    world: World,
    user: SimulatedUser,
    start: datetime,
    end: datetime,
    polls: Iterable[datetime] = (),
    behaviour: Behaviour | None = None,
) -> ApiTruth:
    """Return the truth about the plays with ``start <= played_at < end``.

    Args:
        world: The world with the true plays.
        user: The user who played.
        start: First instant of the window.
        end: First instant after the window.
        polls: Instants at which recently-played answered the user, in order. For faults of rows with call numbers, the
            n-th instant is call n.
        behaviour: The behaviour whose faults of rows apply; None means no faults.
    """
    behaviour = behaviour or Behaviour()
    history = History(world, user, behaviour)
    read = set()
    for number, poll in enumerate(polls, start=1):
        struck = frozenset(name for name, fault in behaviour.faults.items() if number in fault.calls)
        read |= {row.play.started_at for row in history.rows(poll, struck) if isinstance(row.item, Track)}
    shown = tuple(play for play in world.plays(user, start, end) if is_shown(play))
    return ApiTruth(shown, tuple(play for play in shown if play.started_at in read))


def _claimed(stamps: list[datetime], play: SimulatedPlay, slack: timedelta) -> bool:
    """Remove the stamp of `stamps` that is closest to `play`, if one is close enough."""

    def distance(stamp: datetime) -> timedelta:
        return min(abs(stamp - play.played_at), abs(stamp - play.started_at))

    if not stamps or distance(closest := min(stamps, key=distance)) > slack:
        return False
    stamps.remove(closest)
    return True
