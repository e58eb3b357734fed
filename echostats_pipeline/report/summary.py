"""Builds ``summary.json``: the numbers of a user that dashboards and widgets show.

The documentation page ``docs/use/beside.md`` names every field. `VERSION` is raised when a field is removed, or means
something else; a new field does not raise it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from echostats_pipeline.model.plays import ListeningGap
from echostats_pipeline.model.statistics import PERIOD_DAYS, AnalyticsSnapshot, Period, TopItem
from echostats_pipeline.model.users import User
from echostats_pipeline.report.formatting import HOUR_MS
from echostats_pipeline.report.page import spotify_link
from echostats_pipeline.transforms.days import local_date

VERSION = 1
SUMMED: Sequence[Period] = ("week", "month", "year", "all_time")
TOP = 5
"""Number of lines of each list."""
TOP_KINDS = ("artists", "tracks", "albums")


@dataclass(frozen=True)
class LastPlay:
    """The newest play that counts; `artist` and `album` are empty where they are not known."""

    played_at: datetime
    name: str
    artist: str
    album: str
    spotify_id: str


@dataclass(frozen=True)
class SummaryInput:
    """All stored data that a summary needs.

    Attributes:
        snapshots: Statistics of periods that end today, by period; those that were never built are left out.
        gaps: Open gaps.
        last: The newest play that counts.
        credits: Artists of tracks and albums by Spotify id, where they are known.
        first_day: The first date with data; empty without any.
        unknown: Dates of which not everything is known.
    """

    user: User
    now: datetime
    snapshots: Mapping[Period, AnalyticsSnapshot]
    gaps: Sequence[ListeningGap] = ()
    last: LastPlay | None = None
    credits: Mapping[str, str] | None = None
    first_day: str = ""
    unknown: Collection[date] = ()


def build_summary(material: SummaryInput) -> dict[str, Any]:
    """Return the content of the file.

    Args:
        material: The stored data.
    """
    user, newest = material.user, material.snapshots.get("all_time")
    return {
        "version": VERSION,
        "made_at": written(material.now),
        "user": {"key": user.partition_key, "name": user.display_name, "timezone": user.timezone},
        "periods": {period: _period(material, period) for period in SUMMED},
        "streak": None
        if newest is None
        else {
            "days": newest.listening_streak_days,
            "days_at_least": newest.listening_streak_at_least,
            "longest_days": newest.longest_streak_days,
            "longest_days_at_least": newest.longest_streak_at_least,
        },
        "last_played": _last(material),
        "known_since": material.first_day or None,
        "gaps": {
            **_gaps(material.gaps),
            "unknown_days": sum(f"{day}" >= material.first_day for day in material.unknown),
        },
    }


def written(moment: datetime) -> str:
    """Write an instant as RFC 3339 has it, in UTC and whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def whole_hours(ms: int) -> float:
    """Return a time in hours, to two decimals."""
    return round(ms / HOUR_MS, 2)


def _period(material: SummaryInput, period: Period) -> dict[str, Any] | None:
    snapshot = material.snapshots.get(period)
    if snapshot is None:
        return None
    zone = ZoneInfo(material.user.timezone)
    start, end = snapshot.period_start, snapshot.period_end
    return {
        "days": PERIOD_DAYS[period],
        "first_date": None if start is None else local_date(start, zone).isoformat(),
        "last_date": None if end is None else local_date(end - timedelta(milliseconds=1), zone).isoformat(),
        "computed_at": written(snapshot.computed_at),
        "plays": snapshot.total_tracks_played,
        "ms": snapshot.total_ms_played,
        "hours": whole_hours(snapshot.total_ms_played),
        "artists": snapshot.unique_artists,
        "tracks": snapshot.unique_tracks,
        "albums": snapshot.unique_albums,
        **{
            f"top_{kind}": [_top(material, kind, item) for item in getattr(snapshot, f"top_{kind}")[:TOP]]
            for kind in TOP_KINDS
        },
    }


def _top(material: SummaryInput, kind: str, item: TopItem) -> dict[str, Any]:
    by = {} if kind == "artists" else {"artist": (material.credits or {}).get(item.spotify_id, "")}
    return {
        "rank": item.rank,
        "name": item.name,
        **by,
        "plays": item.play_count,
        "ms": item.total_ms,
        "hours": whole_hours(item.total_ms),
        "spotify_id": item.spotify_id,
        "spotify_url": _address(material.user, kind, item.spotify_id),
    }


def _last(material: SummaryInput) -> dict[str, Any] | None:
    last = material.last
    if last is None:
        return None
    return {
        "played_at": written(last.played_at),
        "name": last.name,
        "artist": last.artist,
        "album": last.album,
        "spotify_id": last.spotify_id,
        "spotify_url": _address(material.user, "tracks", last.spotify_id),
    }


def _address(user: User, kind: str, spotify_id: str) -> str | None:
    """Return the address of an item on Spotify; None if it has none, as everything simulated."""
    return None if user.simulated else spotify_link(kind, spotify_id) or None


def _gaps(gaps: Sequence[ListeningGap]) -> dict[str, Any]:
    """Return the open gaps in numbers: unknown time, time in which plays may be missing, and plays without a track."""
    found: dict[str, Any] = {}
    for kind in ("unknown", "unseen"):
        spans = [gap.to - gap.from_ for gap in gaps if gap.kind == kind and gap.to > gap.from_]
        found[kind] = len(spans)
        found[f"{kind}_hours"] = whole_hours(sum(spans, timedelta()) // timedelta(milliseconds=1))
    return {**found, "plays_without_track": sum(gap.to == gap.from_ for gap in gaps)}
