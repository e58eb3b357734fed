"""Maps the recommender's lists to EchoTune's sets of four types, and reads what users said about them.

A set repeats what the recommender found, with its true strategy and reason for each track. No track is added to fill a
type: where nothing fits, there is no set of this type.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from echostats_pipeline.marts.echotune.music_documents import RecommendationType
from echostats_pipeline.marts.ids import object_id
from echostats_pipeline.marts.writing import SharedDocument

VALID_FOR = timedelta(days=7)
LONGEST = 20
TYPES: Mapping[str, RecommendationType] = {
    "collaborative": "collaborative",
    "content_based": "content_based",
    "hybrid": "hybrid",
    # EchoTune has no type for these; each track says its true strategy.
    "own_listening": "hybrid",
    "baseline": "hybrid",
}
KINDS: Mapping[str, RecommendationType] = {
    "collaborative": "collaborative",
    "features": "content_based",
    "tags": "content_based",
}
"""EchoTune's type of a track by what its reason rests on."""
MOODS: Mapping[str, Mapping[str, float]] = {
    "happy": {"valence": 0.8, "energy": 0.7, "danceability": 0.7},
    "sad": {"valence": 0.2, "energy": 0.3, "acousticness": 0.8},
    "energetic": {"energy": 0.9, "danceability": 0.8, "tempo": 140},
    "calm": {"valence": 0.5, "energy": 0.3, "acousticness": 0.7},
    "romantic": {"valence": 0.6, "energy": 0.4, "acousticness": 0.6},
}
"""Audio features that EchoTune aims at for each mood."""
TEMPO_RANGE = 200
FITS = 0.8
"""Least similarity of a track to the features of a mood."""
FEWEST_OF_MOOD = 3


@dataclass(frozen=True)
class Recommended:
    """One track of a list of the recommender."""

    track_id: str
    name: str
    artist: str
    album: str
    score: float
    reason: str
    reason_kind: str
    shares: Mapping[str, float] = field(default_factory=dict)
    supporting: tuple[str, ...] = ()
    features: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RecommendedList:
    """A list of the recommender: what kind of list it is, how it was made and when, and its tracks, best first."""

    task: str
    strategy: str
    model: str
    is_baseline: bool
    why: str
    confidence: float
    created_at: datetime
    tracks: tuple[Recommended, ...]

    @classmethod
    def stored(cls, document: Mapping[str, Any], features: Mapping[str, Mapping[str, float]]) -> "RecommendedList":
        """Read a document of the core's ``recommendations``, with audio features by track id."""
        return cls(
            document["task"],
            document["strategy"],
            document["model"],
            document["is_baseline"],
            document["why"],
            document["confidence"],
            document["created_at"],
            tuple(
                Recommended(
                    track_id=each["spotify_id"],
                    name=each["name"],
                    artist=each["artist_name"],
                    album=each["album_name"],
                    score=each["score"],
                    reason=each["reason"],
                    reason_kind=each["reason_kind"],
                    shares=each["score_shares"],
                    supporting=tuple(one["spotify_id"] for one in each["supporting"]),
                    features=features.get(each["spotify_id"], {}),
                )
                for each in document["tracks"]
            ),
        )


@dataclass(frozen=True)
class Feedback:
    """Ids of tracks that a user has liked, disliked and saved in an application."""

    liked: frozenset[str] = frozenset()
    disliked: frozenset[str] = frozenset()
    saved: frozenset[str] = frozenset()

    def after(self, newer: Iterable["Feedback"]) -> "Feedback":
        """This feedback followed by newer ones, oldest first: the last word about a track counts."""
        liked, disliked, saved = set(self.liked), set(self.disliked), set(self.saved)
        for each in newer:
            liked = (liked - each.disliked) | (each.liked - each.disliked)
            disliked = (disliked - each.liked) | each.disliked
            saved |= each.saved
        return Feedback(frozenset(liked), frozenset(disliked), frozenset(saved))

    @classmethod
    def stored(cls, document: Mapping[str, Any]) -> "Feedback":
        """The feedback in a document of EchoTune's ``recommendations``; other types of values are ignored."""
        said = document.get("user_feedback")
        said = said if isinstance(said, Mapping) else {}

        def ids(name: str) -> frozenset[str]:
            found = said.get(f"{name}_tracks")
            texts = (each for each in found if isinstance(each, str)) if isinstance(found, list) else ()
            return frozenset(each.removeprefix("spotify:track:") for each in texts)

        return cls(ids("liked"), ids("disliked"), ids("saved"))


