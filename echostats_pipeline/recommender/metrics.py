"""Metrics of ranked lists against what a user has played later. All songs are ranked; none are sampled."""

from collections.abc import Collection, Sequence

import numpy as np

from echostats_pipeline.recommender.listening import Floats, Numbers

AT = 20
"""How many places of a list are judged."""


def ndcg(ranking: Sequence[int] | Numbers, relevant: Collection[int], at: int = AT) -> float:
    """Normalised discounted cumulative gain with binary relevance: 1 if the first places are all relevant."""
    gains = [1.0 / np.log2(place + 2) for place, song in enumerate(ranking[:at]) if song in relevant]
    ideal = sum(1.0 / np.log2(place + 2) for place in range(min(at, len(relevant))))
    return float(sum(gains) / ideal) if ideal else 0.0


def recall(ranking: Sequence[int] | Numbers, relevant: Collection[int], at: int = AT) -> float:
    """Hits among the first places as a share of the possible ones: hits / min(at, number of relevant songs)."""
    hits = sum(song in relevant for song in ranking[:at])
    return hits / min(at, len(relevant)) if relevant else 0.0


def coverage(rankings: Sequence[Sequence[int] | Numbers], songs: int, at: int = AT) -> float:
    """The share of all songs that is in at least one list."""
    shown = {int(song) for ranking in rankings for song in ranking[:at]}
    return len(shown) / songs if songs else 0.0


def novelty(rankings: Sequence[Sequence[int] | Numbers], popularity: Floats, at: int = AT) -> float:
    """Mean of -log2 of the popularity of the songs in the lists, in bits; `popularity` is a share above 0."""
    shown = [int(song) for ranking in rankings for song in ranking[:at]]
    return float(np.mean(-np.log2(popularity[shown]))) if shown else 0.0


def most_per_artist(rankings: Sequence[Sequence[int] | Numbers], artists: Numbers, at: int = AT) -> int:
    """The most songs of one artist in a list."""
    return max((int(np.bincount(artists[list(ranking[:at])]).max()) for ranking in rankings if len(ranking)), default=0)


def bootstrap_bounds(differences: Sequence[float], *, samples: int = 2_000, seed: int = 0) -> tuple[float, float]:
    """The 95 % confidence interval of the mean of paired differences, by resampling them."""
    values = np.asarray(differences, dtype=np.float64)
    if not len(values):
        return 0.0, 0.0
    rng = np.random.default_rng(seed)
    means = [float(values[rng.integers(0, len(values), len(values))].mean()) for _ in range(samples)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
