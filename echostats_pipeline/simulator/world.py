"""The simulated world: users, their plays and libraries, and the state that Spotify shows at a given instant.

Pure: no clock, no I/O, and the seed is the only source of randomness. Belongs here: queries over time windows. Not
here: JSON, HTTP.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Literal, get_args

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.simulator.catalogue import Artist, Track, build_catalogue
from echostats_pipeline.simulator.habits import Listener, SimulatedPlay
from echostats_pipeline.simulator.library import (
    ORDINARY,
    LibrarySize,
    Playlist,
    SavedTrack,
    build_curated_playlists,
    build_library,
)
from echostats_pipeline.simulator.people import SimulatedUser, build_users
from echostats_pipeline.simulator.releases import build_releases

TimeRange = Literal["short_term", "medium_term", "long_term"]
TIME_RANGES: tuple[TimeRange, ...] = get_args(TimeRange)

MIN_SHOWN_MS = 30_000  # a track enters the play history after 30 s
REACHABLE_PLAYS = 50  # recently-played never reaches further back
TOP_LENGTH = 50  # offsets beyond this return nothing
_TOP_DAYS: dict[TimeRange, int] = {"short_term": 28, "medium_term": 182, "long_term": 365}
_DAY = timedelta(days=1)


class World:
    """All users, plays and libraries, generated from `seed`.

    Args:
        seed: Equal seeds (and sizes) give equal worlds.
        user_count: Number of users; the first user listens most.
        track_count: Number of tracks in the catalogue.
        epoch: The UTC date on which all users start to listen; there are no plays before it.
        size: Least size of the first user's library; the catalogue grows with it.
    """

    def __init__(
        self,
        *,
        seed: int = 1,
        user_count: int = 3,
        track_count: int = 3000,
        epoch: date = date(2019, 1, 1),
        size: LibrarySize = ORDINARY,
    ) -> None:
        self.seed = seed
        self.epoch = epoch
        self.catalogue = build_catalogue(seed, max(track_count, size.saved_tracks and size.saved_tracks + 2000))
        self.releases = build_releases(seed, self.catalogue, epoch)
        self.users = build_users(seed, user_count)
        self.curated = build_curated_playlists(seed, self.catalogue, epoch)
        first, *others = self.users
        self.libraries = {
            first.id: build_library(seed, first, self.catalogue, epoch, size),
            **{user.id: build_library(seed, user, self.catalogue, epoch) for user in others},
        }
        self._users = {user.id: user for user in self.users}
        self._listeners = {
            user.id: Listener(seed, user, self.catalogue, self.libraries[user.id]) for user in self.users
        }
        self._playlists = {
            playlist.id: playlist
            for listed in (self.curated, *(library.playlists for library in self.libraries.values()))
            for playlist in listed
        }
        self._days: dict[tuple[str, date], tuple[SimulatedPlay, ...]] = {}

    def user(self, user_id: str) -> SimulatedUser:
        """Return the user with that id.

        Raises:
            NotFoundError: The user does not exist.
        """
        try:
            return self._users[user_id]
        except KeyError:
            known = ", ".join(self._users)
            raise NotFoundError(f"the simulated Spotify has no user {user_id!r}; it has {known}") from None

    def plays(self, user: SimulatedUser, start: datetime, end: datetime) -> tuple[SimulatedPlay, ...]:
        """Return all plays of `user` with ``start <= played_at < end``, oldest first, podcasts and private ones too."""
        found = []
        day, last = start.astimezone(UTC).date(), end.astimezone(UTC).date()
        while day <= last:
            found += [play for play in self._day(user, day) if start <= play.played_at < end]
            day += _DAY
        return tuple(found)

    def recently_played(self, user: SimulatedUser, now: datetime) -> tuple[SimulatedPlay, ...]:
        """Return the play history of the Web API at `now`: at most 50 plays, newest first.

        It holds only tracks of the catalogue, played for at least 30 s, ended by `now`, and not in a private session.
        """
        return tuple(islice(self.shown_before(user, now), REACHABLE_PLAYS))

    def shown_before(self, user: SimulatedUser, now: datetime) -> Iterator[SimulatedPlay]:
        """Return the plays that the Web API can show and that ended by `now`, newest first, back to the epoch."""
        day = now.astimezone(UTC).date()
        while day >= self.epoch:
            for play in reversed(self._day(user, day)):
                if play.played_at <= now and is_shown(play):
                    yield play
            day -= _DAY

    def top_tracks(self, user: SimulatedUser, time_range: TimeRange, now: datetime) -> tuple[Track, ...]:
        """Return the most played tracks of the range that ends with the last full UTC day; at most 50."""
        counts = Counter(play.track.id for play in self._shown(user, time_range, now) if play.track)
        return tuple(self.releases.tracks[track_id] for track_id in _ranked(counts))

    def top_artists(self, user: SimulatedUser, time_range: TimeRange, now: datetime) -> tuple[Artist, ...]:
        """Return the most played primary artists of the same range; at most 50."""
        counts = Counter(play.track.artists[0].id for play in self._shown(user, time_range, now) if play.track)
        return tuple(self.catalogue.artists[artist_id] for artist_id in _ranked(counts))

    def saved_tracks(self, user: SimulatedUser, now: datetime) -> tuple[SavedTrack, ...]:
        """Liked songs at `now`, newest first."""
        return self.libraries[user.id].saved_at(now)

    def playlists(self, user: SimulatedUser) -> tuple[Playlist, ...]:
        """Return own playlists, then followed ones: the curated playlists, and the first playlist of the next user."""
        neighbour = self.users[(self.users.index(user) + 1) % len(self.users)]
        followed = () if neighbour == user else self.libraries[neighbour.id].playlists[:1]
        return (*self.libraries[user.id].playlists, *self.curated, *followed)

    def playlist(self, playlist_id: str) -> Playlist | None:
        """Return the playlist with that id, of any owner."""
        return self._playlists.get(playlist_id)

    def _day(self, user: SimulatedUser, day: date) -> tuple[SimulatedPlay, ...]:
        if day < self.epoch:
            return ()
        key = (user.id, day)
        if key not in self._days:
            plays = self._listeners[user.id].day_plays(day)
            self._days[key] = tuple(self.releases.as_released(self.seed, play) for play in plays)
        return self._days[key]

    def _shown(self, user: SimulatedUser, time_range: TimeRange, now: datetime) -> Iterator[SimulatedPlay]:
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return filter(is_shown, self.plays(user, midnight - _TOP_DAYS[time_range] * _DAY, midnight))


def is_shown(play: SimulatedPlay) -> bool:
    """Return whether the Web API can show this play."""
    return play.track is not None and play.ms_played >= MIN_SHOWN_MS and not play.private


def _ranked(counts: Counter[str]) -> list[str]:
    ordered = sorted(counts, key=lambda item_id: (-counts[item_id], item_id))
    return ordered[:TOP_LENGTH]