def recommendation_documents(
    lists: Iterable[RecommendedList], user: ObjectId, disliked: Collection[str], now: datetime
) -> Iterator[SharedDocument]:
    """The sets of a user as `music_documents.EchoTuneRecommendations`, from the recommender's present lists.

    A list becomes a set of its own type. From the list of unheard tracks also come sets of the other types, with the
    tracks whose reason is of this type, and sets for moods, with the tracks that sound like it.

    Args:
        lists: The present lists of the recommender.
        user: The user's id in EchoTune's database.
        disliked: Tracks that are left out.
        now: The present instant; lists that have expired are left out.
    """
    for each in lists:
        if each.created_at + VALID_FOR <= now:
            continue
        tracks = [track for track in each.tracks if track.track_id not in disliked]
        main = TYPES[each.strategy]
        yield from _set(each, main, tracks, user, each.task)
        if each.task != "discover":
            continue
        for kind in ("collaborative", "content_based"):
            if kind != main:
                of_kind = [track for track in tracks if KINDS.get(track.reason_kind) == kind]
                yield from _set(each, kind, of_kind, user, each.task)
        for mood, targets in MOODS.items():
            yield from _mood(each, mood, targets, tracks, user)


def _mood(
    made: RecommendedList, mood: str, targets: Mapping[str, float], tracks: Iterable[Recommended], user: ObjectId
) -> Iterator[SharedDocument]:
    fitting = sorted(
        ((likeness, track) for track in tracks if (likeness := likeness_to(targets, track.features)) >= FITS),
        key=lambda pair: (-pair[0], pair[1].track_id),
    )
    if len(fitting) < FEWEST_OF_MOOD:
        return
    yield from _set(
        made,
        "mood_based",
        [track for _, track in fitting],
        user,
        mood,
        scores={track.track_id: likeness for likeness, track in fitting},
        targets=targets,
    )


def likeness_to(targets: Mapping[str, float], features: Mapping[str, float]) -> float:
    """How much a track sounds like a mood, 0 to 1; 0 if one of the features is unknown."""
    if any(features.get(name) is None for name in targets):
        return 0.0
    ranges = {"tempo": TEMPO_RANGE}
    distances = (min(abs(features[name] - value) / ranges.get(name, 1), 1.0) for name, value in targets.items())
    return round(1 - sum(distances) / len(targets), 4)


def _set(
    made: RecommendedList,
    kind: RecommendationType,
    tracks: Iterable[Recommended],
    user: ObjectId,
    context: str,
    *,
    scores: Mapping[str, float] | None = None,
    targets: Mapping[str, float] | None = None,
) -> Iterator[SharedDocument]:
    chosen = list(tracks)[:LONGEST]
    if not chosen:
        return
    seeds = list(dict.fromkeys(seed for track in chosen for seed in track.supporting))
    yield SharedDocument(
        object_id("echotune_recommendations", user, kind, context, int(made.created_at.timestamp() * 1000)),
        {
            "userId": user,
            "recommendation_type": kind,
            "tracks": [_item(made, track, kind, context, scores) for track in chosen],
            "parameters": {
                "seed_tracks": seeds,
                "seed_artists": [],
                "seed_genres": [],
                **({} if targets is None else {"target_features": dict(targets)}),
                "context": context,
            },
            "confidence_score": min(max(made.confidence, 0.0), 1.0),
            "model": made.model,
            "is_baseline": made.is_baseline,
            "why": made.why,
            "createdAt": made.created_at,
            "expiresAt": made.created_at + VALID_FOR,
        },
        first={"user_feedback": {"liked_tracks": [], "disliked_tracks": [], "saved_tracks": []}},
    )


def _item(
    made: RecommendedList, track: Recommended, kind: str, mood: str, scores: Mapping[str, float] | None
) -> dict[str, Any]:
    own = {"collaborative": "collaborative", "features": "content_based", "tags": "content_based"}
    strategy = own.get(track.reason_kind, track.reason_kind) if made.strategy == "hybrid" else made.strategy
    item: dict[str, Any] = {
        "trackId": track.track_id,
        "name": track.name,
        "artist": track.artist,
        "album": track.album,
        "score": min(max(track.score, 0.0), 1.0),
        "strategy": strategy,
        "reason": track.reason,
    }
    if scores is not None:
        item |= {"score": scores[track.track_id], "strategy": kind, "reason": f"It sounds {mood}. {track.reason}"}
        return item
    return {**item, **({"components": dict(track.shares)} if track.shares else {})}
