"""Oracle for the statistics of spans of local dates, by brute force from the plays; `oracle` has the first part.

Where the contract leaves a choice, these rules hold:

- A span contains no dates later than today, but "for the first time" and "away" look back to the first play ever.
  First is the earliest local date with a counted play, whatever the order of instants.
- Sessions and repeats are cut at the span: a play whose predecessor is on a date outside begins a new one. Sessions
  without a counted play are sessions. A session lasts from its first play's begin to its last play's end.
- A repeat across dates ends with its last play, even if that does not count; its date is that of this play.
- A repeat is of one id of a track: two ids of one song in a row are two repeats. It is shown as its song is.
- The names in `most_replayed` are the track's own: those of its catalogue entry, else those of its last play. Artists
  elsewhere have the names of their own entry.
- Only plays with an artist enter the entropy. The number of artists follows from the entropy before rounding.
- A week, month or year that is not over has statistics up to today, and streaks as of today.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from typing import Any
from zoneinfo import ZoneInfo

from echostats_pipeline_tests.transforms.oracle import (
    Catalogue,
    Document,
    Heard,
    OraclePlay,
    Variant,
    heard,
    left_out_by,
)
from echostats_pipeline_tests.transforms.oracle_rankings import (
    Identity,
    artist_of,
    full_listens,
    identities_of,
    rankings,
)
from echostats_pipeline_tests.transforms.oracle_rules import credited_with_rules, rules_that_leave_out, with_rules

PERIOD_LENGTHS = {"week": 7, "month": 30, "quarter": 90, "year": 365, "all_time": None}
AWAY = timedelta(days=180)


@dataclass(frozen=True)
class Listener:
    """All plays of a user up to today, in order, with the user's part of the catalogue.

    `left_out` are the plays that rules leave out, the others are `items`.
    """

    items: Sequence[Heard]
    catalogue: Catalogue
    identities: Mapping[Variant, Identity]
    user_id: str
    timezone: str
    today: date
    full: Sequence[tuple[date, str]] = ()
    known: Callable[[date, bool], bool] = lambda _, __: True
    left_out: Sequence[Heard] = ()
    credited_by: Callable[[Heard], Mapping[str, tuple[str, str, str]]] = lambda _: {}

    @classmethod
    def of(
        cls,
        plays: Iterable[OraclePlay],
        catalogue: Catalogue,
        *,
        timezone: str,
        today: date,
        min_play_ms: int = 30_000,
        user_id: str = "u",
        covered: Sequence[tuple[datetime, datetime]] = (),
        rules: Sequence[Document] = (),
    ) -> "Listener":
        every = heard(plays, timezone, min_play_ms, partial(rules_that_leave_out, rules=rules, catalogue=catalogue))
        items = [item for item in every if not item.left_out_by]
        # Names may have been reported later than today, and by plays that are left out.
        without = identities_of(items, catalogue, every, rules)
        identities = with_rules(without, items, catalogue, rules)
        return cls(
            [item for item in items if item.day <= today],
            catalogue,
            identities,
            user_id,
            timezone,
            today,
            full_listens(items, catalogue),
            partial(_is_known, covered, timezone, today),
            [item for item in every if item.left_out_by and item.day <= today],
            credited_with_rules(without, items, catalogue, rules),
        )

    def span(self, first: date | None, last: date) -> Document:
        """The statistics of the dates from `first` (None: the beginning) to `last`."""
        within = [item for item in self.items if (first is None or first <= item.day) and item.day <= last]
        days = {item.day for item in within}
        full = Counter(album_id for day, album_id in self.full if (first is None or first <= day) and day <= last)
        out = [item for item in self.left_out if (first is None or first <= item.day) and item.day <= last]
        return {
            **rankings(within, self.identities, self.catalogue, full, self.credited_by),
            **_more(within, days, self),
            "excluded_plays": sum(item.counts for item in out),
            "excluded_by": left_out_by(out),
        }

    def bounds(self, first: date | None, last: date) -> Document:
        """The instants at which a period begins and ends."""
        return {
            "user_id": self.user_id,
            "period_start": None if first is None else first_instant(first, self.timezone),
            "period_end": first_instant(last + timedelta(days=1), self.timezone),
        }

    def played_days(self) -> set[date]:
        return {item.day for item in self.items if item.counts}


def snapshots(listener: Listener) -> dict[str, Document]:
    """The snapshot of every period that ends today."""
    today = listener.today
    firsts = {
        period: None if length is None else today - timedelta(days=length - 1)
        for period, length in PERIOD_LENGTHS.items()
    }
    return {
        period: {
            "period": period,
            **listener.bounds(first, today),
            **listener.span(first, today),
            **_streaks(listener),
        }
        for period, first in firsts.items()
    }


def calendar(listener: Listener) -> dict[str, Document]:
    """The statistics of this and the last week, month and year."""
    today = listener.today
    monday = today - timedelta(days=today.weekday())
    this_month, this_year = today.replace(day=1), today.replace(month=1, day=1)
    last_month = (this_month - timedelta(days=1)).replace(day=1)
    day = timedelta(days=1)
    spans = {
        "this_week": (monday, monday + 6 * day),
        "last_week": (monday - 7 * day, monday - day),
        "this_month": (this_month, (this_month + 31 * day).replace(day=1) - day),
        "last_month": (last_month, this_month - day),
        "this_year": (this_year, this_year.replace(month=12, day=31)),
        "last_year": (this_year.replace(year=today.year - 1), this_year - day),
    }
    return {
        period: {
            "period": period,
            **listener.bounds(first, last),
            **listener.span(first, min(last, today)),
            **_streaks(listener),
        }
        for period, (first, last) in spans.items()
    }


def reviews(listener: Listener) -> dict[int, Document]:
    """The review of every calendar year before this one with a play."""
    found = {}
    every = (*listener.items, *listener.left_out)
    for year in sorted({item.day.year for item in every if item.day.year < listener.today.year}):
        first, last = date(year, 1, 1), date(year, 12, 31)
        days = {day for day in listener.played_days() if day.year == year}
        found[year] = {
            "year": year,
            **listener.bounds(first, last),
            **listener.span(first, last),
            **_streak("listening_streak", last, days, listener),
            **_longest(days, listener),
            "busiest_day": _busiest([item for item in listener.items if item.day.year == year]),
        }
    return found


@cache
def first_instant(day: date, timezone: str) -> datetime:
    """The first minute in `day` or later, found by stepping through the minutes."""
    zone = ZoneInfo(timezone)
    at = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=15)  # no clock is further ahead
    while at.astimezone(zone).date() < day:
        at += timedelta(minutes=1)
    return at


def _more(items: Sequence[Heard], days: set[date], listener: Listener) -> Document:
    """The statistics besides the rankings; `items` are the plays of the span's `days`, in order."""
    who = listener.identities
    counted = [item for item in items if item.counts]
    plays = len(counted)
    track_debuts = _debuts((item, who[item.play.variant].song_id) for item in listener.items)
    artist_debuts = _debuts((item, who[item.play.variant].artist_key) for item in listener.items)
    new_tracks = [day for day in track_debuts.values() if day in days]
    new_artists = [day for day in artist_debuts.values() if day in days]
    per_artist = Counter(key for item in counted if (key := who[item.play.variant].artist_key) is not None)
    shares = [count / sum(per_artist.values()) for count in per_artist.values()]
    bits = sum(share * math.log2(1 / share) for share in shares)
    known_ends = sum(item.end_is_known for item in items)
    return {
        "active_days": len({item.day for item in counted}),
        "weekday_hours": [
            {
                "day": day,
                "hour": hour,
                "count": sum(item.counts for item in bucket),
                "total_ms": sum(item.ms for item in bucket),
            }
            for (day, hour), bucket in _buckets((item, (item.day.weekday(), item.local.hour)) for item in items)
        ],
        "months": [
            {
                "month": month,
                "count": sum(item.counts for item in bucket),
                "total_ms": sum(item.ms for item in bucket),
                "new_tracks": sum(_month(day) == month for day in new_tracks),
                "new_artists": sum(_month(day) == month for day in new_artists),
            }
            for month, bucket in _buckets((item, _month(item.day)) for item in items)
        ],
        "sessions": _sessions(items, days),
        "new_tracks": len(new_tracks),
        "new_artists": len(new_artists),
        "repeat_ratio": round((plays - len(new_tracks)) / plays, 6) if plays else None,
        "artist_entropy_bits": round(bits, 6) if shares else None,
        "effective_artists": round(2**bits, 6) if shares else None,
        "skip_rate": round(sum(item.left_early for item in items) / known_ends, 6) if known_ends else None,
        "most_replayed": _most_replayed(items, days, who),
        "comebacks": _comebacks(items, listener),
    }


