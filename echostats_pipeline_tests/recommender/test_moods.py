"""How much a song sounds like a mood."""

import numpy as np

from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.recommender.moods import likeness_to


def features(**known: float) -> np.ndarray:
    return np.array([[known.get(name, np.nan) for name in AVERAGED_FEATURES]])


def test_a_song_is_like_a_mood_by_the_mean_distance_of_its_features() -> None:
    targets = {"energy": 0.5, "tempo": 140}
    assert likeness_to(targets, features(energy=0.5, tempo=140)).tolist() == [1.0]
    assert likeness_to(targets, features(energy=0.5, tempo=120)).tolist() == [0.95]


def test_an_unknown_feature_is_like_nothing() -> None:
    assert likeness_to({"energy": 0.5, "tempo": 140}, features(energy=0.5)).tolist() == [0.0]
