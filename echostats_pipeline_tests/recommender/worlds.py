"""Small worlds of listeners with a known structure: with planted tastes, or with none."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from echostats_pipeline.recommender.content import Content
from echostats_pipeline.recommender.listening import HEARD_SCHEMA, Listening
from echostats_pipeline.recommender.scoring import Songs

END = datetime(2026, 6, 1, tzinfo=UTC)
SESSION_LENGTH = 8


@dataclass(frozen=True)
class World:
    """Plays of users, and their songs; `clusters` is the taste that each song belongs to."""

    listening: Listening
    songs: Songs
    clusters: np.ndarray


def world(
    *,
    users: int = 60,
    songs: int = 1_200,
    clusters: int = 12,
    sessions: int = 50,
    days: int = 120,
    planted: float = 0.85,
    seed: int = 1,
    features: bool = False,
    sharing: bool = True,
    songs_an_artist: int = 4,
) -> World:
    """Draw a world.

    Args:
        planted: Share of plays that come from the user's two clusters; the others come from all songs by popularity.
            With 0, there is no structure.
        features: Whether songs of a cluster have similar audio features.
    """
    rng = np.random.default_rng(seed)
    cluster_of = rng.integers(0, clusters, songs)
    # Popular songs are popular in each cluster, as in the world at large.
    fame = rng.pareto(1.2, songs) + 0.05
    pools = [np.flatnonzero(cluster_of == number) for number in range(clusters)]
    rows: list[tuple[int, int, int, datetime, bool]] = []
    basket = 0
    for user in range(users):
        tastes = rng.choice(clusters, size=2, replace=False)
        for start in np.sort(rng.uniform(0, days, sessions)):
            began = END - timedelta(days=days) + timedelta(days=float(start))
            pool = pools[int(rng.choice(tastes))]
            for place in range(SESSION_LENGTH):
                among = pool if rng.random() < planted else np.arange(songs)
                song = int(rng.choice(among, p=fame[among] / fame[among].sum()))
                rows.append((user, basket, song, began + timedelta(minutes=3 * place), True))
            basket += 1
    heard = pl.DataFrame(rows, schema=HEARD_SCHEMA, orient="row").sort("user", "played_at", "item")
    known = np.full((songs, 8), np.nan)
    if features:
        centres = rng.uniform(0.1, 0.9, (clusters, 8))
        known = np.clip(centres[cluster_of] + rng.normal(0, 0.05, (songs, 8)), 0, 1)
    listening = Listening(
        [f"user-{number:04d}" for number in range(users)],
        np.full(users, sharing, dtype=bool),
        [f"song-{number:05d}" for number in range(songs)],
        heard,
    )
    artists = np.arange(songs) // songs_an_artist
    return World(listening, Songs(artists, Content.of(known, [[]] * songs), np.ones(songs, dtype=bool)), cluster_of)
