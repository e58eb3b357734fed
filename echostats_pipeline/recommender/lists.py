"""Lists of recommended tracks: which are candidates, in what order, and the true reason of each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.model.recommendations import (
    Baseline,
    ReasonKind,
    RecommendationList,
    RecommendedTrack,
    Scorer,
    Source,
    Strategy,
    SupportingTrack,
    Task,
)
from echostats_pipeline.recommender.baskets import HALF_LIFE_DAYS
from echostats_pipeline.recommender.listening import Flags, Floats
from echostats_pipeline.recommender.neighbours import CAP, MOST, SHRINKAGE
from echostats_pipeline.recommender.scoring import (
    AGREEMENT,
    BASELINES,
    MODELS,
    OFTEN,
    POPULARITY_DAYS,
    SEED_HALF_LIFE_DAYS,
    SILENT_DAYS,
    Profile,
    Scores,
    Shared,
    Songs,
    candidates_to_discover,
    candidates_to_rediscover,
    ranked,
    score,
)

LONGEST = 50
"""Tracks in a stored list."""
VALID_FOR = timedelta(days=7)
COLD, LUKEWARM = 3, 5
"""With fewer plays than the first, nothing is known of a taste; with fewer than the second, only its sound."""
SIMILAR_TAGS = 0.3
"""Least cosine of the tags of an artist with those of the user."""
PARAMETERS = {
    "basket_half_life_days": HALF_LIFE_DAYS,
    "seed_half_life_days": SEED_HALF_LIFE_DAYS,
    "cap_per_user": CAP,
    "shrinkage": SHRINKAGE,
    "neighbours": float(MOST),
    "weight_basket_knn": 0.5,
    "weight_content": 0.5,
    "agreement": AGREEMENT,
    "most_per_artist": 2.0,
}


@dataclass(frozen=True, eq=False)
class Names:
    """How songs are shown, by their numbers.

    Attributes:
        track_ids: The track that stands for the song.
        names, artist_names, artist_ids, album_names, image_urls: Empty where unknown.
        features: Songs by `AVERAGED_FEATURES` as sources have them; NaN where unknown.
    """

    track_ids: Sequence[str]
    names: Sequence[str]
    artist_names: Sequence[str]
    artist_ids: Sequence[str]
    album_names: Sequence[str]
    image_urls: Sequence[str]
    features: Floats

    def support(self, song: int) -> SupportingTrack:
        """A song as a supporting track."""
        return SupportingTrack(
            spotify_id=self.track_ids[song], name=self.names[song], artist_name=self.artist_names[song]
        )


@dataclass(frozen=True, eq=False)
class Origins:
    """Where songs may come from, for one user; by the numbers of songs.

    Attributes:
        library: Saved by the user, or in a playlist of theirs.
        albums: On albums of artists whom the user plays much.
        similar: On albums of artists whom others play much, and who share them.
        disliked: Marked as disliked by the user.
    """

    library: Flags
    albums: Flags
    similar: Flags
    disliked: Flags

    @classmethod
    def none(cls, size: int) -> "Origins":
        """No library, no albums."""
        return cls(*(np.zeros(size, dtype=bool) for _ in range(4)))


@dataclass(frozen=True)
class Verdict:
    """What the last evaluation decided for a kind of list.

    Attributes:
        served: The model or baseline in force.
        control: What orders the list that is not shown.
        why: The reason in a sentence.
    """

    served: Scorer
    control: Scorer
    why: str


@dataclass(frozen=True, eq=False)
class MadeList:
    """A list, and the songs of the list that is not shown."""

    shown: RecommendationList
    control: Scorer
    control_ids: Sequence[str]


@dataclass(frozen=True, eq=False)
class _Maker:
    """Everything that the reasons of one list rest on."""

    profile: Profile
    shared: Shared
    songs: Songs
    names: Names
    origins: Origins
    scores: Scores
    task: Task
    now: datetime


def unproven(task: Task) -> Verdict:
    """The verdict before the first evaluation."""
    best = BASELINES[task][0]
    return Verdict(best, MODELS[0], f"No model has been evaluated yet, so {best} is served.")


def recommend(
    user_id: str,
    profile: Profile,
    shared: Shared,
    songs: Songs,
    names: Names,
    origins: Origins,
    task: Task,
    verdict: Verdict,
    now: datetime,
) -> MadeList:
    """Make one list of a user.

    Every candidate must have a source that this user may use: plays of others who share them, the user's own library
    and history, and albums of artists. Fewer tracks than `LONGEST` are returned with the reason.
    """
    if task == "discover":
        origins = replace(origins, similar=origins.similar & _has_similar_tags(profile, songs))
        available = (profile.others > 0) | origins.library | origins.albums | origins.similar
        candidates = candidates_to_discover(profile, available, origins.library) & songs.is_listable
    else:
        candidates = candidates_to_rediscover(profile)
    candidates = candidates & ~origins.disliked
    scores = score(profile, shared, songs, candidates)
    maker = _Maker(profile, shared, songs, names, origins, scores, task, now)
    served, why = _served(profile, scores, task, verdict)
    order = ranked(scores.of[served], songs.artists, LONGEST)
    tracks = [_track(maker, served, place, int(song)) for place, song in enumerate(order, start=1)]
    control = verdict.control if verdict.control != served else verdict.served
    others = ranked(scores.of[control], songs.artists, len(order))
    return MadeList(
        RecommendationList(
            user_id=user_id,
            task=task,
            strategy=_strategy(served, tracks),
            model=served,
            is_baseline=served not in MODELS,
            why=why,
            note=_note(task, profile, int(candidates.sum()), int((scores.of[served] > 0).sum()), served, len(tracks)),
            confidence=_confidence(maker, served, tracks),
            plays=profile.plays,
            parameters=PARAMETERS if served in MODELS else {},
            tracks=tracks,
            created_at=now,
            expires_at=now + VALID_FOR,
        ),
        control,
        [names.track_ids[song] for song in others],
    )


def _has_similar_tags(profile: Profile, songs: Songs) -> Flags:
    """Songs whose artists have much the same tags as those the user plays."""
    if profile.taste.tags is None:
        return np.zeros(len(songs.artists), dtype=bool)
    return np.asarray(np.asarray(songs.content.tags @ profile.taste.tags).reshape(-1) >= SIMILAR_TAGS)


def _served(profile: Profile, scores: Scores, task: Task, verdict: Verdict) -> tuple[Scorer, str]:
    """What orders the list: what is in force, unless too little is known of the user, or it has nothing to say."""
    served, why = verdict.served, verdict.why
    if profile.plays < COLD and task == "discover":
        served, why = "popularity", f"{profile.plays} plays say nothing about a taste yet, so popularity is served."
    elif profile.plays < LUKEWARM and served in ("basket_knn", "hybrid"):
        served, why = "content", f"{profile.plays} plays say little about a taste, so only the sound of songs is used."
    if (scores.of[served] > 0).any():
        return served, why
    others: Iterable[Baseline] = (name for name in BASELINES[task] if name not in ("random", served))
    for other in others:
        if (scores.of[other] > 0).any():
            return other, f"{why} But {served} knows none of this user's candidates, so {other} is used."
    return served, why


def _strategy(served: Scorer, tracks: Sequence[RecommendedTrack]) -> Strategy:
    """The strategy; `collaborative` only if another user's plays support a track."""
    if served == "basket_knn":
        return "collaborative" if any(each.reason_kind == "collaborative" for each in tracks) else "own_listening"
    strategies: dict[Scorer, Strategy] = {"hybrid": "hybrid", "content": "content_based"}
    return strategies.get(served, "baseline")


