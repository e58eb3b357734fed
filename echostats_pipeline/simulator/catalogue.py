"""Generates the catalogue from a seed: artists, albums, tracks, audio features and podcast episodes.

Pure: the same seed and size give the same catalogue. Belongs here: facts about music. Not here: listening (``people``,
``habits``) and the JSON form of these facts (``bodies``).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Literal

from echostats_pipeline.simulator.dice import chance, happens, weighted
from echostats_pipeline.simulator.names import (
    DIRTY_ARTIST_NAMES,
    DIRTY_TITLES,
    GENRES,
    base62_id,
    invented_name,
    invented_title,
)

NAMESAKE = "Velno Marsol"  # two artists carry this name
SHARED_ALBUM_TITLE = "Paper Lantern"  # two artists have an album of this title

VARIOUS_ARTISTS_ID, VARIOUS_ARTISTS = "0LyfQWJT6nXafLPZqxe9Of", "Various Artists"
"""Spotify's id and name of the artist of compilations. No track is performed by it."""

MIN_TRACKS = 200

AlbumType = Literal["album", "single", "compilation"]
Precision = Literal["year", "month", "day"]

_ALBUM_TYPES: tuple[tuple[AlbumType, int], ...] = (("album", 70), ("single", 22), ("compilation", 8))
_PRECISIONS: tuple[tuple[Precision, int], ...] = (("day", 80), ("month", 5), ("year", 15))
_TRACKS_PER_ARTIST = 10
_KNOWN_FEATURES = 0.95
_INTERLUDES = 0.02  # some are too short to count
_SHOWS, _EPISODES_PER_SHOW = 12, 40
_BY_VARIOUS_ARTISTS = 0.6  # compilations; the others belong to one artist
_EARLIEST_RELEASE = date(1971, 1, 1)
_RELEASE_DAYS = 17_500  # to the end of 2018, before the first simulated play


@dataclass(frozen=True, slots=True)
class Artist:
    """An artist; `popularity` 0..100, `genres` possibly empty."""

    id: str
    name: str
    genres: tuple[str, ...]
    popularity: int
    followers: int

    @property
    def uri(self) -> str:
        """``spotify:artist:<id>``."""
        return f"spotify:artist:{self.id}"


@dataclass(frozen=True, slots=True)
class Album:
    """An album; `release_date` is as exact as `release_date_precision` says (``1981``, ``1981-12``, ``1981-12-15``)."""

    id: str
    name: str
    album_type: AlbumType
    artists: tuple[Artist, ...]
    release_date: str
    release_date_precision: Precision
    total_tracks: int
    label: str
    popularity: int
    upc: str

    @property
    def uri(self) -> str:
        """``spotify:album:<id>``."""
        return f"spotify:album:{self.id}"


@dataclass(frozen=True, slots=True)
class Track:
    """A track of the catalogue; the first of `artists` is its primary artist."""

    id: str
    name: str
    album: Album
    artists: tuple[Artist, ...]
    track_number: int
    duration_ms: int
    explicit: bool
    popularity: int
    isrc: str

    @property
    def uri(self) -> str:
        """``spotify:track:<id>``."""
        return f"spotify:track:{self.id}"


@dataclass(frozen=True, slots=True)
class AudioFeatures:
    """Spotify's measurements of a track: shares in 0..1, `loudness` in dB (-60..0), `tempo` in BPM, `key` -1..11."""

    acousticness: float
    danceability: float
    energy: float
    instrumentalness: float
    liveness: float
    speechiness: float
    valence: float
    loudness: float
    tempo: float
    key: int
    mode: int
    time_signature: int


