"""The contract (spec sections 3, 4 and 7) once more, by brute force: lists and dicts, zoneinfo, no polars.

Slow and plain on purpose. It shares nothing with what it judges but the names of the fields.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Document = dict[str, Any]

FEATURES = (
    "danceability",
    "energy",
    "valence",
    "acousticness",
    "instrumentalness",
    "liveness",
    "speechiness",
    "tempo",
)
PERIOD_LENGTHS = {"week": 7, "month": 30, "quarter": 90, "year": 365, "all_time": None}


@dataclass(frozen=True)
class OraclePlay:
    """A stored play, as far as statistics look at it."""

    played_at: datetime
    track_id: str
    track_name: str = "Song"
    artist_name: str = "Artist"
    album_name: str = "Album"
    duration_ms: int = 200_000
    ms_played: int | None = None
    skipped: bool | None = None
    reason_end: str | None = None


@dataclass(frozen=True)
class KnownTrack:
    """A track of the catalogue; empty strings are unknown."""

    name: str = ""
    artist_id: str = ""
    artist_name: str = ""
    album_id: str = ""
    album_name: str = ""
    image_url: str = ""
    features: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Known:
    """An artist or an album of the catalogue."""

    name: str
    image_url: str = ""
    genres: tuple[str, ...] = ()


@dataclass(frozen=True)
class Catalogue:
    """Tracks, artists and albums by id."""

    tracks: Mapping[str, KnownTrack] = field(default_factory=dict)
    artists: Mapping[str, Known] = field(default_factory=dict)
    albums: Mapping[str, Known] = field(default_factory=dict)


@dataclass(frozen=True)
class Heard:
    """A play with what it is worth and where it lies in the listener's own calendar."""

    play: OraclePlay
    counts: bool
    ms: int
    local: datetime

    @property
    def day(self) -> date:
        return self.local.date()

    @property
    def left_early(self) -> bool:
        return self.play.skipped is True or self.play.reason_end in ("fwdbtn", "backbtn")


