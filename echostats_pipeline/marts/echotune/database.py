"""The database of EchoTune: its collections with their documents, indexes and validators."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from bson import ObjectId

from echostats_pipeline.marts.echotune.cache import EchoTuneCache, forget_keys
from echostats_pipeline.marts.echotune.documents import (
    EchoTuneChat,
    EchoTuneEvent,
    EchoTunePlay,
    EchoTunePreferences,
    EchoTuneUser,
)
from echostats_pipeline.marts.echotune.music_documents import EchoTunePlaylist, EchoTuneRecommendations, EchoTuneTrack
from echostats_pipeline.marts.ids import object_id
from echostats_pipeline.marts.writing import SOURCE
from echostats_pipeline.model.collections import DAY_SECONDS, Collection, Database, Index, by, text
from echostats_pipeline.model.operations import Reads
from echostats_pipeline.settings import Settings

MART = "echotune"
PLAYS, PROFILE, LIBRARY, LISTS = "echotune_plays", "echotune_profile", "echotune_playlists", "echotune_recommendations"
"""The mart's readers of change marks: plays are read by date, and the others as a whole."""
CONSUMERS: Mapping[str, Reads] = MappingProxyType(
    {
        PLAYS: Reads(("listening_history",), by_date=True),
        PROFILE: Reads(("analytics_snapshots", "catalog", "users")),
        LIBRARY: Reads(("playlist_contents", "generated_playlists")),
        LISTS: Reads(("recommendations",)),
    }
)
OWNED = ("listening_history", "recommendations", "playlists", "user_preferences", "analytics_events", "chat_sessions")
"""The collections of EchoTune whose documents name their user, without the prefix."""
LAYOUT = 2
"""Version of the documents; change it with what `plays`, `profile` and the other mappings produce."""
EVENT_DAYS, CHAT_DAYS = 90, 30


def user_object_id(user_id: str) -> ObjectId:
    """The id of a user in EchoTune's database, from the id in the core."""
    return object_id("echotune_users", user_id)


OwnedCollection = partial(Collection, owner_field="userId", owner_id=user_object_id, validation="error")


def unique_sparse(field: str) -> Index:
    """An index on a field that is unique where it exists."""
    return by(field, unique=True, sparse=True)


def database(settings: Settings) -> Database:
    """The declaration of EchoTune's database under the names that the settings give."""
    prefix, url = settings.echotune_prefix, settings.redis_url
    return Database(
        settings.echotune_db,
        (
            Collection(
                f"{prefix}users",
                EchoTuneUser,
                (unique_sparse("spotifyId"), unique_sparse("email"), by("createdAt"), by("lastActive")),
                owner_field="_id",
                owner_id=user_object_id,
                secrets=("accessToken", "refreshToken", "tokenExpiresAt", "jwtSecret"),
                validation="error",
            ),
            OwnedCollection(
                f"{prefix}listening_history",
                EchoTunePlay,
                (
                    by("userId", "-playedAt"),
                    by("trackId"),
                    # EchoTune's text names an index on `artist`, a field that its documents do not have.
                    by("artist"),
                    by("artistName"),
                    by("-playedAt"),
                    by("userId", "trackId"),
                    by("userId", "trackId", "playedAt", unique=True),
                ),
            ),
            OwnedCollection(
                f"{prefix}recommendations",
                EchoTuneRecommendations,
                (
                    by("userId", "-createdAt"),
                    # EchoTune's text names an index on `trackId`; the ids are in `tracks.trackId`.
                    by("trackId"),
                    by("tracks.trackId"),
                    by("expiresAt", expire_after_seconds=0),
                ),
            ),
            OwnedCollection(
                f"{prefix}playlists",
                EchoTunePlaylist,
                (by("userId", "-createdAt"), unique_sparse("spotifyPlaylistId"), text("name", "description")),
            ),
            OwnedCollection(
                f"{prefix}user_preferences",
                EchoTunePreferences,
                (by("userId", unique=True),),
                validation="warn",
                written_by="application",
            ),
            OwnedCollection(
                f"{prefix}analytics_events",
                EchoTuneEvent,
                (
                    by("userId", "eventType", "-timestamp"),
                    by("eventType", "-timestamp"),
                    by("createdAt", expire_after_seconds=EVENT_DAYS * DAY_SECONDS),
                ),
            ),
            OwnedCollection(
                f"{prefix}chat_sessions",
                EchoTuneChat,
                (
                    by("sessionId", unique=True),
                    by("userId", "-lastActivity"),
                    by("createdAt", expire_after_seconds=CHAT_DAYS * DAY_SECONDS),
                ),
                validation="warn",
                written_by="application",
            ),
            Collection(
                f"{prefix}track_metadata",
                EchoTuneTrack,
                (
                    by("spotifyId", unique=True),
                    by("audioFeatures.energy"),
                    by("audioFeatures.valence"),
                    by("audioFeatures.danceability"),
                    by("genres"),
                    by("listedOnly", sparse=True),
                ),
                owned_by_user=False,
                validation="error",
            ),
        ),
        consumers=CONSUMERS,
        forget=None if url is None else partial(forget_keys, url.get_secret_value()),
        unshare=partial(take_back_sets, settings),
    )


def take_back_sets(settings: Settings, db: Any, user_id: str) -> None:
    """Delete the sets of all users but one, because they may rest on the plays of that one.

    Of a set in which its user has said something, that alone stays until the next update has read it.

    Args:
        settings: The names of EchoTune's database and its collections.
        db: The core's database.
        user_id: The user who shares plays no longer, in the core.
    """
    sets = db.client[settings.echotune_db][f"{settings.echotune_prefix}recommendations"]
    of_others = {"source": SOURCE, "userId": {"$ne": user_object_id(user_id)}}
    owners = sets.distinct("userId", of_others)
    said = [{f"user_feedback.{name}_tracks.0": {"$exists": True}} for name in ("liked", "disliked", "saved")]
    sets.delete_many({**of_others, "$nor": said})
    sets.update_many(of_others, {"$set": {"tracks": [], "parameters.seed_tracks": []}})
    if settings.redis_url is not None:
        for owner in owners:
            EchoTuneCache.of(settings.redis_url.get_secret_value()).drop(owner)
