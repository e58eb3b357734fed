"""The collaborative strategy by the formulas of EchoTune's guide, to compare with. No list of a user is made with it.

It compares users by plain counts, so whoever plays much is like everybody, and a score reaches 1 after ten plays.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from echostats_pipeline.recommender.listening import Floats, Listening

WINDOW = timedelta(days=90)
MOST_TRACKS = 200
"""Songs of a user that are compared, the most played first."""
LEAST_PLAYS = 5
LEAST_SHARED, MOST_COMPARED, MOST_NEIGHBOURS = 3, 50, 20
"""Users with at least so many songs in common are compared, at most so many, and so many of these count."""
SATURATION = 10.0


class GuideScores(NamedTuple):
    """Scores of all songs by their numbers, 0 for heard songs and for those that no similar user has played.

    Attributes:
        scores: Between 0 and 1; many songs reach 1.
        raw: The sums behind them, which tell these apart.
    """

    scores: Floats
    raw: Floats


def collaborative_v0(listening: Listening, user: int, now: datetime) -> GuideScores:
    """Score all songs for a user: the plays of similar users, each times the cosine of the two users' counts.

    All scores are 0 with fewer than five plays in the last 90 days, or if no other user shares three songs.
    """
    nothing = GuideScores(np.zeros(listening.size), np.zeros(listening.size))
    lately = listening.since(now - WINDOW).before(now)
    own = lately.of_user(user)
    if own.counts().sum() < LEAST_PLAYS:
        return nothing
    mine = _most_played(own)
    found: list[tuple[int, float, int, Floats]] = []
    for other in np.flatnonzero(listening.shares).tolist():
        theirs = _most_played(lately.of_user(other)) if other != user else np.zeros(listening.size)
        shared = int(((mine > 0) & (theirs > 0)).sum())
        if shared >= LEAST_SHARED:
            cosine = float(mine @ theirs / (np.linalg.norm(mine) * np.linalg.norm(theirs)))
            found.append((shared, cosine, other, theirs))
    compared = sorted(found, key=lambda each: (-each[0], each[2]))[:MOST_COMPARED]
    nearest = sorted(compared, key=lambda each: (-each[1], each[2]))[:MOST_NEIGHBOURS]
    raw = sum((cosine * theirs for _, cosine, _, theirs in nearest), np.zeros(listening.size))
    raw = np.where(listening.of_user(user).counts() == 0, raw, 0.0)
    return GuideScores(np.minimum(raw / SATURATION, 1.0), raw)


def _most_played(plays: Listening) -> Floats:
    """The plays of the most played songs, equals in the order of songs; 0 for all others."""
    counts = plays.counts().astype(np.float64)
    order = np.lexsort((np.arange(len(counts)), -counts))
    counts[order[MOST_TRACKS:]] = 0.0
    return counts
