"""Generates the libraries of users: own and followed playlists, liked songs, local files.

Belongs here: rows with the instant at which they were added, so that a library grows with the clock. Not here: plays.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from urllib.parse import quote_plus

from echostats_pipeline.simulator.catalogue import Catalogue, Track
from echostats_pipeline.simulator.names import base62_id, invented_name, invented_title
from echostats_pipeline.simulator.people import SimulatedUser

CURATOR_ID, CURATOR_NAME = "velnosessions", "Velno Sessions"

_FIXED_SIZES = (160, 60, 35, 12, 0)  # the first is longer than a page; the last is new and empty
_CURATED_SIZES = (80, 50)
_GROWING_WEEKS = 52 * 20
_SAVED_AT_FIRST, _SAVED_IN_ALL = 80, 1500
_DAYS_BETWEEN_SAVES = 4
_LARGE_SIZES = (3, 20, 45, 60, 110)


@dataclass(frozen=True, slots=True)
class LibrarySize:
    """The least size of a user's library: number of own playlists, and of songs liked before the epoch."""

    playlists: int = 0
    saved_tracks: int = 0


ORDINARY = LibrarySize()


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file on the user's disk: it has no id, and is not in the catalogue."""

    name: str
    artist_name: str
    album_name: str
    duration_ms: int

    @property
    def uri(self) -> str:
        """``spotify:local:<artist>:<album>:<title>:<seconds>``."""
        parts = map(quote_plus, (self.artist_name, self.album_name, self.name))
        return f"spotify:local:{':'.join(parts)}:{self.duration_ms // 1000}"


@dataclass(frozen=True, slots=True)
class PlaylistRow:
    """A row of a playlist; `item` is None if Spotify has removed the track."""

    added_at: datetime
    item: Track | LocalFile | None


@dataclass(frozen=True, slots=True)
class SavedTrack:
    """A liked song."""

    added_at: datetime
    track: Track


@dataclass(frozen=True)
class Playlist:
    """A playlist with all rows it will ever have, oldest first; `rows_at` says which of them exist."""

    id: str
    name: str
    description: str | None
    owner_id: str
    owner_name: str
    public: bool
    collaborative: bool
    rows: tuple[PlaylistRow, ...]

    @property
    def uri(self) -> str:
        """``spotify:playlist:<id>``."""
        return f"spotify:playlist:{self.id}"

    def rows_at(self, now: datetime) -> tuple[PlaylistRow, ...]:
        """Return the rows that were added up to `now`."""
        return tuple(row for row in self.rows if row.added_at <= now)

    def snapshot_id(self, now: datetime) -> str:
        """Return the opaque version, which differs whenever `rows_at` differs."""
        return base62_id(self.id, len(self.rows_at(now))) + "=="


@dataclass(frozen=True, slots=True)
class Library:
    """The library of one user; `saved` and `local_files` are oldest first, `playlists` are the user's own."""

    playlists: tuple[Playlist, ...]
    saved: tuple[SavedTrack, ...]
    local_files: tuple[LocalFile, ...]

    def saved_at(self, now: datetime) -> tuple[SavedTrack, ...]:
        """Liked songs at `now`, newest first."""
        return tuple(saved for saved in reversed(self.saved) if saved.added_at <= now)


