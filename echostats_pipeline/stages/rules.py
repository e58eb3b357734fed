"""Adds and removes rules of a user, and says beforehand what would change.

A rule that leaves plays out marks the days that hold them; any other marks the statistics of periods. A rule that joins
artists marks days, too, if an artist of another rule is among them. The marks are open before the rule is written and
plain after it, so that a process that dies between the two costs a rebuild too many.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property, partial

import polars as pl
from bson import ObjectId

from echostats_pipeline.errors import NotFoundError, RuleError
from echostats_pipeline.model.catalog import ArtistRef
from echostats_pipeline.model.rules import Exclusion, Rule
from echostats_pipeline.model.users import User
from echostats_pipeline.stages import Progress
from echostats_pipeline.stages.statistics import rebuild_rollups, rebuild_snapshots
from echostats_pipeline.storage.change_marks import WHOLE
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.track_credits import primary_artists_for
from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline.transforms.history.identity import folded_name
from echostats_pipeline.transforms.rule_checks import is_same_artist, refusal
from echostats_pipeline.transforms.statistics.exclusions import counted_as_one
from echostats_pipeline.transforms.statistics.listening import ListeningFrames, identified
from echostats_pipeline.transforms.statistics.own_rules import KnownArtist, known_artists, song_pairs, with_rules
from echostats_pipeline.transforms.statistics.period_statistics import span_statistics
from echostats_pipeline.transforms.statistics.rule_effects import (
    days_of_plays,
    judged,
    judged_again,
    totals_by_day,
    touched_days,
    touched_plays,
)
from echostats_pipeline.transforms.statistics.songs import Rules

TOP = 5
"""Length of the rankings before and after a change."""
SHORTEST_ENDING = 4
"""Fewest characters of the end of a rule's id that stand for all of it."""


@dataclass(frozen=True)
class Ranked:
    """An artist or a track in a ranking, with its plays."""

    name: str
    plays: int


@dataclass(frozen=True)
class RuleTotals:
    """Statistics of all time: counted plays, listening time in ms, plays left out, and the top artists and tracks."""

    plays: int
    ms: int
    excluded_plays: int
    artists: Sequence[Ranked]
    tracks: Sequence[Ranked]


@dataclass(frozen=True)
class RuleEffect:
    """What changes if a rule comes or goes.

    Attributes:
        plays: Plays that count and that the rule leaves out; 0 for a rule of another kind.
        days: The days that hold these plays. More may be rebuilt: a session may go on into the next day.
        before: Statistics of all time without the change.
        after: Statistics of all time with it.
    """

    plays: int
    days: frozenset[date]
    before: RuleTotals
    after: RuleTotals


