"""Maps the recommender's lists to EchoTune's sets of four types, and reads what users said about them.

A set repeats what the recommender found, with its true strategy and reason for each track. No track is added to fill a
type: where nothing fits, there is no set of this type.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId

from echostats_pipeline.marts.echotune.music_documents import RecommendationType
from echostats_pipeline.marts.ids import object_id
from echostats_pipeline.marts.writing import SOURCE, SharedDocument
from echostats_pipeline.model.operations import MartState, SetFeedback

VALID_FOR = timedelta(days=7)
SUPERSEDED_WITHIN = timedelta(hours=23)
"""A set that is made again so soon replaces the one before: no track is recommended twice in a day. Nightly sets are a
day apart, give or take some minutes."""
LONGEST = 20
NEVER = datetime.min.replace(tzinfo=UTC)
TYPES: Mapping[str, RecommendationType] = {
    "collaborative": "collaborative",
    "content_based": "content_based",
    "mood_based": "mood_based",
    "hybrid": "hybrid",
    # EchoTune has no type for these; each track says its true strategy.
    "own_listening": "hybrid",
    "baseline": "hybrid",
}
"""EchoTune's type by the recommender's strategy."""


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
    artist_id: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)
    supporting: tuple[str, ...] = ()
    seed_artists: tuple[str, ...] = ()
    genres: tuple[str, ...] = ()
    features: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def stored(cls, track: Mapping[str, Any]) -> "Recommended":
        """Read a track of a document of the core's ``recommendations``."""
        named = [track] if track["reason_kind"] == "artist" else track["supporting"]
        artists = [each.get("artist_id") or "" for each in named]
        return cls(
            track_id=track["spotify_id"],
            name=track["name"],
            artist=track["artist_name"],
            album=track["album_name"],
            score=track["score"],
            reason=track["reason"],
            reason_kind=track["reason_kind"],
            artist_id=track.get("artist_id") or "",
            shares=track["score_shares"],
            supporting=tuple(one["spotify_id"] for one in track["supporting"]),
            seed_artists=tuple(each for each in artists if each),
            genres=tuple(track.get("genres") or ()),
            features=track.get("audio_features") or {},
        )


@dataclass(frozen=True)
class RecommendedList:
    """A list of the recommender: what kind of list it is, how it was made and when, and its tracks, best first.

    Attributes:
        task: `discover`, `rediscover`, or a mood.
        targets: The audio features of the mood.
        in_force: Whether the active model, or the baseline served, ordered the list.
        rank: Lists of one night with a higher rank come first where a reader asks for the newest set of a type.
    """

    task: str
    strategy: str
    model: str
    is_baseline: bool
    why: str
    confidence: float
    created_at: datetime
    tracks: tuple[Recommended, ...]
    weights: Mapping[str, float] = field(default_factory=dict)
    targets: Mapping[str, float] = field(default_factory=dict)
    rank: int = 0
    in_force: bool = True

    @classmethod
    def stored(cls, document: Mapping[str, Any]) -> "list[RecommendedList]":
        """Read a document of the core's ``recommendations``: the list in force, then those of models and moods."""
        main = cls(
            document["task"],
            document["strategy"],
            document["model"],
            document["is_baseline"],
            document["why"],
            document["confidence"],
            document["created_at"],
            tuple(map(Recommended.stored, document["tracks"])),
            document.get("parameters") or {},
            rank=1 if document["task"] == "discover" else 0,
        )
        return [main, *(main.beside(each) for each in document.get("further") or [])]

    def beside(self, further: Mapping[str, Any]) -> "RecommendedList":
        """A list of a single model, or of a mood, that was made together with this one."""
        mood = further["mood"]
        unproven = (
            f"The tracks are ordered by their likeness to the mood {mood}, whatever model is active."
            if mood
            else f"The tracks are ordered by {further['model']} alone, which is not the active model."
        )
        return replace(
            self,
            task=mood or self.task,
            strategy=further["strategy"],
            model=further["model"],
            is_baseline=False,
            why=self.why if further["is_active"] else unproven,
            confidence=further["confidence"],
            tracks=tuple(map(Recommended.stored, further["tracks"])),
            targets=further["targets"],
            rank=0,
            in_force=False,
        )


@dataclass(frozen=True)
class Feedback:
    """Ids of tracks that a user has liked, disliked and saved in an application."""

    liked: frozenset[str] = frozenset()
    disliked: frozenset[str] = frozenset()
    saved: frozenset[str] = frozenset()

    def after(self, said: "Said") -> "Feedback":
        """This feedback followed by what was said in one place since: the last word about a track counts."""
        before, now = said.before, said.now
        disliked = now.disliked - before.disliked
        liked = now.liked - before.liked - disliked
        return Feedback(
            (self.liked - (before.liked - now.liked) - disliked) | liked,
            (self.disliked - (before.disliked - now.disliked) - liked) | disliked,
            (self.saved - (before.saved - now.saved)) | now.saved,
        )

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

    @classmethod
    def kept(cls, state: MartState) -> "Feedback":
        """The feedback that was kept of a user when documents were last read."""
        return cls(frozenset(state.liked), frozenset(state.disliked), frozenset(state.saved))


