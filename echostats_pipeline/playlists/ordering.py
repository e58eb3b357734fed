"""Puts songs in an order that flows: neighbours sound alike, and the energy follows an arc.

Belongs here: distances and the search for a good order, over numbers alone. Not here: which songs are chosen.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from echostats_pipeline.model.playlists import FASTEST, Arc
from echostats_pipeline.transforms.sound import FEATURE_WEIGHTS

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

TEMPO_WEIGHT, KEY_WEIGHT = 0.3, 0.2
ARC_WEIGHT = 2.5
SAME_ARTIST_APART = 3
"""Songs of one artist are at least so many places apart, where that is possible."""
TOO_CLOSE = 2.0
"""What a place too few costs: more than any two songs differ."""
KEY_STEPS = 7
"""Most steps between two keys on the Camelot wheel: half a turn, and from major to minor."""
SWEEPS, SWEEPS_OF_MANY = 12, 3
PEAK_AT = 2 / 3
MOST_SEARCHED, REACH = 60, 15
"""With more songs, the order is searched only near each place."""
STARTS, FEW = 4, 30
"""With few songs, several walks are improved."""


@dataclass(frozen=True, eq=False)
class Sound:
    """What an order depends on, by song.

    Attributes:
        features: Songs by `AVERAGED_FEATURES`; NaN where unknown.
        keys: Pitch class 0 to 11; -1 where unknown.
        modes: 1 major, 0 minor.
        artists: A number for each artist.
    """

    features: Floats
    keys: Numbers
    modes: Numbers
    artists: Numbers

    @property
    def energy(self) -> Floats:
        """The energy of each song; the mean of the others where unknown."""
        values = self.features[:, 1]
        mean = float(np.nanmean(values)) if (~np.isnan(values)).any() else 0.5
        return np.where(np.isnan(values), mean, values)


def distances(sound: Sound) -> Floats:
    """How differently each two songs sound: features, tempo and key. A song without features is as far as the mean."""
    vectors = sound.features.copy()
    vectors[:, -1] = np.minimum(vectors[:, -1] / FASTEST, 1.0)
    vectors = vectors * np.sqrt(np.array(list(FEATURE_WEIGHTS.values())))
    found = np.sqrt(np.square(vectors[:, None, :] - vectors[None, :, :]).sum(axis=2))
    tempo = sound.features[:, -1]
    with np.errstate(divide="ignore", invalid="ignore"):
        octaves = np.abs(np.log2(tempo[:, None] / tempo[None, :]))
    folded = np.abs(octaves - np.round(octaves)) * 2
    found = found + TEMPO_WEIGHT * np.nan_to_num(folded, nan=0.0, posinf=1.0)
    found = found + KEY_WEIGHT * key_steps(sound.keys, sound.modes) / KEY_STEPS
    known = ~np.isnan(found)
    np.fill_diagonal(known, val=False)
    found = np.where(np.isnan(found), float(found[known].mean()) if known.any() else 1.0, found)
    np.fill_diagonal(found, 0.0)
    return found


def key_steps(keys: Numbers, modes: Numbers) -> Floats:
    """Steps between keys on the Camelot wheel: fifths apart, and one between major and minor; half where unknown."""
    wheel = (keys * 7 + np.where(modes == 1, 0, 3 * 7)) % 12
    apart = np.abs(wheel[:, None] - wheel[None, :])
    steps = np.minimum(apart, 12 - apart) + (modes[:, None] != modes[None, :])
    unknown = (keys < 0)[:, None] | (keys < 0)[None, :]
    return np.where(unknown, KEY_STEPS / 2, steps).astype(np.float64)


def smoothness(order: Numbers, apart: Floats) -> float:
    """The mean distance between neighbours in an order; smaller is smoother."""
    return float(apart[order[:-1], order[1:]].mean()) if len(order) > 1 else 0.0


def targets(energy: Floats, arc: Arc) -> Floats | None:
    """The energy that each place should have; None for a flat arc. The songs' own energies are handed out."""
    rising = np.sort(energy)
    size = len(rising)
    if arc == "flat" or size < 3:  # noqa: PLR2004
        return None
    if arc == "rise":
        return rising
    if arc == "fall":
        return rising[::-1]
    top = max(round((size - 1) * PEAK_AT), 1)
    height = np.concatenate([np.linspace(0, 1, top + 1), np.linspace(1, 0, size - top)[1:]])
    found = np.empty(size)
    found[np.argsort(height, kind="stable")] = rising
    return found


