"""Scores of songs for a user: the models, and the baselines that they must beat."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import get_args

import numpy as np

from echostats_pipeline.model.recommendations import Baseline, Model, Scorer, Task
from echostats_pipeline.recommender.baskets import Baskets, build_baskets
from echostats_pipeline.recommender.content import Content, Taste, content_scores
from echostats_pipeline.recommender.listening import Flags, Floats, Listening, Numbers, ages
from echostats_pipeline.recommender.neighbours import Neighbours, item_neighbours

SEED_HALF_LIFE_DAYS = 30.0
"""What a user played this long ago says half as much about what they like to hear now."""
MOST_SEEDS = 500
POPULARITY_DAYS = 28.0
RECENT_HALF_LIFE_DAYS = 7.0
OFTEN, SILENT_DAYS = 5, 180.0
"""A song to rediscover was played so often, and not for so long: as long as `comebacks` requires."""
AGREEMENT = 0.2
"""How much the agreement of two models adds to their mean."""
REMEMBERED = timedelta(days=2 * 365)
"""Shared plays before this time do not serve others: after eight half-lives they weigh nothing."""
LIKED_WEIGHT = 3.0
"""A song that the user marked as liked weighs as much as so many plays today."""
SORTED_AT_ONCE = 1_000
"""Songs of a list that are sorted first; the others are, only if too many of these are of the same artists."""
MODELS: tuple[Model, ...] = get_args(Model)
BASELINES: Mapping[Task, tuple[Baseline, ...]] = {
    "discover": ("popularity", "recent_popularity", "random"),
    "rediscover": ("own_most_played", "popularity", "recent_popularity", "random"),
}


@dataclass(frozen=True, eq=False)
class Songs:
    """What is known of songs, by their numbers.

    Attributes:
        artists: The number of the primary artist.
        content: The sound of the songs.
        is_listable: Whether the song can be recommended as new: its name is known, and Spotify has it.
        popularity: Spotify's, 0 to 100; 0 where unknown. None if it is known of no song.
    """

    artists: Numbers
    content: Content
    is_listable: Flags
    popularity: Floats | None = None


@dataclass(frozen=True, eq=False)
class Shared:
    """What all users' shared plays say.

    Attributes:
        neighbours: Of songs, in the baskets of users who share.
        popularity: Plays of each song in the last 28 days.
        recent_popularity: Plays of each song, those of the last days above all.
        listeners: How many users who share have played each song.
    """

    neighbours: Neighbours
    popularity: Floats
    recent_popularity: Floats
    listeners: Numbers

    @classmethod
    def of(cls, listening: Listening, now: datetime, neighbours: Neighbours | None = None) -> "Shared":
        """Compute from all plays before `now`; `neighbours` may have been computed before."""
        shared = listening.shared().since(now - REMEMBERED)
        heard_by = shared.liked().select("user", "item").unique()["item"].to_numpy()
        return cls(
            neighbours or item_neighbours(build_baskets(shared, now)),
            _in_days(shared, now, POPULARITY_DAYS),
            shared.decayed(now, RECENT_HALF_LIFE_DAYS),
            np.bincount(heard_by, minlength=listening.size).astype(np.int64),
        )


@dataclass(frozen=True, eq=False)
class Profile:
    """What a user has played, as far as recommendations need it.

    Attributes:
        shares: Whether the user's plays are in the shared baskets.
        plays: Number of plays of all songs together.
        counts: Plays of each song.
        skips: How often each song was left early.
        weights: Recent plays of each song, logarithmic: how much the song says about the user's taste now.
        last_days: Days since each song was last played.
        baskets: The user's own baskets.
        neighbours: Neighbours of songs for this user: in the shared baskets and in the user's own.
        others: How many other users who share have played each song.
        taste: How the songs that the user plays sound.
    """

    shares: bool
    plays: int
    counts: Numbers
    skips: Numbers
    weights: Floats
    last_days: Floats
    baskets: Baskets
    neighbours: Neighbours
    others: Numbers
    taste: Taste

    @classmethod
    def of(
        cls,
        listening: Listening,
        user: int,
        shared: Shared,
        songs: Songs,
        now: datetime,
        *,
        liked: Flags | None = None,
        disliked: Flags | None = None,
    ) -> "Profile":
        """Compute from the user's plays before `now`.

        Args:
            listening: Plays of all users.
            user: The user's number.
            shared: What the shared plays say.
            songs: What is known of the songs.
            now: The instant for which to recommend.
            liked: Songs that the user has marked as liked.
            disliked: Songs that the user does not want to hear; they are no sign of taste.
        """
        own = listening.of_user(user)
        shares = bool(listening.shares[user])
        counts = own.counts()
        in_shared = own.since(now - REMEMBERED).counts() > 0 if shares else np.zeros(listening.size, dtype=bool)
        baskets = build_baskets(own, now)
        weights = taste_weights(own, now, liked, disliked)
        return cls(
            shares=shares,
            plays=int(counts.sum()),
            counts=counts,
            skips=own.skips(),
            weights=weights,
            last_days=own.last_days(now),
            baskets=baskets,
            neighbours=shared.neighbours if shares else shared.neighbours.joined(item_neighbours(baskets)),
            others=np.maximum(shared.listeners - in_shared, 0),
            taste=Taste.of(songs.content, weights),
        )

    def seeds(self) -> Numbers:
        """The songs that say most about the user's taste now."""
        return seeds_of(self.weights)

    def heard_by_others(self, one: int, other: int, shared: Shared) -> bool:
        """Whether another user has heard both songs together."""
        listeners = int(shared.neighbours.listeners[one, other])
        return listeners > int(self.shares and self.baskets.together(one, other))


