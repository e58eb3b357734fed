"""Finds the time that no source covers: joins time spans and returns what lies between them.

Here: instants and dates. Not here: which source covers what (`stages.coverage`), storing spans (`storage.coverage`).
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from echostats_pipeline.transforms.days import DayWindow, local_date, local_midnight

NEIGHBOURS = timedelta(days=2)
"""Exports whose spans are at most this far apart also cover the time between: a file ends with its last play."""


class Stretch(NamedTuple):
    """A time span from one instant to another."""

    start: datetime
    end: datetime


class UnknownDays(NamedTuple):
    """Local dates that are not completely covered.

    Attributes:
        whole: Dates of which no moment is covered.
        touched: Dates of which at least one moment is not covered; includes `whole`.
    """

    whole: frozenset[date] = frozenset()
    touched: frozenset[date] = frozenset()


def joined(spans: Iterable[Stretch], tolerance: timedelta = timedelta(0)) -> list[Stretch]:
    """The same time in the fewest stretches, in order; those at most `tolerance` apart become one."""
    found: list[Stretch] = []
    for span in sorted(spans):
        if found and span.start - found[-1].end <= tolerance:
            found[-1] = Stretch(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


def uncovered(spans: Iterable[Stretch], until: datetime) -> list[Stretch]:
    """The stretches between the spans, and the one from the last span to `until` if it is longer than `NEIGHBOURS`.

    A shorter one is ignored, because a sync is never quite up to date.
    """
    covered = joined(spans)
    between = [Stretch(one.end, other.start) for one, other in pairwise(covered)]
    if covered and until - covered[-1].end > NEIGHBOURS:
        between.append(Stretch(covered[-1].end, until))
    return between


def unknown_days(spans: Sequence[Stretch], today: date, zone: ZoneInfo) -> UnknownDays:
    """The dates before today that the spans leave out; none if there are no spans at all."""
    whole: set[date] = set()
    touched: set[date] = set()
    for stretch in uncovered(spans, local_midnight(today, zone)):
        dates = dates_of(stretch, zone)
        touched.update(day for day in dates if day < today)
        whole.update(day for day in dates if day < today and _lies_within(day, stretch, zone))
    return UnknownDays(frozenset(whole), frozenset(touched))


def dates_of(stretch: Stretch, zone: ZoneInfo) -> list[date]:
    """The local dates that a stretch touches. Its end is exclusive; a date that the zone skipped is left out."""
    last = stretch.end - timedelta(microseconds=1)
    dates = DayWindow(local_date(stretch.start, zone), local_date(last, zone)).dates()
    return [day for day in dates if local_midnight(day, zone) < local_midnight(DayWindow(day, day).following, zone)]


def _lies_within(day: date, stretch: Stretch, zone: ZoneInfo) -> bool:
    ends = DayWindow(day, day)
    return stretch.start <= local_midnight(day, zone) and local_midnight(ends.following, zone) <= stretch.end
