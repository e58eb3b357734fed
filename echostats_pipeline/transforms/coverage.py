"""Which time somebody has told of: spans joined, and what lies between them unknown.

Here: instants and dates. Not here: who covers what (`stages.coverage`), where spans are kept (`storage.coverage`).
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from echostats_pipeline.transforms.days import DayWindow, local_date, local_midnight

NEIGHBOURS = timedelta(days=2)
"""Spans of exports that are no further apart cover what lies between: files of one export end with a play each."""


class Stretch(NamedTuple):
    """From one instant to another."""

    start: datetime
    end: datetime


class UnknownDays(NamedTuple):
    """Local dates of which not everything is known.

    Attributes:
        whole: Dates of which no moment is covered.
        touched: Those, and dates of which some moment is not covered.
    """

    whole: frozenset[date] = frozenset()
    touched: frozenset[date] = frozenset()


def joined(spans: Iterable[Stretch], tolerance: timedelta = timedelta(0)) -> list[Stretch]:
    """The same time in the fewest stretches, in order; those no further apart than `tolerance` are one."""
    found: list[Stretch] = []
    for span in sorted(spans):
        if found and span.start - found[-1].end <= tolerance:
            found[-1] = Stretch(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


def uncovered(spans: Iterable[Stretch], until: datetime) -> list[Stretch]:
    """What lies between the spans, and from the last one to `until` if that is longer than `NEIGHBOURS`.

    A sync is never quite up to date, which is nothing to be told.
    """
    covered = joined(spans)
    between = [Stretch(one.end, other.start) for one, other in pairwise(covered)]
    if covered and until - covered[-1].end > NEIGHBOURS:
        between.append(Stretch(covered[-1].end, until))
    return between


def unknown_days(spans: Sequence[Stretch], today: date, zone: ZoneInfo) -> UnknownDays:
    """The dates before today that the spans leave out; none where nothing is told of coverage at all."""
    whole: set[date] = set()
    touched: set[date] = set()
    for stretch in uncovered(spans, local_midnight(today, zone)):
        dates = dates_of(stretch, zone)
        touched.update(day for day in dates if day < today)
        whole.update(day for day in dates if day < today and _lies_within(day, stretch, zone))
    return UnknownDays(frozenset(whole), frozenset(touched))


def dates_of(stretch: Stretch, zone: ZoneInfo) -> list[date]:
    """The local dates that a stretch touches; its end is exclusive, and a date that a zone skipped has no moment."""
    last = stretch.end - timedelta(microseconds=1)
    dates = DayWindow(local_date(stretch.start, zone), local_date(last, zone)).dates()
    return [day for day in dates if local_midnight(day, zone) < local_midnight(DayWindow(day, day).following, zone)]


def _lies_within(day: date, stretch: Stretch, zone: ZoneInfo) -> bool:
    ends = DayWindow(day, day)
    return stretch.start <= local_midnight(day, zone) and local_midnight(ends.following, zone) <= stretch.end
