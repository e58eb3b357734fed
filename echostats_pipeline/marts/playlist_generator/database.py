"""The database of Playlist Generator: its collections with their documents, indexes and validators."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from bson import ObjectId

from echostats_pipeline.marts.ids import object_id
from echostats_pipeline.marts.playlist_generator.documents import (
    PGAuthToken,
    PGFeedback,
    PGLibraryTrack,
    PGModel,
    PGMood,
    PGMoodQuery,
    PGPlaylist,
    PGSession,
    PGTrack,
    PGUser,
)
from echostats_pipeline.model.collections import Collection, Database, by
from echostats_pipeline.model.operations import Reads
from echostats_pipeline.settings import Settings

MART = "playlist_generator"
LIBRARY, MADE = "playlist_generator_library", "playlist_generator_playlists"
CONSUMERS: Mapping[str, Reads] = MappingProxyType(
    {
        LIBRARY: Reads(("listening_history", "playlist_contents", "catalog", "users")),
        MADE: Reads(("generated_playlists",)),
    }
)
"""The mart's readers of change marks."""
OWNED = ("authtokens", "userlibraries", "moodqueries", "generationsessions", "playlists", "feedbackevents")
"""The collections whose documents name their user."""
LAYOUT = 1
"""Version of the documents; change it with what the mappings produce."""


def user_object_id(user_id: str) -> ObjectId:
    """The id of a user in Playlist Generator's database, from the id in the core."""
    return object_id("playlist_generator_users", user_id)


def track_object_id(spotify_id: str) -> ObjectId:
    """The id of a track in Playlist Generator's database."""
    return object_id("playlist_generator_tracks", spotify_id)


OwnedCollection = partial(Collection, owner_field="userId", owner_id=user_object_id)
Shared = partial(Collection, owned_by_user=False, validation="error")


def database(settings: Settings) -> Database:
    """The declaration of Playlist Generator's database under the name that the settings give."""
    return Database(
        settings.playlist_generator_db,
        (
            Collection(
                "users",
                PGUser,
                (by("spotifyUserId", unique=True),),
                owner_field="_id",
                owner_id=user_object_id,
                validation="error",
            ),
            OwnedCollection(
                "authtokens",
                PGAuthToken,
                (by("userId", "provider"), by("expiresAt")),
                secrets=("accessToken", "refreshToken"),
                validation="warn",
                written_by="application",
            ),
            Shared("tracks", PGTrack, (by("spotifyTrackId", unique=True), by("artists.name"), by("album.name"))),
            OwnedCollection(
                "userlibraries",
                PGLibraryTrack,
                (by("userId", "trackId", unique=True), by("userId", "-savedAt")),
                validation="error",
            ),
            OwnedCollection("moodqueries", PGMoodQuery, (by("userId", "-createdAt"),), validation="error"),
            OwnedCollection(
                "generationsessions",
                PGSession,
                (by("userId", "-createdAt"), by("moodQueryId")),
                validation="error",
            ),
            OwnedCollection(
                "playlists",
                PGPlaylist,
                (by("userId", "-updatedAt"), by("spotifyPlaylistId")),
                validation="error",
            ),
            OwnedCollection(
                "feedbackevents",
                PGFeedback,
                (by("userId", "-createdAt"), by("trackId", "event"), by("playlistId", "-createdAt")),
                validation="error",
            ),
            Shared("moods", PGMood, (by("key", unique=True), by("order"))),
            Shared("modelregistries", PGModel, (by("name", "version", unique=True), by("-activatedAt"))),
        ),
        consumers=CONSUMERS,
    )
