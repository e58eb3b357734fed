"""Says in plain words what ordered a list, and why."""

from collections.abc import Mapping

from echostats_pipeline.model.recommendations import Scorer
from echostats_pipeline.recommender.scoring import MODELS

ORDERED_BY: Mapping[Scorer, str] = {
    "basket_knn": "what is heard together with the songs that you play now",
    "content": "how much a song sounds like what you play now",
    "hybrid": "what is heard together with the songs that you play now, or sounds like them",
    "own_artists": "how much you play the artist",
    "popularity": "what was played most here in the last 28 days",
    "recent_popularity": "what was played most here in the last days",
    "own_most_played": "how often you have heard a song",
    "spotify_popularity": "how popular a song is on Spotify",
    "random": "chance",
}
UNPROVEN = "no model was tested yet"
PROVEN = "in the last test it foretold what people play better than the best simple baseline"
NOT_PROVEN = "no model has proved better yet"
DECIDED = "a person has decided so"


def ordered_by(scorer: Scorer, why: str, *, is_active: bool) -> str:
    """A sentence on what ordered a list.

    Args:
        scorer: The model or baseline.
        why: Why it did, as part of a sentence.
        is_active: Whether it is a model that has proved better than the baselines, or that a person has chosen.
    """
    kind = "" if is_active else ", a model without proof" if scorer in MODELS else ", a simple baseline"
    return f"Ordered by {ORDERED_BY[scorer]} ({scorer}{kind}): {why}."