def taste_weights(own: Listening, now: datetime, liked: Flags | None = None, disliked: Flags | None = None) -> Floats:
    """How much each song says about a user's taste now: the logarithm of recent plays, and of what the user likes."""
    weights = own.decayed(now, SEED_HALF_LIFE_DAYS)
    if liked is not None:
        weights = weights + LIKED_WEIGHT * liked
    if disliked is not None:
        weights = np.where(disliked, 0.0, weights)
    return np.log1p(weights)


def seeds_of(weights: Floats) -> Numbers:
    """The songs with the largest weights, equals in the order of songs; in order of number."""
    order = np.lexsort((np.arange(len(weights)), -weights))[:MOST_SEEDS]
    return np.sort(order[weights[order] > 0])


def candidates_to_rediscover(profile: Profile) -> Flags:
    """Songs that the user has played often, and not for half a year."""
    return np.asarray((profile.counts >= OFTEN) & (profile.last_days >= SILENT_DAYS))


def unheard(profile: Profile) -> Flags:
    """Songs that the user has not heard. A song that was left early is not new: the user has decided."""
    return np.asarray((profile.counts == 0) & (profile.skips == 0))


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of all songs; a score of 0 means that a model has nothing to say, or that a song is no candidate.

    Attributes:
        of: The scores by model and baseline. Those of models are percentiles among the candidates.
        knn: The sums of similarities behind `basket_knn`.
        by_features: Candidates that `content` compared by audio features.
        by_tags: Candidates that it compared by tags.
    """

    of: Mapping[Scorer, Floats]
    knn: Floats
    by_features: Flags
    by_tags: Flags

    def shown(self, name: Scorer) -> Floats:
        """The scores of a model or baseline between 0 and 1, for readers: those of baselines as percentiles."""
        values = self.of[name]
        return np.minimum(values, 1.0) if name in MODELS else percentiles(values, values > 0)

    def share(self, model: Scorer, song: int) -> dict[str, float]:
        """How much each part of a model adds to the score of a song; the parts sum up to 1."""
        if model != "hybrid":
            return {model: 1.0}
        parts = {name: float(self.of[name][song]) for name in ("basket_knn", "content") if self.of[name][song] > 0}
        whole = sum(parts.values())
        return {name: value / whole for name, value in parts.items()}


def score(profile: Profile, shared: Shared, songs: Songs, candidates: Flags) -> Scores:
    """Score all candidates for a user with every model and every baseline."""
    seeds = profile.seeds()
    knn = np.where(candidates, profile.weights[seeds] @ profile.neighbours.similarities(seeds), 0.0)
    cosines, by_features, by_tags = content_scores(songs.content, profile.taste)
    by_features, by_tags = by_features & candidates, by_tags & candidates
    of_knn = percentiles(knn, knn > 0)
    of_content = percentiles(cosines, by_features & (cosines > 0)) + percentiles(cosines, by_tags & (cosines > 0))
    artists: Floats = np.bincount(songs.artists, profile.weights).astype(np.float64)
    of_artists = artists[songs.artists] * candidates.astype(np.float64)
    numbers = np.arange(len(candidates), dtype=np.uint64)
    chance = (numbers * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(40)).astype(np.float64) + 1.0
    popular = np.zeros(len(candidates)) if songs.popularity is None else songs.popularity
    return Scores(
        {
            "hybrid": blended(of_knn, of_content),
            "basket_knn": of_knn,
            "content": of_content,
            "own_artists": percentiles(of_artists, of_artists > 0),
            "popularity": shared.popularity * candidates,
            "recent_popularity": shared.recent_popularity * candidates,
            "own_most_played": profile.counts.astype(np.float64) * candidates,
            "spotify_popularity": popular * candidates,
            "random": chance * candidates,
        },
        knn,
        by_features,
        by_tags,
    )


def preferring(scores: Scores, preferred: Flags) -> Scores:
    """The same with the songs of preferred genres before all others in the order of their popularity."""
    names: tuple[Scorer, ...] = ("popularity", "recent_popularity", "spotify_popularity")
    changed = {name: np.where(scores.of[name] > 0, (scores.shown(name) + preferred) / 2, 0.0) for name in names}
    return replace(scores, of={**scores.of, **changed})


def percentiles(scores: Floats, among: Flags) -> Floats:
    """The share of the scores in `among` that each is at least as large as; 0 elsewhere."""
    some = np.sort(scores[among])
    if not len(some):
        return np.zeros(len(scores))
    return np.where(among, np.searchsorted(some, scores, side="right") / len(some), 0.0)


def blended(one: Floats, other: Floats) -> Floats:
    """The mean of the models that know a song, times 1.2 where both do. It may exceed 1, so that agreement can win."""
    models = (one > 0).astype(np.float64) + (other > 0)
    return (one + other) / np.maximum(models, 1.0) * (1.0 + AGREEMENT * np.maximum(models - 1.0, 0.0))


def ranked(scores: Floats, artists: Numbers, limit: int, most_per_artist: int = 2) -> Numbers:
    """The songs with the highest positive scores, at most two of an artist; equals in the order of songs."""
    some = np.flatnonzero(scores > 0)
    best = some
    if len(some) > SORTED_AT_ONCE:
        best = some[scores[some] >= np.partition(scores[some], -SORTED_AT_ONCE)[-SORTED_AT_ONCE]]
    taken = _at_most(best[np.lexsort((best, -scores[best]))], artists, limit, most_per_artist)
    if len(taken) < limit and len(best) < len(some):
        taken = _at_most(some[np.lexsort((some, -scores[some]))], artists, limit, most_per_artist)
    return np.array(taken, dtype=np.int64)


def _at_most(order: Numbers, artists: Numbers, limit: int, most_per_artist: int) -> list[int]:
    """The first songs, leaving out those of artists who have enough."""
    taken: list[int] = []
    of_artist: dict[int, int] = {}
    for song in order:
        if len(taken) == limit:
            break
        artist = int(artists[song])
        if of_artist.get(artist, 0) < most_per_artist:
            of_artist[artist] = of_artist.get(artist, 0) + 1
            taken.append(int(song))
    return taken


def _in_days(listening: Listening, now: datetime, days: float) -> Floats:
    liked = listening.liked()
    recent = ages(liked, now) <= days
    return np.bincount(liked["item"].to_numpy()[recent], minlength=listening.size).astype(np.float64)
