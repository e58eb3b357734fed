"""Builds ``feed.xml``: an Atom feed (RFC 4287) of milestones, and of years and months that have ended.

The id of an entry is always the same. Its time, ``updated``, is that of what it tells, not that of the file: a feed is
written every night, and readers must not take old entries for new ones. Each entry links the page beside the feed that
says most about it: the recap of its month or year, the report of its year, or that of all time.
"""

import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import accumulate, chain, count, groupby, takewhile
from urllib.parse import quote
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
RECENT = timedelta(days=366)
"""How long the end of a month is told."""
NAMED = 3
"""Number of artists that an entry about a year names."""


@dataclass(frozen=True)
class Entry:
    """An entry of the feed: what makes its id, when it was over, title and text, and the period whose page it links."""

    key: str
    updated: datetime
    title: str
    text: str
    year: int
    month: int | None = None


def build_feed(
    user: User,
    days: Sequence[DayTotal],
    reviews: Sequence[YearlyReview],
    now: datetime,
    pages: Collection[str] = (),
    unknown: Collection[date] = (),
) -> str:
    """Return the feed as an XML document, newest entries first.

    Args:
        user: The user whose feed it is.
        days: Totals of every date that has a rollup, in order.
        reviews: Statistics of finished years.
        now: The present instant. A milestone is told when its day is over, because until then a sync may move it.
        pages: Names of the files in the folder of the feed.
        unknown: Dates of which not everything is known.
    """
    zone = ZoneInfo(user.timezone)
    entries = [
        *_milestones(days, zone),
        *_months(days, zone, now),
        *(_year(review, zone, days, unknown) for review in reviews),
    ]
    entries = [entry for entry in entries if entry.updated <= now]
    entries = sorted(entries, key=lambda entry: (entry.updated, entry.key), reverse=True)[:MOST_ENTRIES]
    name = printable(user.display_name or user.partition_key)
    feed = ET.Element("feed", {"xmlns": ATOM, "xml:lang": "en"})
    _add(feed, "id", _id(user, "feed"))
    _add(feed, "title", f"{name}: listening milestones")
    key = user.partition_key
    _link(feed, "self", f"{key}-feed.xml", "application/atom+xml")
    _link(feed, "alternate", f"{key}.html" if f"{key}.html" in pages else "")
    _add(feed, "updated", written(entries[0].updated if entries else user.created_at))
    _add(_add(feed, "author"), "name", name)
    _add(feed, "generator", "echostats_pipeline").set("version", __version__)
    for entry in entries:
        element = _add(feed, "entry")
        _add(element, "id", _id(user, entry.key))
        _add(element, "title", printable(entry.title))
        _link(element, "alternate", page_of(key, entry, pages))
        _add(element, "updated", written(entry.updated))
        _add(element, "content", printable(entry.text)).set("type", "text")
    ET.indent(feed)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(feed, encoding="unicode")}\n'


def page_of(key: str, entry: Entry, pages: Collection[str]) -> str:
    """Return the name of the page that says most about an entry; empty if there is none.

    Args:
        key: Partition key of the user.
        entry: The entry.
        pages: Names of the files in the folder of the feed.
    """
    names = [f"{key}-recap-{entry.year}.html", f"{key}-{entry.year}.html", f"{key}.html"]
    if entry.month is not None:
        names.insert(0, f"{key}-recap-{entry.year}-{entry.month:02}.html")
    return next((name for name in names if name in pages), "")


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
                day.year,
                day.month,
            )
        )
    return found


def _months(days: Sequence[DayTotal], zone: ZoneInfo, now: datetime) -> list[Entry]:
    """Return the last months that have ended and in which something was played."""
    found = []
    for name, group in groupby(days, key=lambda day: day.date[:7]):
        within = [day for day in group if day.count]
        first = date.fromisoformat(f"{name}-01")
        ended = local_midnight((first + timedelta(days=31)).replace(day=1), zone)
        if within and now - RECENT < ended <= now:
            text = f"{duration(sum(day.total_ms for day in within))} of music, "
            text += f"{plural(sum(day.count for day in within), 'play')} on {plural(len(within), 'day')}."
            text = f"{text[0].upper()}{text[1:]}"
            found.append(Entry(f"month/{name}", ended, f"{first:%B} {first.year}", text, first.year, first.month))
    return found


def _year(review: YearlyReview, zone: ZoneInfo, days: Sequence[DayTotal], unknown: Collection[date]) -> Entry:
    text = f"{duration(review.total_ms_played)} of music, {plural(review.total_tracks_played, 'play')}"
    text = f"{text[0].upper()}{text[1:]} of {plural(review.unique_tracks, 'song')} in {review.year}."
    if review.top_artists:
        text += f" Most played: {listed([_told(each) for each in review.top_artists[:NAMED]])}."
    if review.top_tracks:
        text += f" Song number one: {_told(review.top_tracks[0])}."
    if days and days[0].date > f"{review.year}-01-01":
        text += f" The history begins on {calendar_date(date.fromisoformat(days[0].date))}."
    if holes := sum(day.year == review.year and (not days or f"{day}" >= days[0].date) for day in unknown):
        text += f" Not everything is known of {plural(holes, 'day')}."
    ended = local_midnight(date(review.year + 1, 1, 1), zone)
    return Entry(f"year/{review.year}", ended, f"The year {review.year}", text, review.year)


def _told(item: TopItem) -> str:
    return f"{item.name or 'Unnamed'} ({plural(item.play_count, 'play')})"


def _id(user: User, key: str) -> str:
    return uuid.uuid5(IDS, f"{user.user_id}/{key}").urn


def _link(parent: ET.Element, relation: str, name: str, media_type: str = "text/html") -> None:
    """Add a link to a file beside the feed; relative, because the feed does not know where it is served."""
    if name:
        link = _add(parent, "link")
        link.attrib |= {"rel": relation, "type": media_type, "href": quote(name)}


def _add(parent: ET.Element, name: str, text: str = "") -> ET.Element:
    element = ET.SubElement(parent, name)
    element.text = text or None
    return element
