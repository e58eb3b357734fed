"""Who and what was heard most within a span of local dates, by brute force: see `oracle_periods`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from echostats_pipeline_tests.transforms.oracle import FEATURES, Catalogue, Document, Heard, KnownTrack


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


def identities_of(items: Sequence[Heard], catalogue: Catalogue) -> dict[str, Identity]:
    """By track id; in a first pass what the catalogue says, in a second what names tell about the rest."""
    last = {item.play.track_id: item.play for item in sorted(items, key=lambda item: item.play.played_at)}
    known = {}
    for track_id, play in last.items():
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


def rankings(items: Sequence[Heard], identities: Mapping[str, Identity], catalogue: Catalogue) -> Document:
    """What a span of dates tells of tracks, artists, albums and genres, hours and weekdays, and audio features."""
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
            _add(artists, who.artist_key, item, *artist_of([item], identities, catalogue))
            entry = catalogue.artists.get(who.artist_id)
            for genre in entry.genres if entry else ():
                _add(genres, genre, item, "", genre, "")
        if who.album_key is not None:
            entry = catalogue.albums.get(who.album_id)
            spelt = max(each.album_name for each in identities.values() if each.album_key == who.album_key)
            name, image_url = (entry.name, entry.image_url) if entry else (spelt, "")
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
        "top_artists_by_time": _top(artists, by_time=True),
        "top_tracks": _top(tracks),
        "top_tracks_by_time": _top(tracks, by_time=True),
        "top_genres": _top(genres),
        "top_genres_by_time": _top(genres, by_time=True),
        "top_albums": _top(albums),
        "top_albums_by_time": _top(albums, by_time=True),
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


def _top(totals: Mapping[Any, Document], *, by_time: bool = False) -> list[Document]:
    first, second = ("total_ms", "play_count") if by_time else ("play_count", "total_ms")
    lines = sorted(
        (line for line in totals.values() if line["play_count"] > 0),
        key=lambda line: (-line[first], -line[second], line["name"], line["spotify_id"]),
    )
    return [{**line, "rank": rank} for rank, line in enumerate(lines[:50], start=1)]


def artist_of(items: Sequence[Heard], identities: Mapping[str, Identity], catalogue: Catalogue) -> tuple[str, str, str]:
    """Id, name and picture of the artist of these plays; without an entry, the last name its tracks give it."""
    who = identities[items[-1].play.track_id]
    entry = catalogue.artists.get(who.artist_id)
    if entry:
        return who.artist_id, entry.name, entry.image_url
    return who.artist_id, max(each.artist_name for each in identities.values() if each.artist_key == who.artist_key), ""
