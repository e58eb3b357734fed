"""Builds a recap: the numbers and names of a year or a month, from the rollups and the plays of the period.

Sums and rankings come from the function that builds snapshots and reviews, so they are the same numbers. Here: which
spans are looked at, and which of them may be compared. Not here: single moments (`recap.moments`), words and layout.
"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from echostats_pipeline.recap.document import (
    Anniversary,
    BusiestDay,
    Comparison,
    Item,
    Part,
    Recap,
    RecapInput,
    Streak,
    Totals,
)
from echostats_pipeline.recap.moments import (
    decades,
    first_play,
    left_behind,
    milestones,
    morning_and_night,
    newcomers,
    tops_of,
)
from echostats_pipeline.recap.names import Names
from echostats_pipeline.recap.spans import Pair, compared_spans, parts_of, same_days, until_today
from echostats_pipeline.recap.unknown import Holes, difference, said_of_holes
from echostats_pipeline.transforms.coverage import unknown_days
from echostats_pipeline.transforms.days import DayWindow, local_date, windows
from echostats_pipeline.transforms.statistics.listening import ListeningFrames
from echostats_pipeline.transforms.statistics.period_statistics import span_statistics
from echostats_pipeline.transforms.statistics.snapshots import busiest_days, streaks_within

SHOWN = 10
"""Lines of a ranking."""


def build_recap(given: RecapInput) -> Recap:
    """Build the numbers and names of a recap.

    Args:
        given: The stored data. There must be a counted play in the period.
    """
    user, period = given.user, given.period
    zone = ZoneInfo(user.timezone)
    today = local_date(given.now, zone)
    heard = given.heard.until(today)
    window = until_today(period, today)
    unknown = unknown_days(given.covered, today, zone)
    first_day = min(heard.days["date"].to_list(), default=today)
    holes = Holes.of(unknown, given.gaps, first_day, zone)
    busiest = _busiest(heard, window)
    pairs = compared_spans(period, today)
    spans = {
        window,
        *(span for pair in pairs for span in (pair.span, pair.before)),
        *parts_of(period, today).values(),
        *(DayWindow(day, day) for day in same_days(today, first_day)),
        *([busiest] if busiest else []),
    }
    ordered = sorted(spans, key=lambda span: (span.first, span.last))
    statistics = dict(zip(ordered, span_statistics(heard, ordered, unknown.whole), strict=True))
    looked = _Looked(statistics, Names.of(heard), holes)
    totals = looked.totals(period.name, window)
    (artists, tracks, albums) = (looked.top(kind, window, SHOWN) for kind in ("artists", "tracks", "albums"))
    begins_here = window.first <= first_day
    new_artist, new_track = (None, None) if begins_here else newcomers(heard, window, looked.names)
    found_decades, coverage = decades(heard, window, given.release_years)
    return Recap(
        listener=user.display_name or user.partition_key,
        partition_key=user.partition_key,
        title=period.name,
        before_name=period.before.name,
        kind=period.kind,
        zone=user.timezone,
        made_on=today,
        is_over=today > period.window.last,
        totals=totals,
        comparisons=looked.comparisons(pairs),
        artists=artists,
        tracks=tracks,
        albums=albums,
        parts=[looked.part(name, span) for name, span in parts_of(period, today).items()],
        new_artist=new_artist,
        new_track=new_track,
        begins_here=begins_here,
        earlier_holes=holes.within(DayWindow(first_day, window.first - timedelta(days=1))),
        first_play=first_play(given.first_plays, looked.names),
        milestones=milestones(heard, given.plays, window, looked.names),
        decades=found_decades,
        decades_coverage=coverage,
        hours=morning_and_night(given.plays, window, looked.names),
        streak=_streak(heard, window, holes),
        busiest=looked.busiest(busiest),
        left_behind=[] if totals.holes else left_behind(heard, period.before.window, window),
        on_this_day=[looked.anniversary(day, today) for day in same_days(today, first_day)],
        unknown=said_of_holes(given, window, holes, unknown),
        links=not user.simulated,
        avatar_url=user.image_url,
    )


class _Looked:
    """The statistics of the spans of a recap, as its data classes."""

    def __init__(self, statistics: Mapping[DayWindow, Mapping[str, Any]], names: Names, holes: Holes) -> None:
        self._statistics = statistics
        self._holes = holes
        self.names = names

    def totals(self, name: str, span: DayWindow) -> Totals:
        """The sums of a span."""
        found = self._statistics[span]
        return Totals(
            name=name,
            first=span.first,
            last=span.last,
            plays=found["total_tracks_played"],
            ms=found["total_ms_played"],
            tracks=found["unique_tracks"],
            artists=found["unique_artists"],
            albums=found["unique_albums"],
            active_days=found["active_days"],
            new_tracks=found["new_tracks"],
            new_artists=found["new_artists"],
            holes=self._holes.within(span),
        )

    def comparisons(self, pairs: Sequence[Pair]) -> list[Comparison]:
        """The spans with earlier ones of which anything is known."""
        found = []
        for pair in pairs:
            now, before = self.totals(pair.name, pair.span), self.totals(pair.before_name, pair.before)
            if before.holes < pair.before.length or before.plays:
                plays = difference(now.plays, before.plays, now_whole=not now.holes, before_whole=not before.holes)
                time = difference(
                    now.ms, before.ms, now_whole=not now.holes, before_whole=not before.holes, less="less", same="much"
                )
                found.append(Comparison(now, before, plays, time))
        return found

    def top(self, kind: str, span: DayWindow, most: int) -> list[Item]:
        """The items of a kind played most."""
        return tops_of(kind, self._statistics[span][f"top_{kind}"][:most], self.names)

    def part(self, name: str, span: DayWindow) -> Part:
        """A part of the period."""
        found = self._statistics[span]
        (artist, track) = (next(iter(self.top(kind, span, 1)), None) for kind in ("artists", "tracks"))
        heard = found["total_tracks_played"] or found["total_ms_played"]
        return Part(
            name=name,
            first=span.first,
            last=span.last,
            plays=found["total_tracks_played"],
            ms=found["total_ms_played"],
            artist=artist,
            track=track,
            known=bool(heard) or self._holes.within(span) < span.length,
        )

    def busiest(self, span: DayWindow | None) -> BusiestDay | None:
        """The busiest day as a span of one date."""
        if span is None:
            return None
        found = self._statistics[span]
        return BusiestDay(span.first, found["total_tracks_played"], found["total_ms_played"], self.song_of(span))

    def anniversary(self, day: date, today: date) -> Anniversary:
        """The same day of an earlier year."""
        span = DayWindow(day, day)
        found = self._statistics[span]
        plays, ms = found["total_tracks_played"], found["total_ms_played"]
        known = bool(plays or ms) or not self._holes.within(span)
        return Anniversary(day, today.year - day.year, plays, ms, self.song_of(span), known)

    def song_of(self, span: DayWindow) -> Item | None:
        """The track played most on a day; None if each was played only once and there are others."""
        first = next(iter(self.top("tracks", span, 1)), None)
        several = self._statistics[span]["unique_tracks"] > 1
        return None if first is not None and first.plays == 1 and several else first


def _busiest(heard: ListeningFrames, window: DayWindow) -> DayWindow | None:
    within = heard.days.filter(heard.days["date"].is_between(window.first, window.last))
    found = busiest_days(within).get(window.first.year)
    day = None if found is None else date.fromisoformat(found["date"])
    return None if day is None else DayWindow(day, day)


def _streak(heard: ListeningFrames, window: DayWindow, holes: Holes) -> Streak | None:
    """The longest run of dates with a counted play within the window; of equals the first.

    It may have been longer if the day before it or the day after it is not fully known.
    """
    played: Sequence[date] = heard.days.filter(heard.days["plays"] > 0)["date"].to_list()
    _, longest = streaks_within(windows(played), window)
    if longest is None:
        return None
    beside = (longest.first - timedelta(days=1), longest.following)
    at_least = any(holes.within(DayWindow(day, day)) for day in beside)
    return Streak(longest.length, longest.first, longest.last, at_least)