@dataclass(frozen=True, eq=False)
class Costs:
    """What orders of some songs cost.

    Attributes:
        apart: Songs by songs: how differently they sound.
        energy: By song.
        target: The energy that each place should have; None if any will do.
        artists: A number for each song's artist.
    """

    apart: Floats
    energy: Floats
    target: Floats | None
    artists: Numbers

    @classmethod
    def of_songs(cls, sound: Sound, places: Numbers, arc: Arc) -> "Costs":
        """The costs of songs of which those at some places are to be put in order."""
        energy = sound.energy
        return cls(distances(sound), energy, targets(energy[places], arc), sound.artists)

    def of(self, orders: Numbers) -> Floats:
        """What each of some orders costs; one order in each row."""
        cost = self.apart[orders[:, :-1], orders[:, 1:]].sum(axis=1)
        if self.target is not None:
            cost = cost + ARC_WEIGHT * np.abs(self.energy[orders] - self.target).sum(axis=1)
        artists = self.artists[orders]
        for gap in range(1, SAME_ARTIST_APART):
            close = (artists[:, :-gap] == artists[:, gap:]).sum(axis=1)
            cost = cost + TOO_CLOSE * (SAME_ARTIST_APART - gap) * close
        return np.asarray(cost)

    def at_places(self, order: Numbers) -> Floats:
        """By place and song: what the song would cost at that place of an order."""
        cost = np.zeros((len(order), len(self.apart)))
        cost[1:] += self.apart[order[:-1]]
        cost[:-1] += self.apart[order[1:]]
        if self.target is not None:
            cost += ARC_WEIGHT * np.abs(self.energy[None, :] - self.target[:, None])
        same = self.artists[order][:, None] == self.artists[None, :]
        for gap in range(1, SAME_ARTIST_APART):
            cost[gap:] += TOO_CLOSE * (SAME_ARTIST_APART - gap) * same[:-gap]
            cost[:-gap] += TOO_CLOSE * (SAME_ARTIST_APART - gap) * same[gap:]
        return cost


def flowing_order(sound: Sound, arc: Arc = "flat") -> Numbers:
    """An order of all songs: the best nearest-neighbour walk, improved by turning and moving parts of it.

    The same songs in the same order always give the same result.
    """
    size = len(sound.artists)
    if size < 3:  # noqa: PLR2004
        target = targets(sound.energy, arc)
        return np.arange(size) if target is None else np.argsort(sound.energy, kind="stable")
    costs = Costs.of_songs(sound, np.arange(size), arc)
    starts = greedy_orders(costs.apart, costs)
    best = np.argsort(costs.of(starts), kind="stable")[: STARTS if size <= FEW else 1]
    improved = np.array([better_order(starts[each], costs) for each in best])
    return np.asarray(improved[int(np.argmin(costs.of(improved)))])


def greedy_orders(apart: Floats, costs: Costs | None = None) -> Numbers:
    """For each song, the walk from it that always goes on to the nearest song left."""
    size = len(apart)
    orders = np.empty((size, size), dtype=np.int64)
    orders[:, 0] = np.arange(size)
    rows = np.arange(size)
    free = np.ones((size, size), dtype=bool)
    free[rows, rows] = False
    for place in range(1, size):
        step = apart[orders[:, place - 1]]
        if costs is not None:
            if costs.target is not None:
                step = step + ARC_WEIGHT * np.abs(costs.energy - costs.target[place])[None, :]
            for gap in range(1, min(SAME_ARTIST_APART, place + 1)):
                same = costs.artists[orders[:, place - gap]][:, None] == costs.artists[None, :]
                step = step + TOO_CLOSE * (SAME_ARTIST_APART - gap) * same
        chosen = np.where(free, step, np.inf).argmin(axis=1)
        orders[:, place] = chosen
        free[rows, chosen] = False
    return orders


def better_order(order: Numbers, costs: Costs) -> Numbers:
    """An order improved by turning and moving parts of it, until nothing helps."""
    size = len(order)
    reach = size if size <= MOST_SEARCHED else REACH
    best = float(costs.of(order[None, :])[0])
    for _ in range(SWEEPS if size <= MOST_SEARCHED else SWEEPS_OF_MANY):
        before = best
        for place in range(size - 1):
            tried = _variants(order, place, reach)
            found = costs.of(tried)
            at = int(found.argmin())
            if found[at] < best - 1e-9:
                order, best = tried[at], float(found[at])
        if best >= before - 1e-9:
            break
    return order


def _variants(order: Numbers, place: int, reach: int) -> Numbers:
    """The order with the part from a place to each later one turned around, and with one song moved there."""
    size, at = len(order), np.arange(len(order))[None, :]
    ends = np.arange(place + 1, min(size, place + reach))[:, None]
    turned = order[np.where((at >= place) & (at <= ends), place + ends - at, at)]
    rest, to = np.delete(order, place), np.arange(max(place - reach, 0), min(size, place + reach))[:, None]
    moved = np.where(at == to, order[place], rest[np.clip(np.where(at < to, at, at - 1), 0, size - 2)])
    return np.concatenate([turned, moved])