def _track(maker: _Maker, served: Scorer, place: int, song: int) -> RecommendedTrack:
    profile, names = maker.profile, maker.names
    kind, reason, supporting = _reason(maker, served, song)
    shares = maker.scores.share(served, song)
    highest = float(maker.scores.of[served].max())
    value = float(maker.scores.of[served][song])
    days = float(profile.last_days[song])
    compared = bool(maker.scores.by_features[song]) and "content" in shares
    return RecommendedTrack(
        rank=place,
        spotify_id=names.track_ids[song],
        name=names.names[song],
        artist_name=names.artist_names[song],
        artist_id=names.artist_ids[song],
        album_name=names.album_names[song],
        image_url=names.image_urls[song],
        score=round(min(value if served in MODELS else value / highest, 1.0), 4),
        score_shares={name: round(share, 4) for name, share in shares.items()},
        sources=_sources(maker, song),
        heard_before=int(profile.counts[song]),
        last_played_at=maker.now - timedelta(days=days) if np.isfinite(days) else None,
        reason=reason,
        reason_kind=kind,
        supporting=supporting,
        audio_features=dict(zip(AVERAGED_FEATURES, names.features[song].tolist(), strict=True)) if compared else {},
    )


def _sources(maker: _Maker, song: int) -> list[Source]:
    if maker.task == "rediscover":
        return ["own_history"]
    sources: list[Source] = []
    if maker.profile.others[song] > 0:
        sources.append("other_users")
    if maker.origins.library[song]:
        sources.append("library")
    if maker.origins.albums[song]:
        sources.append("artist_albums")
    if maker.origins.similar[song]:
        sources.append("similar_tags")
    return sources


def _reason(maker: _Maker, served: Scorer, song: int) -> tuple[ReasonKind, str, list[SupportingTrack]]:
    """The reason of a track: that of the part of the score that adds most to it."""
    if served in MODELS:
        shares = maker.scores.share(served, song)
        if shares.get("basket_knn", 0.0) >= shares.get("content", 0.0):
            return _heard_along(maker, song)
        return _sounds_alike(maker, song)
    return "baseline", _of_baseline(maker, served, song), []


