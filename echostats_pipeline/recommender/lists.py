"""Lists of recommended tracks: which songs are candidates, what orders them, and how sure a list is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from echostats_pipeline.model.recommendations import (
    FurtherList,
    Model,
    RecommendationList,
    RecommendedTrack,
    Scorer,
    Strategy,
    Task,
)
from echostats_pipeline.recommender.baskets import HALF_LIFE_DAYS
from echostats_pipeline.recommender.listening import Flags
from echostats_pipeline.recommender.moods import FEWEST_OF_MOOD, FITS, MOODS, likeness_to
from echostats_pipeline.recommender.neighbours import CAP, MOST, SHRINKAGE
from echostats_pipeline.recommender.scoring import (
    AGREEMENT,
    BASELINES,
    MODELS,
    OFTEN,
    SEED_HALF_LIFE_DAYS,
    SILENT_DAYS,
    Profile,
    Scores,
    Shared,
    Songs,
    candidates_to_rediscover,
    preferring,
    ranked,
    score,
    unheard,
)
from echostats_pipeline.recommender.tracks import Maker, Names, Origins, made_track, mood_track
from echostats_pipeline.recommender.wording import UNPROVEN, ordered_by

LONGEST = 50
"""Tracks in a stored list."""
FURTHER = 40
"""Tracks in a list of one model or mood: a reader of several lists leaves out those that another list has."""
SINGLE: Mapping[Model, Strategy] = {"basket_knn": "collaborative", "content": "content_based"}
"""Models that have a list of their own besides the main one, and what it is called."""
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


@dataclass(frozen=True)
class Verdict:
    """What the last evaluation decided for a kind of list.

    Attributes:
        served: The model or baseline in force.
        control: What orders the list that is not shown.
        why: The reason as part of a sentence.
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


