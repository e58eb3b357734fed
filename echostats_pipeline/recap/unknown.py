"""What is not known in a recap: holes in the data, sentences about them, and what may be compared nevertheless."""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

from echostats_pipeline.model.plays import ListeningGap
from echostats_pipeline.recap.document import RecapInput
from echostats_pipeline.report.calendar import days_of_gaps
from echostats_pipeline.report.formatting import MANIFOLD, calendar_date, change, listed, plural
from echostats_pipeline.report.formatting import span as said
from echostats_pipeline.transforms.coverage import UnknownDays
from echostats_pipeline.transforms.days import DayWindow, windows
from echostats_pipeline.transforms.rule_texts import left_out_text

SHOWN = 4
"""Most spans of unknown dates that are listed."""
FOREVER = DayWindow(date(1970, 1, 1), date(9999, 12, 30))


@dataclass(frozen=True)
class Holes:
    """Dates of which not everything is known.

    Attributes:
        days: Dates that no source covers completely, and dates on which plays may be missing.
        first_day: The first date with a rollup: nothing is known of the dates before it.
    """

    days: Collection[date]
    first_day: date

    @classmethod
    def of(cls, unknown: UnknownDays, gaps: Iterable[ListeningGap], first_day: date, zone: ZoneInfo) -> "Holes":
        """From the unknown dates and the open gaps of a user."""
        return cls(unknown.touched | days_of_gaps(gaps, FOREVER, zone), first_day)

    def within(self, span: DayWindow) -> int:
        """The number of such dates in a span."""
        early = min((self.first_day - span.first).days, span.length)
        return max(early, 0) + sum(max(span.first, self.first_day) <= day <= span.last for day in self.days)


def difference(
    now: int, before: int, *, now_whole: bool, before_whole: bool, less: str = "fewer", same: str = "many"
) -> str:
    """Say how a number has changed, as far as holes in the data allow it; empty where they do not.

    Where only the later number has holes, it may truly be larger: all that can be said is how much more it is at least.
    Where only the earlier one has, it is how much less.

    Args:
        now: The later number.
        before: The earlier number.
        now_whole: Whether nothing is missing in the later number.
        before_whole: Whether nothing is missing in the earlier number.
        less: ``fewer`` for what is counted, ``less`` for what is measured.
        same: ``many`` or ``much``.
    """
    if now_whole and before_whole:
        return change(now, before, less=less, same=f"as {same} as")
    if before <= 0 or not (before_whole if now > before else now_whole):
        return ""
    if now >= MANIFOLD * before:
        return f"at least {math.floor(now / before):,} times"
    share = math.floor(abs(now - before) / before * 100)
    return f"at least {share} % {'more' if now > before else less} than" if share else ""


def said_of_holes(given: RecapInput, window: DayWindow, holes: Holes, unknown: UnknownDays) -> list[str]:
    """Sentences about what the numbers of a recap lack."""
    user, lines = given.user.partition_key, []
    if window.first < holes.first_day:
        lines.append(
            f"The history begins on {calendar_date(holes.first_day)}: nothing is known of the days before. "
            f"If you listened before, import an export: echostats import my_spotify_data.zip --user {user}"
        )
    if spans := windows(day for day in unknown.touched if window.first <= day <= window.last):
        days = sum(each.length for each in spans)
        longest = sorted(sorted(spans, key=lambda each: -each.length)[:SHOWN], key=lambda each: each.first)
        others = plural(len(spans) - SHOWN, "more span") if len(spans) > SHOWN else ""
        named = listed([*(said(each.first, each.last) for each in longest), *([others] if others else [])])
        lines.append(
            f"Not everything is known of {plural(days, 'day')}, because no import and no sync covers them: {named}. "
            "The true numbers are at least as high as these."
        )
    if missing := days_of_gaps(given.gaps, window, ZoneInfo(given.user.timezone)):
        lines.append(
            f"Plays may be missing on {plural(len(missing), 'day')}: more was played than Spotify shows at once."
        )
    if waiting := [day for day in given.pending if window.first <= day <= window.last]:
        lines.append(
            f"{plural(len(waiting), 'day')} of it will be rebuilt, because plays have changed. "
            f"To do it now: echostats backfill --user {user}"
        )
    excluded = given.heard.days.filter(given.heard.days["date"].is_between(window.first, window.last))
    by = given.heard.exclusions.filter(given.heard.exclusions["date"].is_between(window.first, window.last))
    if left_out := left_out_text(int(excluded["excluded_plays"].sum()), by["rule_id"].n_unique()):
        lines.append(f"{left_out}. To see the rules: echostats rules list --user {user}")
    return lines