@dataclass(frozen=True, slots=True)
class Episode:
    """A podcast episode. Exports hold episodes, recently-played never does."""

    id: str
    name: str
    show_name: str
    show_id: str
    duration_ms: int
    is_video: bool

    @property
    def uri(self) -> str:
        """``spotify:episode:<id>``."""
        return f"spotify:episode:{self.id}"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All artists, albums, tracks, features and episodes by id, in the order of generation."""

    artists: Mapping[str, Artist]
    albums: Mapping[str, Album]
    tracks: Mapping[str, Track]
    audio_features: Mapping[str, AudioFeatures]
    album_tracks: Mapping[str, tuple[Track, ...]]
    artist_tracks: Mapping[str, tuple[Track, ...]]
    episodes: tuple[Episode, ...]


def build_catalogue(seed: int, track_count: int) -> Catalogue:
    """Generate `track_count` tracks and the artists, albums and features that go with them.

    Raises:
        ValueError: Fewer than 200 tracks, too few to fill playlists.
    """
    if track_count < MIN_TRACKS:
        raise ValueError(f"a simulated catalogue needs at least {MIN_TRACKS} tracks, not {track_count}")
    rng = Random(f"{seed}/catalogue")
    artists = _artists(seed, rng, max(20, track_count // _TRACKS_PER_ARTIST))
    various = Artist(VARIOUS_ARTISTS_ID, VARIOUS_ARTISTS, genres=(), popularity=0, followers=0)
    albums: dict[str, Album] = {}
    tracks: dict[str, Track] = {}
    for album, album_tracks in _discographies(seed, rng, artists, various, track_count):
        albums[album.id] = album
        tracks.update((track.id, track) for track in album_tracks)
    by_album: dict[str, list[Track]] = {album_id: [] for album_id in albums}
    by_artist: dict[str, list[Track]] = {artist.id: [] for artist in (*artists, various)}
    for track in tracks.values():
        by_album[track.album.id].append(track)
        by_artist[track.artists[0].id].append(track)
    return Catalogue(
        artists={artist.id: artist for artist in (*artists, various)},
        albums=albums,
        tracks=tracks,
        audio_features={track_id: draw_features(rng) for track_id in tracks if happens(rng, _KNOWN_FEATURES)},
        album_tracks={album_id: tuple(listed) for album_id, listed in by_album.items()},
        artist_tracks={artist_id: tuple(listed) for artist_id, listed in by_artist.items()},
        episodes=tuple(_episodes(seed, rng)),
    )


def _artists(seed: int, rng: Random, count: int) -> tuple[Artist, ...]:
    given = (*DIRTY_ARTIST_NAMES, NAMESAKE, NAMESAKE)
    names = [*given, *(invented_name(rng) for _ in range(count - len(given)))]
    return tuple(
        Artist(
            id=base62_id(seed, "artist", index),
            name=name,
            genres=tuple(rng.sample(GENRES, k=rng.choice((0, 1, 1, 2, 3)))),
            popularity=int(100 * rng.betavariate(2, 3)),
            followers=int(rng.lognormvariate(9, 2)),
        )
        for index, name in enumerate(names)
    )


def _discographies(
    seed: int, rng: Random, artists: tuple[Artist, ...], various: Artist, track_count: int
) -> Iterator[tuple[Album, list[Track]]]:
    """Generate albums in rounds over all artists until `track_count` tracks exist; the last album may be shorter."""
    made = album_index = 0
    while made < track_count:
        owner = artists[album_index % len(artists)]
        album_type = weighted(rng, _ALBUM_TYPES)
        size = {"album": rng.randint(8, 14), "single": rng.randint(1, 2), "compilation": 16}[album_type]
        size = min(size, track_count - made)
        title = SHARED_ALBUM_TITLE if album_index in {0, 1} else invented_title(rng)
        # A draw of its own, so that all others stay what they are.
        together = chance(seed, "various", album_index) < _BY_VARIOUS_ARTISTS
        by = various if album_type == "compilation" and together else owner
        album = _album(seed, rng, album_index, title, album_type, by, size)
        listed = []
        for number in range(1, size + 1):
            performer = rng.choice(artists) if album_type == "compilation" and number > 1 else owner
            listed.append(_track(seed, rng, made, album, number, performer, artists))
            made += 1
        yield album, listed
        album_index += 1


def _album(
    seed: int, rng: Random, index: int, title: str, album_type: AlbumType, owner: Artist, total_tracks: int
) -> Album:
    released = _EARLIEST_RELEASE + timedelta(days=int(_RELEASE_DAYS * math.sqrt(rng.random())))
    precision = weighted(rng, _PRECISIONS)
    return Album(
        id=base62_id(seed, "album", index),
        name=title,
        album_type=album_type,
        artists=(owner,),
        release_date=released.isoformat()[: {"year": 4, "month": 7, "day": 10}[precision]],
        release_date_precision=precision,
        total_tracks=total_tracks,
        label=f"{invented_name(rng)} Records",
        popularity=int(100 * rng.betavariate(2, 3)),
        upc=f"{rng.randrange(10**12):012d}",
    )


def _track(
    seed: int, rng: Random, index: int, album: Album, number: int, performer: Artist, artists: tuple[Artist, ...]
) -> Track:
    guests = tuple(
        guest for guest in rng.sample(artists, k=rng.choices((0, 1, 2), (80, 15, 5))[0]) if guest != performer
    )
    dirty = index % 97
    return Track(
        id=base62_id(seed, "track", index),
        name=DIRTY_TITLES[dirty] if dirty < len(DIRTY_TITLES) else invented_title(rng),
        album=album,
        artists=(performer, *guests),
        track_number=number,
        duration_ms=_duration_ms(rng),
        explicit=happens(rng, 0.12),
        popularity=int(100 * rng.betavariate(2, 3)),
        isrc=f"{rng.choice(('GB', 'US', 'DE', 'SE', 'IN'))}{rng.choice(('AUM', 'Q1X', 'VEL'))}{index:07d}",
    )


def _duration_ms(rng: Random) -> int:
    if happens(rng, _INTERLUDES):
        return rng.randint(12_000, 45_000)
    return int(min(900_000, max(60_000, rng.gauss(215_000, 55_000))))


def draw_features(rng: Random) -> AudioFeatures:
    """Draw plausible features of a track."""

    def share(alpha: float, beta: float) -> float:
        return round(rng.betavariate(alpha, beta), 4)

    return AudioFeatures(
        acousticness=share(0.7, 1.6),
        danceability=share(4, 3),
        energy=share(3, 2),
        instrumentalness=share(0.3, 2.5),
        liveness=share(1.5, 6),
        speechiness=share(1.2, 12),
        valence=share(2, 2),
        loudness=round(-60 * rng.betavariate(1.5, 8), 3),
        tempo=round(rng.uniform(62, 196), 3),
        key=rng.randint(-1, 11),
        mode=rng.randint(0, 1),
        time_signature=weighted(rng, ((3, 8), (4, 90), (5, 2))),
    )


def _episodes(seed: int, rng: Random) -> Iterator[Episode]:
    for show in range(_SHOWS):
        show_name = f"{invented_title(rng)} Podcast"
        for number in range(_EPISODES_PER_SHOW):
            yield Episode(
                id=base62_id(seed, "episode", show, number),
                name=f"#{number + 1} {invented_title(rng)}",
                show_name=show_name,
                show_id=base62_id(seed, "show", show),
                duration_ms=rng.randint(12, 75) * 60_000,
                is_video=show % 4 == 0,
            )