def build_library(
    seed: int, user: SimulatedUser, catalogue: Catalogue, epoch: date, least: LibrarySize = ORDINARY
) -> Library:
    """Generate the library of `user`; rows that are not added later were there at `epoch`."""
    rng = Random(f"{seed}/{user.id}/library")
    tracks = _preferred(rng, user, catalogue)
    opened = datetime(epoch.year, epoch.month, epoch.day, tzinfo=UTC)
    local_files = tuple(
        LocalFile(invented_title(rng), invented_name(rng), invented_title(rng), rng.randint(120, 400) * 1000)
        for _ in range(5)
    )
    own = []
    for number, size in enumerate(_FIXED_SIZES):
        rows = _rows(rng, tracks, opened, size)
        if number == 0:
            rows[20:20] = [PlaylistRow(rows[20].added_at, local) for local in local_files[:3]]
            rows[70:70] = [PlaylistRow(rows[70].added_at, None)]
        own.append(_playlist(seed, rng, user, number, tuple(rows)))
    weekly = tuple(
        PlaylistRow(opened + timedelta(weeks=week, hours=rng.randint(6, 22)), rng.choice(tracks))
        for week in range(_GROWING_WEEKS)
    )
    own.append(_playlist(seed, rng, user, len(_FIXED_SIZES), weekly))
    saved = tuple(_saved(rng, tracks, opened))
    more = [
        _playlist(seed, rng, user, number, tuple(_rows(rng, tracks, opened, _LARGE_SIZES[number % len(_LARGE_SIZES)])))
        for number in range(len(own), least.playlists)
    ]
    liked_before = tuple(_liked_before(tracks, opened, least.saved_tracks))
    return Library((*own, *more), liked_before + saved, local_files)


def build_curated_playlists(seed: int, catalogue: Catalogue, epoch: date) -> tuple[Playlist, ...]:
    """Generate public playlists of a curator who is not a simulated user; all users follow them."""
    rng = Random(f"{seed}/curated")
    opened = datetime(epoch.year, epoch.month, epoch.day, tzinfo=UTC)
    tracks = list(catalogue.tracks.values())
    return tuple(
        Playlist(
            id=base62_id(seed, "curated", number),
            name=invented_title(rng),
            description=f"Chosen by {CURATOR_NAME}.",
            owner_id=CURATOR_ID,
            owner_name=CURATOR_NAME,
            public=True,
            collaborative=False,
            rows=tuple(_rows(rng, tracks, opened, size)),
        )
        for number, size in enumerate(_CURATED_SIZES)
    )


def _preferred(rng: Random, user: SimulatedUser, catalogue: Catalogue) -> list[Track]:
    """Return all tracks in random order; tracks of the user's genres tend to come first."""

    def rank(track: Track) -> float:
        liked = any(genre in user.genres for genre in track.artists[0].genres)
        return -float(rng.random() ** (1 / (8 if liked else 1)))

    return sorted(catalogue.tracks.values(), key=rank)


def _rows(rng: Random, tracks: list[Track], opened: datetime, size: int) -> list[PlaylistRow]:
    chosen = rng.sample(tracks[: max(400, size)], k=min(size, len(tracks)))
    days = sorted((rng.uniform(1, 400) for _ in chosen), reverse=True)
    return [PlaylistRow(_seconds(opened - timedelta(days=ago)), track) for ago, track in zip(days, chosen, strict=True)]


def _playlist(seed: int, rng: Random, user: SimulatedUser, number: int, rows: tuple[PlaylistRow, ...]) -> Playlist:
    return Playlist(
        id=base62_id(seed, user.id, "playlist", number),
        name=invented_title(rng),
        description=("", None, "Weekend")[number % 3],
        owner_id=user.id,
        owner_name=user.display_name,
        public=number not in {1, 2},
        collaborative=number == 2,  # noqa: PLR2004 - a collaborative playlist is never public
        rows=rows,
    )


def _saved(rng: Random, tracks: list[Track], opened: datetime) -> Iterator[SavedTrack]:
    for number, track in enumerate(tracks[:_SAVED_IN_ALL]):
        days = (number - _SAVED_AT_FIRST) * _DAYS_BETWEEN_SAVES + rng.uniform(0, _DAYS_BETWEEN_SAVES)
        yield SavedTrack(_seconds(opened + timedelta(days=days)), track)


def _liked_before(tracks: list[Track], opened: datetime, count: int) -> Iterator[SavedTrack]:
    """Return `count` songs that are not liked later, a minute apart, oldest first."""
    first = opened - timedelta(days=400)
    for number, track in enumerate(tracks[_SAVED_IN_ALL : _SAVED_IN_ALL + count]):
        yield SavedTrack(first - timedelta(minutes=count - number), track)


def _seconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
