"""Builds ``feed.xml``: an Atom feed (RFC 4287) of milestones and of years that have ended.

The id of an entry is always the same. Its time, ``updated``, is that of what it tells, not that of the file: a feed is
written every night, and readers must not take old entries for new ones.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import accumulate, chain, count, takewhile
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

from echostats_pipeline import __version__
from echostats_pipeline.model.statistics import DayTotal, TopItem, YearlyReview
from echostats_pipeline.model.users import User
from echostats_pipeline.report.formatting import WEEKDAYS, calendar_date, duration, listed, plural
from echostats_pipeline.report.page import printable
from echostats_pipeline.report.summary import written
from echostats_pipeline.transforms.days import local_midnight

ATOM = "http://www.w3.org/2005/Atom"
IDS = uuid.UUID("5a9f2f62-1d5c-4d0b-8a55-6f1d2c7f0e19")
"""Namespace of the ids of feeds and entries."""
MOST_ENTRIES = 100
NAMED = 3
"""Number of artists that an entry about a year names."""


@dataclass(frozen=True)
class Entry:
    """An entry of the feed: what makes its id, when it happened, its title and its text."""

    key: str
    updated: datetime
    title: str
    text: str


def build_feed(user: User, days: Sequence[DayTotal], reviews: Sequence[YearlyReview], now: datetime) -> str:
    """Return the feed as an XML document, newest entries first.

    Args:
        user: The user whose feed it is.
        days: Totals of every date that has a rollup, in order.
        reviews: Statistics of finished years.
        now: The present instant. A milestone is told when its day is over, because until then a sync may move it.
    """
    zone = ZoneInfo(user.timezone)
    entries = [*_milestones(days, zone), *(_year(review, zone) for review in reviews)]
    entries = [entry for entry in entries if entry.updated <= now]
    entries = sorted(entries, key=lambda entry: (entry.updated, entry.key), reverse=True)[:MOST_ENTRIES]
    name = printable(user.display_name or user.partition_key)
    feed = ET.Element("feed", {"xmlns": ATOM, "xml:lang": "en"})
    _add(feed, "id", _id(user, "feed"))
    _add(feed, "title", f"{name}: listening milestones")
    _add(feed, "updated", written(entries[0].updated if entries else user.created_at))
    _add(_add(feed, "author"), "name", name)
    _add(feed, "generator", "echostats_pipeline").set("version", __version__)
    for entry in entries:
        element = _add(feed, "entry")
        _add(element, "id", _id(user, entry.key))
        _add(element, "title", printable(entry.title))
        _add(element, "updated", written(entry.updated))
        _add(element, "content", printable(entry.text)).set("type", "text")
    ET.indent(feed)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(feed, encoding="unicode")}\n'


def round_numbers() -> Iterator[int]:
    """Return the numbers of plays that are milestones: 100, 1,000, 5,000, then every ten thousand."""
    return chain((100, 1_000, 5_000), count(10_000, 10_000))


def _milestones(days: Sequence[DayTotal], zone: ZoneInfo) -> list[Entry]:
    """Return the days on which the number of counted plays reached a milestone."""
    sums = list(accumulate(day.count for day in days))
    most, reached = (sums[-1] if sums else 0), 0
    found = []
    for number in takewhile(lambda number: number <= most, round_numbers()):
        while sums[reached] < number:
            reached += 1
        day = date.fromisoformat(days[reached].date)
        found.append(
            Entry(
                f"plays/{number}",
                local_midnight(day + timedelta(days=1), zone),
                f"Play number {number:,}",
                f"Play number {number:,} was on {WEEKDAYS[day.weekday()]}, {calendar_date(day)}. "
                f"There were {plural(days[reached].count, 'play')} on that day.",
            )
        )
    return found


def _year(review: YearlyReview, zone: ZoneInfo) -> Entry:
    text = f"{duration(review.total_ms_played)} of music, {plural(review.total_tracks_played, 'play')}"
    text = f"{text[0].upper()}{text[1:]} of {plural(review.unique_tracks, 'track')} in {review.year}."
    if review.top_artists:
        text += f" Most played: {listed([_told(each) for each in review.top_artists[:NAMED]])}."
    if review.top_tracks:
        text += f" Track number one: {_told(review.top_tracks[0])}."
    return Entry(
        f"year/{review.year}", local_midnight(date(review.year + 1, 1, 1), zone), f"The year {review.year}", text
    )


def _told(item: TopItem) -> str:
    return f"{item.name or 'Unnamed'} ({plural(item.play_count, 'play')})"


def _id(user: User, key: str) -> str:
    return uuid.uuid5(IDS, f"{user.user_id}/{key}").urn


def _add(parent: ET.Element, name: str, text: str = "") -> ET.Element:
    element = ET.SubElement(parent, name)
    element.text = text or None
    return element
