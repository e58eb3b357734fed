"""Generates a user's taste per month: steady favourites, passing favourites and discoveries.

Belongs here: how preferences change. Not here: when and for how long a track is played (``habits``).
"""

from dataclasses import dataclass
from datetime import date
from itertools import accumulate
from random import Random

from echostats_pipeline.simulator.catalogue import Artist, Catalogue, Track
from echostats_pipeline.simulator.people import SimulatedUser

_STEADY, _PASSING, _KNOWN, _DISCOVERIES = 25, 8, 150, 60
_PASSING_WEIGHTS = (1.0, 0.5, 0.25)  # this month's favourites, last month's, those before
_MONTHS_PER_YEAR = 12


@dataclass(frozen=True, slots=True)
class Pool:
    """Tracks with cumulative weights, ready for `random.choices`."""

    tracks: tuple[Track, ...]
    cum_weights: tuple[float, ...]

    def draw(self, rng: Random, count: int) -> list[Track]:
        """Draw `count` tracks by weight, with repetition."""
        return rng.choices(self.tracks, cum_weights=self.cum_weights, k=count)


class Taste:
    """The pools of one user, one per calendar month, generated on first use."""

    def __init__(self, seed: int, user: SimulatedUser, catalogue: Catalogue) -> None:
        self._key = f"{seed}/{user.id}"
        self._catalogue = catalogue
        self._pools: dict[int, Pool] = {}
        rng = Random(f"{self._key}/taste")
        artists = [artist for artist in catalogue.artists.values() if catalogue.artist_tracks[artist.id]]
        self._artists = sorted(artists, key=lambda artist: -float(rng.random() ** (1 / _appeal(user, artist))))

    def pool(self, day: date) -> Pool:
        """Return the pool of the month that contains `day`."""
        month = day.year * _MONTHS_PER_YEAR + day.month
        if month not in self._pools:
            self._pools[month] = self._build(month)
        return self._pools[month]

    def _build(self, month: int) -> Pool:
        weights: dict[str, float] = {}
        for rank, artist in enumerate(self._artists[:_STEADY]):
            self._add(weights, artist, 1 / (rank + 3))
        for age, weight in enumerate(_PASSING_WEIGHTS):
            known = self._artists[:_KNOWN]
            for artist in Random(f"{self._key}/month/{month - age}").sample(known, k=min(_PASSING, len(known))):
                self._add(weights, artist, 0.25 * weight)
        tracks = list(self._catalogue.tracks.values())
        for track in Random(f"{self._key}/discoveries/{month}").sample(tracks, k=min(_DISCOVERIES, len(tracks))):
            weights[track.id] = weights.get(track.id, 0) + 0.01
        return Pool(tuple(map(self._catalogue.tracks.__getitem__, weights)), tuple(accumulate(weights.values())))

    def _add(self, weights: dict[str, float], artist: Artist, weight: float) -> None:
        """Distribute `weight` over the artist's tracks; popular tracks get more."""
        tracks = sorted(self._catalogue.artist_tracks[artist.id], key=lambda track: (-track.popularity, track.id))
        for position, track in enumerate(tracks):
            weights[track.id] = weights.get(track.id, 0) + weight / (position + 1)


def _appeal(user: SimulatedUser, artist: Artist) -> float:
    liked = any(genre in user.genres for genre in artist.genres)
    return (8 if liked else 1) * (1 + artist.popularity / 50)