def _buckets(keyed: Iterable[tuple[Heard, Any]]) -> list[tuple[Any, list[Heard]]]:
    found: dict[Any, list[Heard]] = defaultdict(list)
    for item, key in keyed:
        found[key].append(item)
    return sorted(found.items())


def _month(day: date) -> str:
    return f"{day.year:04}-{day.month:02}"


def _debuts(keyed: Iterable[tuple[Heard, Any]]) -> dict[Any, date]:
    """The first date with a counted play, by key."""
    found: dict[Any, date] = {}
    for item, key in keyed:
        if item.counts and key is not None:
            found[key] = min(item.day, found.get(key, item.day))
    return found


def _sessions(items: Sequence[Heard], days: set[date]) -> Document:
    lengths: list[int] = []
    began: datetime | None = None
    for item in items:
        if began is None or not _joined(item, days) or not item.goes_on:
            began = item.began
            lengths.append(0)
        lengths[-1] = (item.play.played_at - began) // timedelta(milliseconds=1)
    return {
        "count": len(lengths),
        "mean_ms": sum(lengths) // len(lengths) if lengths else 0,
        "longest_ms": max(lengths, default=0),
    }


def _joined(item: Heard, days: set[date]) -> bool:
    """Whether the play before belongs to the span too."""
    return item.before is not None and item.before.day in days


