"""The recommender of this pipeline, with what users have said about tracks in EchoTune."""

from collections.abc import Collection
from datetime import datetime

from echostats_pipeline.marts.echotune.build import EchoTuneMart
from echostats_pipeline.model.users import User
from echostats_pipeline.recommender.building import Feedback, Recommender
from echostats_pipeline.settings import Settings
from echostats_pipeline.storage.store import Store


def recommender_of(store: Store, settings: Settings, now: datetime) -> Recommender:
    """The recommender. It knows what users have said in EchoTune, if the mart is switched on."""
    if "echotune" not in settings.marts:
        return Recommender(store, settings, now)
    mart = EchoTuneMart(store, settings, now, "")

    def feedback(user: User) -> Feedback:
        said = mart.read_feedback(user)
        return Feedback(said.liked | said.saved, said.disliked, mart.favourite_genres(user))

    return Recommender(store, settings, now, feedback)


def disliked_tracks(store: Store, settings: Settings, user: User, now: datetime) -> Collection[str]:
    """Ids of the tracks that a user has disliked in EchoTune until now."""
    if "echotune" not in settings.marts:
        return ()
    return EchoTuneMart(store, settings, now, "").read_feedback(user).disliked