@dataclass
class RuleBook:
    """The rules of one user, and all plays that they act on.

    Attributes:
        store: The database.
        user: The user whose rules they are.
        min_play_ms: Plays known to be shorter do not count.
        same_recording: Whether a recording under several ids counts as one song.
    """

    store: Store
    user: User
    min_play_ms: int
    same_recording: bool = True

    @cached_property
    def rules(self) -> list[Rule]:
        """The rules that there are, in the order in which they were added."""
        return self.store.rules.of(self.user.user_id)

    @cached_property
    def plays(self) -> pl.DataFrame:
        """All plays of the user, as `transforms.statistics.plays.PLAYS_SCHEMA`."""
        return self.store.plays.read(self.user.user_id)

    @cached_property
    def heard(self) -> ListeningFrames:
        """What these plays are counted under, without any rule."""
        return self._identified(self._judged(()), ())

    @cached_property
    def shown(self) -> ListeningFrames:
        """The same under the names that rules give."""
        return with_rules(self.heard, self.rules)

    @cached_property
    def artists(self) -> list[KnownArtist]:
        """The artists that a rule of the user can name."""
        return known_artists(self.heard, self.rules)

    def named(self, rule_id: str) -> Rule:
        """The rule with an id, or with the only id that ends so.

        Raises:
            NotFoundError: there is no such rule, or several.
        """
        ending = rule_id.strip().lower()
        if len(ending) < SHORTEST_ENDING:
            raise NotFoundError(
                f"{rule_id!r} is too short for the end of a rule's id. Give at least its last {SHORTEST_ENDING} "
                f"characters; `echostats rules list --user {self.user.partition_key}` shows the ids."
            )
        found = [rule for rule in self.rules if rule.rule_id.endswith(ending)]
        if len(found) == 1:
            return found[0]
        known = ", ".join(rule.rule_id for rule in self.rules) or "none yet"
        raise NotFoundError(f"{self.user.partition_key} has no single rule {rule_id!r}. Rules: {known}")

    def check(self, rule: Rule) -> None:
        """Check a new rule against the others and the plays.

        Raises:
            RuleError: the rule contradicts another one, repeats it, takes the name of another artist, or would leave
                nothing.
        """
        if reason := refusal(rule, self.rules) or self._namesake(rule):
            raise RuleError(reason)
        if not _acts_on_plays(rule):
            return
        found = self._judged([*self.rules, _as_stored(rule)]).filter("counted")
        if found.height and not found["rule_ids"].null_count():
            hint = "Another rule leaves out one of the artists."
            if rule.exclude is not None:
                hint = _narrowing(rule.exclude)
            raise RuleError(
                f"With this rule, no play of {self.user.partition_key} would be left: "
                f"all {found.height:,} plays would be left out. {hint}"
            )

    def _namesake(self, rule: Rule) -> str:
        """Why a rule must not give an artist the name under which rankings show another one; empty if it does not."""
        if rule.rename is None or rule.rename.what != "artist":
            return ""
        artist = ArtistRef(spotify_id=rule.rename.spotify_id, name=rule.rename.name)
        of_one, name = counted_as_one(artist, self.rules), rule.rename.shown_name
        for each in self.artists:
            known = ArtistRef(spotify_id=each.spotify_id, name=each.name)
            is_other = not any(is_same_artist(known, one) for one in of_one)
            if is_other and folded_name(each.shown_name) == folded_name(name):
                return (
                    f"Rankings show another artist as {each.shown_name}. To count both as one, make this rule instead: "
                    f'same-artist "{artist.name}" "{each.shown_name}". Else choose another name.'
                )
        return ""

    def effect(self, rule: Rule) -> RuleEffect:
        """What changes in the statistics if a new rule comes, or an old one goes; it changes nothing itself."""
        stored, others = _as_stored(rule), self._others(rule)
        found, without = self._judged_both(stored)
        totals = self._totals(without, others), self._totals(found, [*others, stored])
        before, after = totals if rule.id is None else totals[::-1]
        return RuleEffect(touched_plays(found, stored), days_of_plays(found, stored), before, after)

    def add(self, rule: Rule) -> tuple[Rule, set[date]]:
        """Store a new rule; returns it with its id, and the days that wait for a rebuild.

        Raises:
            RuleError: see `check`.
        """
        self.check(rule)
        days = self.touched(rule)
        with self._changing(rule, days):
            stored = self.store.rules.add(rule)
        return stored, days | self._touched_since(stored, days)

    def remove(self, rule: Rule) -> set[date]:
        """Delete a rule; returns the days that wait for a rebuild."""
        days = self.touched(rule)
        with self._changing(rule, days):
            self.store.rules.remove(rule)
        return days | self._touched_since(rule, days)

    def rebuild(self, days: set[date], now: datetime, progress: Progress) -> Document:
        """Rebuild days and the statistics of periods at once, instead of leaving them to the next run.

        Returns:
            The snapshot of all time.
        """
        if days:
            rebuild_rollups(self.store, self.user, days, min_play_ms=self.min_play_ms, progress=progress)
        built = rebuild_snapshots(self.store, self.user, now, same_recording=self.same_recording)
        return built.documents["all_time"]

    def _judged(self, rules: Sequence[Rule]) -> pl.DataFrame:
        return judged(self.plays, self.user.timezone, self.min_play_ms, rules, self._primary(rules))

    def _judged_both(self, rule: Rule) -> tuple[pl.DataFrame, pl.DataFrame]:
        """All plays with a rule beside the others, and without it."""
        others = self._others(rule)
        found = self._judged([*others, rule])
        return found, judged_again(found, others, self._primary(others))

    def _primary(self, rules: Iterable[Rule]) -> pl.DataFrame:
        return primary_artists_for(self.store.db, rules, self.plays["track_id"])

    def touched(self, rule: Rule) -> set[date]:
        """The days whose rollups change if a rule comes or goes."""
        return touched_days(*self._judged_both(_as_stored(rule))) if _acts_on_plays(rule) else set()

    def _others(self, rule: Rule) -> list[Rule]:
        return [other for other in self.rules if other.id != rule.id]

    def _touched_since(self, rule: Rule, days: set[date]) -> set[date]:
        """Mark days with plays that came while the rule was written: their rebuild may have read the rules before."""
        if not _acts_on_plays(rule):
            return set()
        late = replace(self).touched(rule) - days
        self.store.marks.mark(self.user.user_id, "exclusions", map(str, late))
        return late

    @contextmanager
    def _changing(self, rule: Rule, days: set[date]) -> Iterator[None]:
        """Mark what a rule touches before and after the block that writes it."""
        marks, user_id = self.store.marks, self.user.user_id
        periods = () if rule.exclude is not None else (WHOLE,)
        with marks.changing(user_id, periods, source="rules"), marks.changing(user_id, days, source="exclusions"):
            yield

    def _identified(self, found: pl.DataFrame, rules: Sequence[Rule]) -> ListeningFrames:
        rollups = totals_by_day(found)
        catalog = self.store.catalog.frames(self.user.user_id, rollups.track_ids["track_id"].unique())
        last_names = partial(self.store.plays.last_names, self.user.user_id)
        songs = Rules(*song_pairs(rules)) if self.same_recording else None
        return identified(rollups, catalog, last_names, songs)

    def _totals(self, found: pl.DataFrame, rules: Sequence[Rule]) -> RuleTotals:
        heard = with_rules(self._identified(found, rules), rules)
        dates = heard.days["date"]
        span = DayWindow(dates[0], dates[-1]) if len(dates) else DayWindow(date.max, date.min)
        (statistics,) = span_statistics(heard, [span])
        artists, tracks = (
            [Ranked(item["name"], item["play_count"]) for item in statistics[f"top_{kind}"][:TOP]]
            for kind in ("artists", "tracks")
        )
        return RuleTotals(
            statistics["total_tracks_played"],
            statistics["total_ms_played"],
            statistics["excluded_plays"],
            artists,
            tracks,
        )


def _acts_on_plays(rule: Rule) -> bool:
    """Whether other plays may be left out if a rule comes or goes."""
    return rule.kind in ("exclude", "same_artist")


def _narrowing(conditions: Exclusion) -> str:
    """How a rule can leave out fewer plays: by other conditions, or by more, of which two are named."""
    given = {
        "--artist": conditions.artist is not None,
        "--hours": conditions.from_hour is not None,
        "--from": bool(conditions.from_date),
        "--to": bool(conditions.to_date),
    }
    others = [option for option, is_given in given.items() if not is_given][:2]
    added = f", or add one, for example {' or '.join(others)}" if others else ""
    return f"Narrow the conditions{added}."


def _as_stored(rule: Rule) -> Rule:
    """A rule with an id: a new one gets one, as it will have one."""
    return rule if rule.id is not None else rule.model_copy(update={"id": ObjectId()})