def unproven(task: Task) -> Verdict:
    """The verdict before the first evaluation."""
    best = BASELINES[task][0]
    return Verdict(best, MODELS[0], UNPROVEN)


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
        candidates = available & unheard(profile) & songs.is_listable
    else:
        candidates = candidates_to_rediscover(profile)
    candidates = candidates & ~origins.disliked
    scores = score(profile, shared, songs, candidates)
    if task == "discover" and profile.plays < COLD:
        scores = preferring(scores, origins.preferred)
    maker = Maker(profile, shared, songs, names, origins, scores, task, now)
    served, why = _served(profile, scores, task, verdict)
    order = ranked(scores.of[served], songs.artists, LONGEST)
    tracks = [made_track(maker, served, place, int(song)) for place, song in enumerate(order, start=1)]
    control = verdict.control if verdict.control != served else verdict.served
    others = ranked(scores.of[control], songs.artists, len(order))
    strategy = _strategy(served, verdict, tracks)
    further: list[FurtherList] = []
    if task == "discover":
        further = [*_of_models(maker, served, strategy, verdict), *_of_moods(maker, candidates)]
    return MadeList(
        RecommendationList(
            user_id=user_id,
            task=task,
            strategy=strategy,
            model=served,
            is_baseline=_is_baseline(served, verdict),
            why=why,
            note=_note(task, profile, int(candidates.sum()), int((scores.of[served] > 0).sum()), served, len(tracks)),
            confidence=_confidence(maker, served, tracks),
            plays=profile.plays,
            parameters=PARAMETERS if served in MODELS else {},
            tracks=tracks,
            further=further,
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
    """What orders the list and a sentence about it.

    It is what is in force, unless too little is known of the user, or it has nothing to say.
    """
    served, why = verdict.served, verdict.why
    if profile.plays < COLD and task == "discover":
        served, why = "recent_popularity", f"{_knowing(profile)} nothing is known of a taste yet"
    elif profile.plays < LUKEWARM and served in ("basket_knn", "hybrid"):
        served, why = "content", f"{_knowing(profile)} little is known of a taste, so only the sound of songs counts"
    elif profile.plays < LUKEWARM:
        why = f"{why}, and {_knowing(profile)} little is known of a taste"
    last: Sequence[Scorer] = ("own_artists", "spotify_popularity") if task == "discover" else ()
    for other in (served, *(name for name in (*BASELINES[task], *last) if name not in ("random", served))):
        if (scores.of[other] > 0).any():
            if other != served:
                why = f"{why}, and {served} knows none of the songs to choose from"
            served = other
            break
    return served, ordered_by(served, why, is_active=not _is_baseline(served, verdict))


def _knowing(profile: Profile) -> str:
    return "without plays" if not profile.plays else f"with {profile.plays} play{'s' * (profile.plays > 1)}"


def _is_baseline(served: Scorer, verdict: Verdict) -> bool:
    """Whether no active model orders the list: a model may also stand in where the baseline knows no song."""
    return served not in MODELS or verdict.served not in MODELS


def _strategy(served: Scorer, verdict: Verdict, tracks: Sequence[RecommendedTrack]) -> Strategy:
    """The strategy; `collaborative` only if another user's plays support a track."""
    if _is_baseline(served, verdict):
        return "baseline"
    if served == "basket_knn":
        return "collaborative" if any(each.reason_kind == "collaborative" for each in tracks) else "own_listening"
    strategies: dict[Scorer, Strategy] = {
        "hybrid": "hybrid",
        "content": "content_based",
        "own_artists": "content_based",
    }
    return strategies.get(served, "baseline")


def _of_models(maker: Maker, served: Scorer, shown: Strategy, verdict: Verdict) -> Iterator[FurtherList]:
    """The lists of single models that do not order the main list."""
    for model, strategy in SINGLE.items():
        if model == served or strategy == shown:
            continue
        order = ranked(maker.scores.of[model], maker.songs.artists, LONGEST)
        tracks = [made_track(maker, model, place, int(song)) for place, song in enumerate(order, start=1)]
        if strategy == "collaborative":
            tracks = [each for each in tracks if each.reason_kind == "collaborative"]
        chosen = [each.model_copy(update={"rank": rank}) for rank, each in enumerate(tracks[:FURTHER], start=1)]
        if chosen:
            yield FurtherList(
                strategy=strategy,
                model=model,
                is_active=model == verdict.served,
                confidence=_confidence(maker, model, chosen),
                tracks=chosen,
            )


def _of_moods(maker: Maker, candidates: Flags) -> Iterator[FurtherList]:
    """The lists of moods: the songs that sound most like each."""
    for mood, targets in MOODS.items():
        likeness = np.where(candidates, likeness_to(targets, maker.names.features), 0.0)
        order = ranked(np.where(likeness >= FITS, likeness, 0.0), maker.songs.artists, FURTHER)
        if len(order) < FEWEST_OF_MOOD:
            continue
        yield FurtherList(
            strategy="mood_based",
            mood=mood,
            targets=dict(targets),
            model="content",
            is_active=False,
            confidence=round(float(likeness[order].mean()), 4),
            tracks=[
                mood_track(maker, mood, float(likeness[song]), place, int(song))
                for place, song in enumerate(order, start=1)
            ],
        )


def _note(task: Task, profile: Profile, candidates: int, scored: int, served: Scorer, shown: int) -> str:
    """Why the list is short; empty if it is not."""
    if shown == LONGEST:
        return ""
    if task == "rediscover":
        if not candidates:
            return f"No song was played {OFTEN} times or more and then not for {SILENT_DAYS:.0f} days."
        return f"{_songs(candidates)} were played {OFTEN} times or more and then not for {SILENT_DAYS:.0f} days."
    few = (
        f" {_knowing(profile).capitalize()} little is known of a taste."
        if not shown and profile.plays < LUKEWARM
        else ""
    )
    if not candidates:
        return (
            "There are no new songs to choose from: no other user shares plays of other songs, the library holds no "
            f"unheard song, and no albums of your artists were read yet.{few}"
        )
    known = "" if scored == candidates else f"; {served} has an opinion on {scored:,} of them"
    return f"{_songs(candidates)} to choose from{known}; at most two of an artist are listed.{few}"


def _songs(number: int) -> str:
    return "1 song" if number == 1 else f"{number:,} songs"


def _confidence(maker: Maker, served: Scorer, tracks: Sequence[RecommendedTrack]) -> float:
    """How sure a list is, by the formulas of EchoTune: similarity and length of the history, or number of seeds."""
    if served not in MODELS or not tracks:
        return 0.0
    profile = maker.profile
    seeds, similarities = maker.seeds, maker.similarities
    of_knn = float(similarities.data.mean()) * min(profile.plays / 20, 1.0) if similarities.nnz else 0.0
    of_content = min(len(seeds) / 3, 1.0) * 0.8 * max(profile.taste.features_share, profile.taste.tags_share)
    of_hybrid = (of_knn + of_content) / 2 * (1 + 0.2 * 2 / 3)
    of_artists = min(len(seeds) / 3, 1.0) * 0.8
    parts: dict[Scorer, float] = {
        "basket_knn": of_knn,
        "content": of_content,
        "hybrid": of_hybrid,
        "own_artists": of_artists,
    }
    return round(min(parts[served], 1.0), 4)