def heard(plays: Iterable[OraclePlay], timezone: str, min_play_ms: int) -> list[Heard]:
    """Plays in order of their end (then track), each with its time: reported, or as much as can have passed."""
    found: list[Heard] = []
    previous: OraclePlay | None = None
    for play in sorted(plays, key=lambda play: (play.played_at, play.track_id)):
        ms = play.ms_played
        if ms is None:
            ms = play.duration_ms
            if previous is not None:
                ms = min(ms, (play.played_at - previous.played_at) // timedelta(milliseconds=1))
        counts = play.ms_played is None or play.ms_played >= min_play_ms
        found.append(Heard(play, counts, ms, play.played_at.astimezone(ZoneInfo(timezone))))
        previous = play
    return found


def rollups(plays: Iterable[OraclePlay], timezone: str, min_play_ms: int, user_id: str = "u") -> dict[date, Document]:
    """The rollup of every local date that has a play."""
    by_day: dict[date, list[Heard]] = defaultdict(list)
    for item in heard(plays, timezone, min_play_ms):
        by_day[item.day].append(item)
    return {day: _rollup(user_id, day, items) for day, items in sorted(by_day.items())}


def _rollup(user_id: str, day: date, items: Sequence[Heard]) -> Document:
    counted = [item for item in items if item.counts]
    hours = sorted({item.local.hour for item in items})
    tracks = []
    for track_id in {item.play.track_id for item in items}:
        of_track = [item for item in items if item.play.track_id == track_id]
        last = of_track[-1].play
        tracks.append(
            {
                "spotify_id": track_id,
                "name": last.track_name,
                "artist_name": last.artist_name,
                "count": sum(item.counts for item in of_track),
                "album_name": last.album_name,
                "ms": sum(item.ms for item in of_track),
            }
        )
    tracks.sort(key=lambda track: (-track["count"], -track["ms"], track["spotify_id"]))
    return {
        "user_id": user_id,
        "date": day.isoformat(),
        "day_of_week": day.weekday(),
        "total_plays": len(counted),
        "total_ms": sum(item.ms for item in items),
        "hourly": [
            {
                "hour": hour,
                "count": sum(item.local.hour == hour for item in counted),
                "ms": sum(item.ms for item in items if item.local.hour == hour),
            }
            for hour in hours
        ],
        "artist_plays": _tally(item.play.artist_name for item in counted),
        "album_plays": _tally(item.play.album_name for item in counted),
        "track_plays": [track for track in tracks if track["count"] > 0],
        "total_rows": len(items),
        "total_skips": sum(item.left_early for item in items),
        "uncounted_tracks": [track for track in tracks if track["count"] == 0],
    }


def _tally(names: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def snapshots(
    plays: Iterable[OraclePlay],
    catalogue: Catalogue,
    *,
    timezone: str,
    today: date,
    min_play_ms: int = 30_000,
    user_id: str = "u",
) -> dict[str, Document]:
    """The snapshot of every period, from the plays themselves."""
    items = heard(plays, timezone, min_play_ms)
    identities = _identities(items, catalogue)
    current, longest = _streaks({item.day for item in items if item.counts and item.day <= today}, today)
    found = {}
    for period, length in PERIOD_LENGTHS.items():
        first = None if length is None else today - timedelta(days=length - 1)
        within = [item for item in items if item.day <= today and (first is None or item.day >= first)]
        found[period] = {
            "user_id": user_id,
            "period": period,
            "period_start": None if first is None else first_instant(first, timezone),
            "period_end": first_instant(today + timedelta(days=1), timezone),
            **_statistics(within, identities, catalogue),
            "listening_streak_days": current,
            "longest_streak_days": longest,
        }
    return found


def first_instant(day: date, timezone: str) -> datetime:
    """The first minute that lies in `day` or later, found by walking there."""
    zone = ZoneInfo(timezone)
    at = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=26)
    while at.astimezone(zone).date() < day:
        at += timedelta(minutes=1)
    return at


@dataclass(frozen=True)
class Identity:
    """Under what a track, its artist and its album are counted and shown; a key of None is nobody."""

    name: str
    image_url: str
    features: tuple[float, ...] | None
    artist_key: str | None
    artist_id: str
    artist_name: str
    album_key: tuple[str, str] | str | None
    album_id: str
    album_name: str


def _identities(items: Sequence[Heard], catalogue: Catalogue) -> dict[str, Identity]:
    """By track id; in a first pass what the catalogue says, in a second what names tell about the rest."""
    last: dict[str, tuple[date, OraclePlay]] = {}
    for item in items:  # the names of the last play of the last local date
        if item.play.track_id not in last or last[item.play.track_id][0] <= item.day:
            last[item.play.track_id] = (item.day, item.play)
    known = {}
    for track_id, (_, play) in last.items():
        entry = catalogue.tracks.get(track_id, KnownTrack())
        names = (
            entry.name or play.track_name,
            entry.artist_name or play.artist_name,
            entry.album_name or play.album_name,
        )
        known[track_id] = (entry, *names)
    artist_ids: dict[str, set[str]] = defaultdict(set)
    album_ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entry, _, artist_name, album_name in known.values():
        artist_ids[artist_name] |= {entry.artist_id} - {""}
        album_ids[artist_name, album_name] |= {entry.album_id} - {""}
    identities = {}
    for track_id, (entry, name, artist_name, album_name) in known.items():
        artist_id = entry.artist_id or _only(artist_ids[artist_name])
        album_id = entry.album_id or _only(album_ids[artist_name, album_name])
        identities[track_id] = Identity(
            name,
            entry.image_url,
            entry.features,
            artist_id or (f"name:{artist_name}" if artist_name else None),
            artist_id,
            artist_name,
            album_id or ((artist_name, album_name) if album_name else None),
            album_id,
            album_name,
        )
    return identities


def _only(ids: set[str]) -> str:
    return next(iter(ids)) if len(ids) == 1 else ""


def _statistics(items: Sequence[Heard], identities: Mapping[str, Identity], catalogue: Catalogue) -> Document:
    tracks: dict[Any, Document] = {}
    artists: dict[Any, Document] = {}
    albums: dict[Any, Document] = {}
    genres: dict[Any, Document] = {}
    hours: dict[int, Document] = {}
    weekdays: dict[int, Document] = {}
    weighted, covered = [0.0] * len(FEATURES), 0
    for item in sorted(items, key=lambda item: item.play.track_id):
        track_id = item.play.track_id
        who = identities[track_id]
        _add(tracks, track_id, item, track_id, who.name, who.image_url)
        if who.artist_key is not None:
            entry = catalogue.artists.get(who.artist_id)
            _add(
                artists,
                who.artist_key,
                item,
                who.artist_id,
                entry.name if entry else who.artist_name,
                entry.image_url if entry else "",
            )
            for genre in entry.genres if entry else ():
                _add(genres, genre, item, "", genre, "")
        if who.album_key is not None:
            entry = catalogue.albums.get(who.album_id)
            name, image_url = (entry.name, entry.image_url) if entry else (who.album_name, "")
            _add(albums, who.album_key, item, who.album_id, name, image_url)
        for buckets, name, bucket in ((hours, "hour", item.local.hour), (weekdays, "day", item.day.weekday())):
            total = buckets.setdefault(bucket, {name: bucket, "count": 0, "total_ms": 0})
            total["count"] += item.counts
            total["total_ms"] += item.ms
        if item.counts and who.features is not None:
            covered += 1
            weighted = [sum_ + value for sum_, value in zip(weighted, who.features, strict=True)]
    plays = sum(item.counts for item in items)
    return {
        "total_tracks_played": plays,
        "total_ms_played": sum(item.ms for item in items),
        "unique_tracks": _unique(tracks),
        "unique_artists": _unique(artists),
        "unique_albums": _unique(albums),
        "unique_genres": _unique(genres),
        "top_artists": _top(artists),
        "top_tracks": _top(tracks),
        "top_genres": _top(genres),
        "top_albums": _top(albums),
        "hourly_distribution": [hours[hour] for hour in sorted(hours)],
        "daily_distribution": [weekdays[day] for day in sorted(weekdays)],
        "avg_audio_features": (
            {name: total / covered for name, total in zip(FEATURES, weighted, strict=True)} if covered else None
        ),
        "audio_features_coverage": covered / plays if plays else 0.0,
    }


def _add(totals: dict[Any, Document], key: Any, item: Heard, spotify_id: str, name: str, image_url: str) -> None:
    line = totals.setdefault(key, {"play_count": 0, "total_ms": 0})
    line.update(spotify_id=spotify_id, name=name, image_url=image_url)
    line["play_count"] += item.counts
    line["total_ms"] += item.ms


def _unique(totals: Mapping[Any, Document]) -> int:
    return sum(line["play_count"] > 0 for line in totals.values())


def _top(totals: Mapping[Any, Document]) -> list[Document]:
    lines = sorted(
        (line for line in totals.values() if line["play_count"] > 0),
        key=lambda line: (-line["play_count"], -line["total_ms"], line["name"], line["spotify_id"]),
    )
    return [{**line, "rank": rank} for rank, line in enumerate(lines[:50], start=1)]


def _streaks(days: set[date], today: date) -> tuple[int, int]:
    def back_from(day: date) -> int:
        length = 0
        while day - timedelta(days=length) in days:
            length += 1
        return length

    current = back_from(today) or back_from(today - timedelta(days=1))
    return current, max((back_from(day) for day in days), default=0)
