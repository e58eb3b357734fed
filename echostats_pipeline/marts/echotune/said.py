"""Reads what users have said in EchoTune: feedback about tracks, and favourite genres."""

from collections.abc import Callable
from datetime import datetime

from bson import ObjectId
from pymongo.collection import Collection

from echostats_pipeline.marts.echotune.event_reading import LATE, dismissed
from echostats_pipeline.marts.echotune.recommendations import Feedback, last_words, of_sets
from echostats_pipeline.model.operations import MartState, SetFeedback
from echostats_pipeline.storage.database import Document

Collections = Callable[[str], Collection[Document]]


def keep_feedback(collection: Collections, owner: ObjectId, state: MartState, read_at: datetime) -> Feedback:
    """Read what a user has said about tracks, and keep it in the state: sets and events expire.

    Args:
        collection: Returns a collection of EchoTune's by its name without the prefix.
        owner: The user's id in EchoTune's database.
        state: What was kept until now; it is changed.
        read_at: The present instant, by the database's clock.
    """
    fields = {"user_feedback": 1, "createdAt": 1}
    dismissals = dismissed(collection("analytics_events"), owner, state.dismissals_read_at)
    sets = of_sets(collection("recommendations").find({"userId": owner}, fields).sort("_id", 1), state.sets_read)
    new = [said for each, said in dismissals.items() if each not in state.dismissals_read]
    feedback = last_words(Feedback.kept(state), [*new, *sets.values()])
    for name in ("liked", "disliked", "saved"):
        setattr(state, name, sorted(getattr(feedback, name)))
    state.dismissals_read = [each for each, said in dismissals.items() if said.at >= read_at - LATE]
    state.dismissals_read_at = read_at
    state.sets_read = [
        SetFeedback(set_id=each, liked=sorted(said.now.liked), disliked=sorted(said.now.disliked))
        for each, said in sets.items()
        if said.now.liked or said.now.disliked
    ]
    return feedback


def favourite_genres(collection: Collections, owner: ObjectId) -> list[str]:
    """The favourite genres in a user's preferences."""
    found = collection("user_preferences").find_one({"userId": owner}) or {}
    genres = found.get("favoriteGenres")
    return [each for each in genres if isinstance(each, str)] if isinstance(genres, list) else []
