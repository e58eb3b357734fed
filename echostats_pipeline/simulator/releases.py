"""Further releases of some tracks: what is one song under several ids, and what only looks like it.

A single beside the album, the same track under a new id, a remastered edition with an ISRC of its own; and live
versions, remixes and instrumentals, which are other recordings. ISRCs of some become known late or never.

Pure, with random sources of its own, so that the catalogue and the habits of users stay as they are without it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Literal

from echostats_pipeline.simulator.catalogue import Album, AudioFeatures, Catalogue, Track, draw_features
from echostats_pipeline.simulator.dice import chance, happens, weighted
from echostats_pipeline.simulator.habits import SimulatedPlay
from echostats_pipeline.simulator.names import base62_id, invented_name

Kind = Literal["single", "relinked", "remaster", "live", "remix", "instrumental"]
SAME_RECORDING: frozenset[Kind] = frozenset(("single", "relinked", "remaster"))
"""Releases that a listener calls the same song."""

_KINDS: tuple[tuple[Kind, int], ...] = (
    ("single", 40),
    ("relinked", 20),
    ("remaster", 15),
    ("live", 10),
    ("remix", 10),
    ("instrumental", 5),
)
_RELEASED_AGAIN = 0.12
"""Share of tracks that have further releases."""
_PLAYED_AS_ANOTHER = 0.3
"""Share of their plays that are of another release."""
_NO_ISRC, _LATE_ISRC = 0.1, 0.15
"""Shares of these tracks whose ISRC is never known, and is known only from some day on."""
_LATE_DAYS = 3650
_NEAR_MS = 1_500
"""Most difference of length between two releases of one recording."""
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Releases:
    """All further releases.

    Attributes:
        of: Further releases, by the id of the track in the catalogue.
        tracks: All tracks, also those of the catalogue, by id.
        albums: All albums by id.
        album_tracks: The tracks of all albums.
        audio_features: Features of all measured tracks by id.
        song_of: The truth: by the id of every track, the id in the catalogue of the same song, or its own.
        isrc_known_from: From when Spotify shows the ISRC of a track, for those whose ISRC is late.
    """

    of: Mapping[str, tuple[Track, ...]]
    tracks: Mapping[str, Track]
    albums: Mapping[str, Album]
    album_tracks: Mapping[str, tuple[Track, ...]]
    audio_features: Mapping[str, AudioFeatures]
    song_of: Mapping[str, str]
    isrc_known_from: Mapping[str, datetime]

    def as_released(self, seed: int, play: SimulatedPlay) -> SimulatedPlay:
        """The play of one of the releases of its track, unless its album is played; it keeps its place in time."""
        if play.context and play.context.type == "album":
            return play
        key = (seed, "release", play.user_id, play.started_at)
        others = self.of.get(play.track.id, ()) if play.track else ()
        if not others or chance(*key) >= _PLAYED_AS_ANOTHER:
            return play
        track = others[int(chance(*key, "which") * len(others))]
        return replace(play, item=track, ms_played=min(play.ms_played, track.duration_ms))

    def isrc(self, track: Track, now: datetime) -> str | None:
        """The ISRC of a track as Spotify shows it at an instant."""
        return track.isrc if self.isrc_known_from.get(track.id, now) <= now else None


def build_releases(seed: int, catalogue: Catalogue, epoch: date) -> Releases:
    """Generate the further releases of a catalogue; ISRCs become known in the ten years from `epoch` on."""
    rng = Random(f"{seed}/releases")
    of: dict[str, tuple[Track, ...]] = {}
    features = dict(catalogue.audio_features)
    song_of = {track_id: track_id for track_id in catalogue.tracks}
    late: dict[str, datetime] = {}
    for track in catalogue.tracks.values():
        if not happens(rng, _RELEASED_AGAIN):
            continue
        releases = list(_releases(seed, rng, track))
        of[track.id] = tuple(release for _, release in releases)
        for kind, release in releases:
            same = kind in SAME_RECORDING
            song_of[release.id] = track.id if same else release.id
            if track.id in features and happens(rng, 0.8):
                features[release.id] = features[track.id] if same else draw_features(rng)
        for each in (track, *of[track.id]):
            if happens(rng, _NO_ISRC):
                late[each.id] = _NEVER
            elif happens(rng, _LATE_ISRC):
                known = epoch + timedelta(days=rng.randrange(_LATE_DAYS))
                late[each.id] = datetime(known.year, known.month, known.day, tzinfo=UTC)
    every = [release for releases in of.values() for release in releases]
    return Releases(
        of=of,
        tracks={**catalogue.tracks, **{each.id: each for each in every}},
        albums={**catalogue.albums, **{each.album.id: each.album for each in every}},
        album_tracks={**catalogue.album_tracks, **{each.album.id: (each,) for each in every}},
        audio_features=features,
        song_of=song_of,
        isrc_known_from=late,
    )


def _releases(seed: int, rng: Random, track: Track) -> Iterator[tuple[Kind, Track]]:
    """One to three further releases, of different kinds; a title that names a version is of no other version."""
    for kind in dict.fromkeys(weighted(rng, _KINDS) for _ in range(rng.choice((1, 1, 2, 3)))):
        if kind not in SAME_RECORDING and "[" in track.name:
            continue
        near_ms = max(1, track.duration_ms + rng.randint(-_NEAR_MS // 2, _NEAR_MS // 2))
        other_ms = track.duration_ms + rng.choice((0, 0, 1_000, 15_000, 60_000))
        remix = f"{track.name} - {invented_name(rng)} Remix"
        name, album, duration_ms = {
            "single": (track.name, track.name, near_ms),
            "relinked": (track.name, track.album.name, track.duration_ms),
            "remaster": (f"{track.name} - Remastered 2011", f"{track.album.name} (Deluxe Edition)", near_ms),
            "live": (f"{track.name} - Live", f"Live at {track.album.name}", other_ms),
            "remix": (remix, remix, other_ms),
            "instrumental": (f"{track.name} - Instrumental", f"{track.album.name} (Instrumentals)", other_ms),
        }[kind]
        place = (seed, "release", track.id, kind)
        yield (
            kind,
            replace(
                track,
                id=base62_id(*place, "track"),
                name=name,
                album=replace(
                    track.album,
                    id=base62_id(*place, "album"),
                    name=album,
                    album_type="album" if kind == "relinked" else "single",
                    artists=track.artists[:1],
                    total_tracks=1,
                ),
                track_number=1,
                duration_ms=duration_ms,
                isrc=track.isrc if kind in {"single", "relinked"} else _isrc_of(track, kind),
            ),
        )


def _isrc_of(track: Track, kind: Kind) -> str:
    """An ISRC that no track of the catalogue has: their numbers begin with a zero."""
    number = 1 + [each for each, _ in _KINDS].index(kind)
    return f"{track.isrc[:5]}{number}{track.isrc[6:]}"