def _most_replayed(items: Sequence[Heard], days: set[date], who: Mapping[Variant, Identity]) -> Document | None:
    runs: list[list[Heard]] = []
    for item in items:
        if not (_joined(item, days) and item.repeats):
            runs.append([])
        runs[-1].append(item)
    counts = [sum(item.counts for item in run) for run in runs]
    most = max(counts, default=0)
    if most < 2:
        return None
    last = runs[counts.index(most)][-1]  # the runs are in the order of their ends
    track = who[last.play.variant]
    return {
        "spotify_id": track.song_id,
        "name": track.name,
        "artist_name": track.artist_of_track,
        "count": most,
        "date": last.day.isoformat(),
    }


def _comebacks(items: Sequence[Heard], listener: Listener) -> list[Document]:
    who = listener.identities

    def by_artist(of: Sequence[Heard]) -> list[tuple[str, list[Heard]]]:
        return _buckets((item, key) for item in of if (key := who[item.play.variant].artist_key) is not None)

    ever = {key: {item.day for item in own if item.counts} for key, own in by_artist(listener.items)}
    found = []
    for key, own in by_artist(items):
        absences = []
        for day in {item.day for item in own if item.counts}:
            earlier = [other for other in ever[key] if other < day]
            if earlier and day - max(earlier) >= AWAY and _nothing_is_unknown(max(earlier), day, listener):
                absences.append(((day - max(earlier)).days, day))
        if absences:
            away_days, returned_on = max(absences)
            in_order = sorted(own, key=lambda item: item.play.track_id)
            spotify_id, name, image_url = artist_of(in_order, who, listener.catalogue)
            found.append(
                {
                    "spotify_id": spotify_id,
                    "name": name,
                    "image_url": image_url,
                    "away_days": away_days,
                    "returned_on": returned_on.isoformat(),
                    "play_count": sum(item.counts for item in own if item.day >= returned_on),
                }
            )
    found.sort(key=lambda line: (-line["away_days"], -line["play_count"], line["name"], line["spotify_id"]))
    return found[:10]


def _busiest(items: Sequence[Heard]) -> Document | None:
    lines = [
        {"date": day, "count": sum(item.counts for item in bucket), "total_ms": sum(item.ms for item in bucket)}
        for day, bucket in _buckets((item, item.day.isoformat()) for item in items)
    ]
    lines.sort(key=lambda line: (-line["count"], -line["total_ms"], line["date"]))
    return lines[0] if lines and lines[0]["count"] > 0 else None


def _streaks(listener: Listener) -> Document:
    days, last = listener.played_days(), listener.today
    if last not in days:
        last -= timedelta(days=1)
    while days and last > min(days) and last not in days and not listener.known(last, True):
        last -= timedelta(days=1)
    return {**_streak("listening_streak", last, days, listener), **_longest(days, listener)}


def _longest(days: set[date], listener: Listener) -> Document:
    last = max(days, key=lambda day: (_run_up_to(day, days), -day.toordinal()), default=listener.today)
    return _streak("longest_streak", last, days, listener)


def _streak(name: str, last: date, days: set[date], listener: Listener) -> Document:
    length = _run_up_to(last, days)
    around = (last - timedelta(days=length), last + timedelta(days=1))
    return {
        f"{name}_days": length,
        f"{name}_at_least": length > 0 and not all(listener.known(day, True) for day in around),
    }


def _nothing_is_unknown(left: date, back: date, listener: Listener) -> bool:
    return all(listener.known(left + timedelta(days=day), False) for day in range(1, (back - left).days))


def _is_known(
    covered: Sequence[tuple[datetime, datetime]], timezone: str, today: date, day: date, wholly: bool
) -> bool:
    """Whether a source covers a date: all of it, or part of it.

    No date counts as unknown if no source covers anything, before the first span, from today on, and after the last
    span
    if that ends at most two days before the midnight that begins today.
    """
    if not covered or day >= today:
        return True
    begin, end = first_instant(day, timezone), first_instant(day + timedelta(days=1), timezone)
    midnight, last = first_instant(today, timezone), max(to for _, to in covered)
    spans = sorted(covered) + ([(last, midnight)] if midnight - last <= timedelta(days=2) else [])
    reach = max(begin, min(end, spans[0][0]))  # before the first span no coverage is needed
    known = [(max(start, begin), min(to, end)) for start, to in spans if start < end and to > begin]
    if not wholly:
        return bool(known) or reach == end
    for start, to in known:
        if start > reach:
            return False
        reach = max(reach, to)
    return reach >= end


def _run_up_to(day: date, days: set[date]) -> int:
    length = 0
    while day - timedelta(days=length) in days:
        length += 1
    return length