def _heard_along(maker: _Maker, song: int) -> tuple[ReasonKind, str, list[SupportingTrack]]:
    """The two of the user's songs that add most to the score, and who has heard them along with this one."""
    profile = maker.profile
    seeds = profile.seeds()
    similarities = profile.neighbours.similarities(seeds)[:, [song]].toarray().reshape(-1)
    added = profile.weights[seeds] * similarities
    order = [int(seeds[at]) for at in np.lexsort((seeds, -added)) if added[at] > 0]
    best = order[:2]
    by_others = [seed for seed in best if profile.heard_by_others(seed, song, maker.shared)]
    named = by_others or best
    titles = " and ".join(f"“{maker.names.names[seed]}”" for seed in named)
    supporting = [maker.names.support(seed) for seed in named]
    if by_others:
        return "collaborative", f"Others here play it along with {titles}, which you play.", supporting
    return "own_listening", f"You have played it along with {titles}, which you play now.", supporting


def _sounds_alike(maker: _Maker, song: int) -> tuple[ReasonKind, str, list[SupportingTrack]]:
    if maker.scores.by_features[song]:
        return "features", f"It sounds like what you play: {_sound(maker.names.features[song])}.", []
    content, taste = maker.songs.content, maker.profile.taste
    row = content.tags[[song]].toarray().reshape(-1) * (taste.tags if taste.tags is not None else 0.0)
    best = [content.tag_names[tag] for tag in np.lexsort((np.arange(len(row)), -row))[:2] if row[tag] > 0]
    return "tags", f"You play much {' and '.join(best)}.", []


def _sound(features: Floats) -> str:
    """Energy, mood and tempo in words, with EchoTune's limits."""
    of = dict(zip(AVERAGED_FEATURES, features.tolist(), strict=True))

    def word(name: str, high: float, middle: float, words: Sequence[str]) -> str:
        return words[0] if of[name] >= high else words[1] if of[name] >= middle else words[2]

    return ", ".join(
        (
            word("energy", 0.7, 0.4, ("high energy", "moderate energy", "calm")),
            word("valence", 0.7, 0.4, ("positive", "neutral", "melancholic")),
            word("tempo", 140, 90, ("fast", "moderate tempo", "slow")),
        )
    )


def _of_baseline(maker: _Maker, served: Scorer, song: int) -> str:
    profile, names = maker.profile, maker.names
    if served == "own_most_played":
        return f"You have played it {_times(int(profile.counts[song]))}."
    if served == "own_artists":
        return f"You have played songs by {names.artist_names[song]} {_times(_plays_of_artist(maker, song))}."
    plays = int(maker.shared.popularity[song])
    who = "here" if profile.last_days[song] <= POPULARITY_DAYS else "by others here"
    if served == "popularity" or plays:
        return f"Played {_times(plays)} {who} in the last {POPULARITY_DAYS:.0f} days."
    return f"Played {who}, though not in the last {POPULARITY_DAYS:.0f} days."


def _plays_of_artist(maker: _Maker, song: int) -> int:
    return int(maker.profile.counts[maker.songs.artists == maker.songs.artists[song]].sum())


def _times(plays: int) -> str:
    return {1: "once", 2: "twice"}.get(plays, f"{plays:,} times")


def _note(task: Task, profile: Profile, candidates: int, scored: int, served: Scorer, shown: int) -> str:
    """Why the list is short; empty if it is not."""
    if shown == LONGEST:
        return ""
    if task == "rediscover":
        if not candidates:
            return f"No song was played {OFTEN} times or more and then not for {SILENT_DAYS:.0f} days."
        return f"{_songs(candidates)} were played {OFTEN} times or more and then not for {SILENT_DAYS:.0f} days."
    few = f" {profile.plays} plays are little to go by." if profile.plays < LUKEWARM else ""
    if not candidates:
        return (
            "There are no new songs to choose from: no other user shares plays of other songs, the library holds no "
            f"unheard song, and no albums of your artists were read yet.{few}"
        )
    known = "" if scored == candidates else f"; {served} has an opinion on {scored:,} of them"
    return f"{_songs(candidates)} to choose from{known}; at most two of an artist are listed.{few}"


def _songs(number: int) -> str:
    return "1 song" if number == 1 else f"{number:,} songs"


def _confidence(maker: _Maker, served: Scorer, tracks: Sequence[RecommendedTrack]) -> float:
    """How sure a list is, by the formulas of EchoTune: similarity and length of the history, or number of seeds."""
    if served not in MODELS or not tracks:
        return 0.0
    profile = maker.profile
    seeds = profile.seeds()
    similarities = profile.neighbours.similarities(seeds)
    of_knn = float(similarities.data.mean()) * min(profile.plays / 20, 1.0) if similarities.nnz else 0.0
    of_content = min(len(seeds) / 3, 1.0) * 0.8 * max(profile.taste.features_share, profile.taste.tags_share)
    of_hybrid = (of_knn + of_content) / 2 * (1 + 0.2 * 2 / 3)
    parts: dict[Scorer, float] = {"basket_knn": of_knn, "content": of_content, "hybrid": of_hybrid}
    return round(min(parts[served], 1.0), 4)
