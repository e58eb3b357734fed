"""Oracle for rankings: the artists, albums and tracks heard most within a span of local dates, by brute force."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from echostats_pipeline.transforms.history.identity import normalised_name
from echostats_pipeline_tests.transforms.oracle import (
    FEATURES,
    VARIOUS,
    Catalogue,
    Document,
    Heard,
    KnownTrack,
    Variant,
    credited_ids,
    kind_of,
    once_for_each,
)
from echostats_pipeline_tests.transforms.oracle_songs import SongFacts, song_ids


@dataclass(frozen=True)
class Identity:
    """The keys and names under which a song, its artist and its album are counted; a key of None is not counted.

    Name, picture and features are those of the id that shows the song.
    """

    song_id: str
    name: str
    image_url: str
    features: tuple[float, ...] | None
    artist_key: str | None
    artist_id: str
    artist_name: str
    album_key: tuple[str, str] | str | None
    album_id: str
    album_name: str
    artist_of_track: str
    shown_artist: tuple[str, str, str] | None = None
    genre_artists: tuple[str, ...] | None = None
    shown_album: str = ""


def identities_of(
    items: Sequence[Heard],
    catalogue: Catalogue,
    every: Sequence[Heard] | None = None,
    rules: Sequence[Document] = (),
) -> dict[Variant, Identity]:
    """Identities by variant: in a first pass from catalogue and plays, in a second from names for the rest.

    `every` are all plays, whose names count, too; `rules` join tracks to songs, or keep them apart.
    """
    mine = {item.play.variant for item in items}
    in_order = sorted(items if every is None else every, key=lambda item: item.play.played_at)
    last = {item.play.variant: item.play for item in in_order if item.play.variant in mine}
    own = own_names(items)
    known = {}
    for variant, play in last.items():
        if play.is_made_up:
            known[variant] = (KnownTrack(), *own[variant][:4])
            continue
        entry = catalogue.tracks.get(play.track_id, KnownTrack())
        names = (
            entry.name or play.track_name,
            entry.artist_name or play.artist_name,
            entry.album_name or play.album_name,
        )
        known[variant] = (entry, *names, names[1])
    artist_ids: dict[str, set[str]] = defaultdict(set)
    album_ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    for entry, _, artist_name, album_name, _ in known.values():
        artist_ids[artist_name] |= {entry.artist_id} - {""}
        album_ids[artist_name, album_name] |= {entry.album_id} - {""}
    identities = {}
    for variant, (entry, name, artist_name, album_name, of_track) in known.items():
        artist_id = entry.artist_id or _only(artist_ids[artist_name])
        album_id = entry.album_id or _only(album_ids[artist_name, album_name])
        identities[variant] = Identity(
            variant[0],
            name,
            entry.image_url,
            entry.features,
            artist_id or (f"name:{artist_name}" if artist_name else None),
            artist_id,
            artist_name,
            album_id or ((artist_name, album_name) if album_name else None),
            album_id,
            album_name,
            of_track,
        )
    facts = {}
    heard: dict[str, list[Heard]] = defaultdict(list)
    for item in items:
        heard[item.play.track_id].append(item)
    for variant, identity in identities.items():
        track_id = variant[0]
        mine = heard[track_id]
        made_up = mine[0].play.is_made_up
        entry = KnownTrack() if made_up else catalogue.tracks.get(track_id, KnownTrack())
        facts[track_id] = SongFacts(
            track_id=track_id,
            name=identity.name,
            artist_id=_only(artist_ids[identity.artist_of_track]) if made_up else identity.artist_id,
            artist_name=identity.artist_of_track,
            album_name=own[variant][4] if made_up else identity.album_name,
            duration_ms=entry.duration_ms,
            isrc=entry.isrc,
            plays=sum(item.counts for item in mine),
            ms=sum(item.ms for item in mine),
        )
    same, different = (
        [rule["track_ids"] for rule in rules if rule["kind"] == kind] for kind in ("same_song", "different")
    )
    return _shown_by_songs(identities, song_ids(list(facts.values()), same, different))


def _shown_by_songs(
    identities: Mapping[Variant, Identity], songs: Mapping[str, Sequence[str]]
) -> dict[Variant, Identity]:
    """Identities with what is shown of their songs; `songs` has all ids of each song, the shown one first."""
    of_track = {variant[0]: identity for variant, identity in identities.items()}
    found = {}
    for variant, identity in identities.items():
        ids = songs[variant[0]]
        shown = of_track[ids[0]]
        features = [of_track[each].features for each in ids if of_track[each].features is not None]
        found[variant] = replace(
            identity,
            song_id=ids[0],
            name=shown.name,
            image_url=shown.image_url,
            artist_of_track=shown.artist_of_track,
            features=features[0] if features else None,
        )
    return found


def own_names(items: Sequence[Heard]) -> dict[Variant, tuple[str, str, str, str, str]]:
    """Title, artist and album of tracks whose id is made of names; artist and album of their most played variant."""
    mine = [item for item in items if item.play.is_made_up]
    variants = {item.play.variant for item in mine}

    def most_played(candidates: Iterable[tuple[Any, list[Heard]]]) -> Any:
        def rank(candidate: tuple[Any, list[Heard]]) -> Any:
            value, its = candidate
            return (not any(value), -sum(item.counts for item in its), -sum(item.ms for item in its), value)

        return min(candidates, key=rank)[0]

    def spelling(place: int, of: Callable[[Variant], Any], variant: Variant) -> Any:
        alike = [item for item in mine if of(item.play.variant) == of(variant)]
        texts = {item.play.variant[place] for item in alike}
        return most_played((text, [item for item in alike if item.play.variant[place] == text]) for text in texts)

    def artist(variant: Variant) -> str:
        return normalised_name(variant[2]) or variant[2]

    def album(variant: Variant) -> tuple[str, str]:
        return artist(variant), normalised_name(variant[3]) or variant[3]

    found = {}
    for variant in variants:
        name = spelling(1, lambda each: each[0], variant)
        found[variant] = (name, spelling(2, artist, variant), spelling(3, album, variant))
    reported = {}
    for variant, (name, artist_name, album_name) in found.items():
        siblings = [each for each in variants if each[0] == variant[0]]
        # Tracks differ by their final names only.
        _, of_track, album_of_track = (
            most_played(
                (found[each], [item for item in mine if item.play.variant == each])
                for each in siblings
                if any(each[1:])
            )
            if any(any(each[1:]) for each in siblings)
            else ("", "", "")
        )
        reported[variant] = (
            name,
            artist_name if any(variant[1:]) else of_track,
            album_name,
            of_track,
            album_of_track,
        )
    return reported


def _only(ids: set[str]) -> str:
    return next(iter(ids)) if len(ids) == 1 else ""


def rankings(
    items: Sequence[Heard],
    identities: Mapping[Variant, Identity],
    catalogue: Catalogue,
    full: Mapping[str, int],
    credited_by: Callable[[Heard], Mapping[str, tuple[str, str, str]]],
) -> Document:
    """Statistics of tracks, artists, albums and genres, hours and weekdays, and audio features in a span of dates.

    `full` has the number of times that albums were heard in full, by id; `credited_by` tells who is credited.
    """
    tracks: dict[Any, Document] = {}
    artists: dict[Any, Document] = {}
    albums: dict[Any, Document] = {}
    genres: dict[Any, Document] = {}
    credited: dict[Any, Document] = {}
    contexts: dict[Any, Document] = {}
    hours: dict[int, Document] = {}
    weekdays: dict[int, Document] = {}
    weighted, covered = [0.0] * len(FEATURES), 0
    with_genres = 0
    for item in sorted(items, key=lambda item: item.play.track_id):
        who = identities[item.play.variant]
        _add(tracks, who.song_id, item, who.song_id, who.name, who.image_url)
        for key, shown in credited_by(item).items():
            _add(credited, key, item, *shown)
        if item.play.context_uri:
            _add(
                contexts,
                item.play.context_uri,
                item,
                item.play.context_uri,
                context_name(item, identities, catalogue),
                "",
            )
        if who.artist_key is not None:
            _add(artists, who.artist_key, item, *artist_of([item], identities, catalogue))
            ids = (who.artist_id,) if who.genre_artists is None else who.genre_artists
            own = {genre for each in ids if each in catalogue.artists for genre in catalogue.artists[each].genres}
            with_genres += item.counts and bool(own)
            for genre in {SPELLINGS.get(genre, genre) for genre in own}:
                _add(genres, genre, item, "", genre, "")
        if who.album_key is not None:
            entry = catalogue.albums.get(who.album_id)
            spelt = album_spellings(identities)[who.album_key]
            name, image_url = (entry.name, entry.image_url) if entry else (spelt, "")
            name = who.shown_album or name
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
        "unique_track_ids": len({item.play.track_id for item in items if item.counts}),
        "counts_songs": True,
        "unique_artists": _unique(artists),
        "unique_albums": _unique(albums),
        "unique_genres": _unique(genres),
        "top_artists": _top(artists),
        "top_artists_by_time": _top(artists, by_time=True),
        "top_tracks": _top(tracks),
        "top_tracks_by_time": _top(tracks, by_time=True),
        "top_genres": _top(genres),
        "top_genres_by_time": _top(genres, by_time=True),
        "top_albums": [_album(line, full, catalogue) for line in _top(albums)],
        "top_albums_by_time": [_album(line, full, catalogue) for line in _top(albums, by_time=True)],
        "hourly_distribution": [hours[hour] for hour in sorted(hours)],
        "daily_distribution": [weekdays[day] for day in sorted(weekdays)],
        "avg_audio_features": (
            {name: total / covered for name, total in zip(FEATURES, weighted, strict=True)} if covered else None
        ),
        "genres_coverage": with_genres / plays if plays else 0.0,
        "audio_features_coverage": covered / plays if plays else 0.0,
        "top_artists_credited": _top(credited),
        "top_artists_credited_by_time": _top(credited, by_time=True),
        "top_contexts": [_context(line) for line in _top(contexts)],
        "top_contexts_by_time": [_context(line) for line in _top(contexts, by_time=True)],
        "contexts_coverage": sum(line["play_count"] for line in contexts.values()) / plays if plays else 0.0,
    }


def credited_on(
    item: Heard, identities: Mapping[Variant, Identity], catalogue: Catalogue
) -> dict[str, tuple[str, str, str]]:
    """Who gets a play: the artists whom the catalogue credits, and the primary one by name if it has no id there.

    By key, with id, name and picture.
    """
    who = identities[item.play.variant]
    track = KnownTrack() if item.play.is_made_up else catalogue.tracks.get(item.play.track_id, KnownTrack())
    names = _artist_names(identities, catalogue)
    found = {each: (each, *names[each]) for each in credited_ids(item.play, catalogue.tracks)}
    if not track.artist_id and who.artist_key is not None:
        key = who.artist_id or who.artist_key
        found[key] = artist_of([item], identities, catalogue)
    various = ("various artists", "verschiedene interpreten")
    return {
        key: shown for key, shown in found.items() if shown[0] != VARIOUS and shown[1].strip().lower() not in various
    }


@once_for_each
def _artist_names(identities: Mapping[Variant, Identity], catalogue: Catalogue) -> dict[str, tuple[str, str]]:
    """Name and picture of every artist with an id, on whom a track of the user is counted or who is credited on one."""
    counted, credited = defaultdict(set), defaultdict(set)
    for (track_id, *_), who in identities.items():
        counted[who.artist_id].add(who.artist_name)
        if not track_id.startswith(("local:", "unresolved:")) and track_id in catalogue.tracks:
            track = catalogue.tracks[track_id]
            for artist_id, name in zip(track.artist_ids, track.artist_names, strict=True):
                credited[artist_id].add(name)
    found = {}
    for artist_id in (counted.keys() | credited.keys()) - {""}:
        entry = catalogue.artists.get(artist_id)
        names = counted.get(artist_id) or credited[artist_id]
        found[artist_id] = (entry.name, entry.image_url) if entry else (max(names), "")
    return found


def context_name(item: Heard, identities: Mapping[Variant, Identity], catalogue: Catalogue) -> str:
    """The name of what a track was played from: of the user's playlist, or of an album or artist of the user's."""
    uri = item.play.context_uri or ""
    kind, spotify_id = kind_of(uri), uri.split(":")[-1]
    if kind == "collection":
        return "Liked Songs"
    if kind == "playlist":
        return catalogue.playlists.get(spotify_id, "")
    if kind == "album":
        names = [each.album_name for each in identities.values() if each.album_id == spotify_id]
        return catalogue.albums[spotify_id].name if names and spotify_id in catalogue.albums else max(names, default="")
    if kind == "artist":
        return _artist_names(identities, catalogue).get(spotify_id, ("", ""))[0]
    return ""


def _context(line: Document) -> Document:
    fields = ("name", "play_count", "total_ms", "rank")
    return {"uri": line["spotify_id"], "type": kind_of(line["spotify_id"]), **{name: line[name] for name in fields}}


SPELLINGS = {"Hip-Hop": "hip hop", "hip-hop": "hip hop", "Rock": "rock"}
"""Other spellings of genres that the tests draw; a play counts once for all spellings of a genre."""


def _add(totals: dict[Any, Document], key: Any, item: Heard, spotify_id: str, name: str, image_url: str) -> None:
    line = totals.setdefault(key, {"play_count": 0, "total_ms": 0})
    line.update(spotify_id=spotify_id, name=name, image_url=image_url)
    line["play_count"] += item.counts
    line["total_ms"] += item.ms


def _album(line: Document, full: Mapping[str, int], catalogue: Catalogue) -> Document:
    entry = catalogue.albums.get(line["spotify_id"])
    known = entry is not None and entry.total_tracks > 1
    return {**line, "full_listens": full.get(line["spotify_id"], 0) if known else None}


def full_listens(items: Sequence[Heard], catalogue: Catalogue) -> list[tuple[date, str]]:
    """When albums were heard in full: a date and the album's id, each time that a set of all tracks is complete.

    Each play of an album takes the first set of the session that lacks its track.
    """
    found = []
    sets: dict[str, list[set[str]]] = {}
    for item in items:
        if not item.goes_on:
            sets = {}
        track = catalogue.tracks.get(item.play.track_id)
        if not item.counts or item.play.is_made_up or track is None or track.album_id not in catalogue.albums:
            continue
        size = catalogue.albums[track.album_id].total_tracks
        if size < 2:
            continue
        of_album = sets.setdefault(track.album_id, [])
        lacking = [each for each in of_album if item.play.track_id not in each]
        if not lacking:
            lacking = [set()]
            of_album += lacking
        lacking[0].add(item.play.track_id)
        if len(lacking[0]) == size:
            found.append((item.day, track.album_id))
    return found


def _unique(totals: Mapping[Any, Document]) -> int:
    return sum(line["play_count"] > 0 for line in totals.values())


def _top(totals: Mapping[Any, Document], *, by_time: bool = False) -> list[Document]:
    first, second = ("total_ms", "play_count") if by_time else ("play_count", "total_ms")
    lines = sorted(
        (line for line in totals.values() if line["play_count"] > 0),
        key=lambda line: (-line[first], -line[second], line["name"], line["spotify_id"]),
    )
    return [{**line, "rank": rank} for rank, line in enumerate(lines[:50], start=1)]


def artist_of(
    items: Sequence[Heard], identities: Mapping[Variant, Identity], catalogue: Catalogue
) -> tuple[str, str, str]:
    """Id, name and picture of the artist of these plays; without an entry, the last name in its tracks."""
    who = identities[items[-1].play.variant]
    if who.shown_artist is not None:
        return who.shown_artist
    entry = catalogue.artists.get(who.artist_id)
    if entry:
        return who.artist_id, entry.name, entry.image_url
    return who.artist_id, _artist_spellings(identities)[who.artist_key], ""


@once_for_each
def _artist_spellings(identities: Mapping[Variant, Identity]) -> dict[Any, str]:
    """The last of the names under which an artist is counted, by its key."""
    return {key: max(who.artist_name for who in own) for key, own in _by_key(identities, "artist_key").items()}


@once_for_each
def album_spellings(identities: Mapping[Variant, Identity]) -> dict[Any, str]:
    """The last of the names under which an album is counted, by its key."""
    return {key: max(who.album_name for who in own) for key, own in _by_key(identities, "album_key").items()}


def _by_key(identities: Mapping[Variant, Identity], name: str) -> dict[Any, list[Identity]]:
    found: dict[Any, list[Identity]] = defaultdict(list)
    for who in identities.values():
        found[getattr(who, name)].append(who)
    return found