@dataclass(frozen=True)
class Said:
    """What a set or an event says about tracks, and what it said when it was last read.

    Attributes:
        at: When the set was made, or the event happened. What is new in a set was said later than this, and a user who
            dismisses a track says nothing more about it in the same set.
    """

    at: datetime
    now: Feedback
    before: Feedback = Feedback()


def of_sets(sets: Iterable[Mapping[str, Any]], read: Iterable[SetFeedback]) -> dict[str, Said]:
    """What sets say now and said when they were last read, by the id of the set as a text."""
    before = {each.set_id: Feedback(frozenset(each.liked), frozenset(each.disliked)) for each in read}
    return {
        str(each["_id"]): Said(
            each["createdAt"] if isinstance(each.get("createdAt"), datetime) else NEVER,
            Feedback.stored(each),
            before.get(str(each["_id"]), Feedback()),
        )
        for each in sets
    }


def last_words(kept: Feedback, said: Iterable[Said]) -> Feedback:
    """The feedback of a user from what was kept of it, and what sets and events say now."""
    for each in sorted(said, key=lambda one: one.at):
        kept = kept.after(each)
    return kept


def recommendation_documents(
    lists: Iterable[RecommendedList], user: ObjectId, left_out: Collection[str], now: datetime
) -> Iterator[SharedDocument]:
    """The sets of a user as `music_documents.EchoTuneRecommendations`, from the recommender's present lists.

    A track is in one set only: in that of the list in force, or else in the first set that has it.

    Args:
        lists: The present lists of the recommender.
        user: The user's id in EchoTune's database.
        left_out: Tracks that were disliked, or recommended on the same day in sets that stay.
        now: The present instant; lists that have expired are left out.
    """
    taken = set(left_out)
    for each in sorted(lists, key=lambda made: not made.in_force):
        if each.created_at + VALID_FOR <= now:
            continue
        tracks = [track for track in each.tracks if track.track_id not in taken][:LONGEST]
        taken |= {track.track_id for track in tracks}
        if tracks:
            yield _set(each, TYPES[each.strategy], tracks, user)


def staying(lists: Collection[RecommendedList], user: ObjectId) -> dict[str, Any]:
    """The query for sets of the same day that these lists do not replace, because their user has said something."""
    made = min(each.created_at for each in lists)
    said = [{f"user_feedback.{name}_tracks.0": {"$exists": True}} for name in ("liked", "disliked", "saved")]
    earlier = {"$gt": made - SUPERSEDED_WITHIN, "$lt": made}
    return {"userId": user, "source": SOURCE, "createdAt": earlier, "$or": said}


def superseded(made: Collection[SharedDocument], user: ObjectId) -> dict[str, Any] | None:
    """The query for sets of the same day that these replace; None without any. Sets with feedback stay."""
    newest = max((each.fields["createdAt"] for each in made), default=None)
    if newest is None:
        return None
    said = ({f"user_feedback.{name}_tracks.0": {"$exists": False}} for name in ("liked", "disliked", "saved"))
    return {
        "userId": user,
        "source": SOURCE,
        "_id": {"$nin": [each.id for each in made]},
        "createdAt": {"$gt": newest - SUPERSEDED_WITHIN, "$lte": newest},
        "$and": list(said),
    }


def _set(
    made: RecommendedList, kind: RecommendationType, tracks: Sequence[Recommended], user: ObjectId
) -> SharedDocument:
    made_at = made.created_at + timedelta(milliseconds=made.rank)
    return SharedDocument(
        object_id("echotune_recommendations", user, kind, made.task, int(made.created_at.timestamp() * 1000)),
        {
            "userId": user,
            "recommendation_type": kind,
            "tracks": [_item(made, track) for track in tracks],
            "parameters": {
                "seed_tracks": list(dict.fromkeys(seed for track in tracks for seed in track.supporting)),
                "seed_artists": list(dict.fromkeys(seed for track in tracks for seed in track.seed_artists)),
                "seed_genres": list(dict.fromkeys(genre for track in tracks for genre in track.genres)),
                **({"target_features": dict(made.targets)} if made.targets else {}),
                **({"weights": dict(made.weights)} if made.weights else {}),
                "context": made.task,
            },
            "confidence_score": min(max(made.confidence, 0.0), 1.0),
            "model": made.model,
            "is_baseline": made.is_baseline,
            "why": made.why,
            "createdAt": made_at,
            "expiresAt": made_at + VALID_FOR,
        },
        first={"user_feedback": {"liked_tracks": [], "disliked_tracks": [], "saved_tracks": []}},
    )


def _item(made: RecommendedList, track: Recommended) -> dict[str, Any]:
    own = {"collaborative": "collaborative", "features": "content_based", "tags": "content_based"}
    strategy = own.get(track.reason_kind, track.reason_kind) if made.strategy == "hybrid" else made.strategy
    return {
        "trackId": track.track_id,
        "name": track.name,
        "artist": track.artist,
        **({"artistId": track.artist_id} if track.artist_id else {}),
        "album": track.album,
        "score": min(max(track.score, 0.0), 1.0),
        "strategy": strategy,
        "reason": track.reason,
        "components": dict(track.shares),
        **({"audioFeatures": dict(track.features)} if track.features else {}),
    }
