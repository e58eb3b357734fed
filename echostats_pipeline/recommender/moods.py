"""How songs of a mood sound: the audio features that EchoTune aims at for each."""

from collections.abc import Mapping

import numpy as np

from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.recommender.listening import Floats

MOODS: Mapping[str, Mapping[str, float]] = {
    "happy": {"valence": 0.8, "energy": 0.7, "danceability": 0.7},
    "sad": {"valence": 0.2, "energy": 0.3, "acousticness": 0.8},
    "energetic": {"energy": 0.9, "danceability": 0.8, "tempo": 140},
    "calm": {"valence": 0.5, "energy": 0.3, "acousticness": 0.7},
    "romantic": {"valence": 0.6, "energy": 0.4, "acousticness": 0.6},
}
TEMPO_RANGE = 200
FITS = 0.8
"""Least likeness of a song to the features of a mood."""
FEWEST_OF_MOOD = 3


def likeness_to(targets: Mapping[str, float], features: Floats) -> Floats:
    """How much each song sounds like a mood, 0 to 1; 0 where a feature is unknown.

    Args:
        targets: The features of the mood.
        features: Songs by `AVERAGED_FEATURES` as sources have them; NaN where unknown.
    """
    columns = [AVERAGED_FEATURES.index(name) for name in targets]
    ranges = np.array([TEMPO_RANGE if name == "tempo" else 1 for name in targets])
    distances = np.abs(features[:, columns] - np.array(list(targets.values()))) / ranges
    return np.asarray(np.nan_to_num(np.round(1 - np.minimum(distances, 1.0).mean(axis=1), 4)), dtype=np.float64)
