"""How songs sound, from their audio features: brightness, and distances between songs.

Belongs here: numbers that several readers of audio features share. Not here: which songs are chosen.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from echostats_pipeline.model.catalog import AVERAGED_FEATURES

Floats = npt.NDArray[np.float64]

FEATURE_WEIGHTS = dict(zip(AVERAGED_FEATURES, (1.0, 2.0, 2.0, 0.8, 0.6, 0.3, 0.3, 0.4), strict=True))
"""Weights of Playlist Generator's feature vector."""
FEWEST_FEATURES = 20
"""With fewer songs with features, their spread is unknown and features are not used."""
FURTHEST = 3.0
"""Largest distance from the median, in interquartile ranges, that is told apart."""
BRIGHTNESS = {"valence": 0.5, "energy": 0.3, "acousticness": -0.2}
"""Brightness is no feature of Spotify's: it is derived by these weights, plus 0.2."""


@dataclass(frozen=True, eq=False)
class Scaler:
    """Median and interquartile range of each feature over the songs of the catalogue."""

    median: Floats
    spread: Floats

    @classmethod
    def of(cls, features: Floats) -> "Scaler | None":
        """The scaler of songs by features; None with too few songs."""
        known = features[~np.isnan(features).any(axis=1)]
        if len(known) < FEWEST_FEATURES:
            return None
        low, median, high = np.percentile(known, (25, 50, 75), axis=0)
        return cls(median, np.maximum(high - low, 1e-6))

    def apply(self, features: Floats) -> Floats:
        """Distances from the median in interquartile ranges, times the root of each feature's weight."""
        weights = np.sqrt(np.array(list(FEATURE_WEIGHTS.values())))
        return np.asarray(np.clip((features - self.median) / self.spread, -FURTHEST, FURTHEST) * weights)


def brightness(valence: float, energy: float, acousticness: float) -> float:
    """How bright a song sounds, 0 to 1: mostly how glad it is, and how electric and how loud."""
    weights = BRIGHTNESS
    derived = 0.2 + weights["valence"] * valence + weights["energy"] * energy + weights["acousticness"] * acousticness
    return round(min(max(derived, 0.0), 1.0), 4)
