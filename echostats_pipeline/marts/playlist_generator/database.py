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
from echostats_pipeline.marts.writing import SOURCE
from echostats_pipeline.model.collections import Collection, Database, by
from echostats_pipeline.model.operations import Reads
from echostats_pipeline.settings import Settings
from echostats_pipeline.storage.database import Db

MART = "playlist_generator"
LIBRARY, CATALOG, MADE = "playlist_generator_library", "playlist_generator_catalog", "playlist_generator_playlists"
CONSUMERS: Mapping[str, Reads] = MappingProxyType(
    {
        LIBRARY: Reads(("listening_history", "playlist_contents")),
        CATALOG: Reads(("catalog", "users")),
        MADE: Reads(("generated_playlists",)),
    }
)
"""The mart's readers of change marks."""
OWNED = ("authtokens", "userlibraries", "moodqueries", "generationsessions", "playlists", "feedbackevents")
"""The collections whose documents name their user."""
REFERRING = (
    ("userlibraries", "trackId"),
    ("playlists", "tracks.trackId"),
    ("generationsessions", "candidates.trackId"),
    ("generationsessions", "ordering"),
    ("feedbackevents", "trackId"),
)
"""The fields that refer to tracks, by collection."""
MARKER = "writtenBy"
"""The field that marks documents of the pipeline: `source` has another meaning in Playlist Generator's tracks."""
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
        prune=prune,
    )


def prune(core: Db, own: Db) -> int:
    """Delete tracks of which only a name is known, from the library of a user, once no user has them any more."""
    query = {MARKER: SOURCE, "album": {"$exists": False}, "fetchedAt": {"$exists": False}}
    named = {each["spotifyTrackId"]: each["_id"] for each in own["tracks"].find(query, {"spotifyTrackId": 1})}
    for each in core["tracks"].find({"spotify_id": {"$in": list(named)}}, {"_id": 0, "spotify_id": 1}):
        del named[each["spotify_id"]]
    ids = list(named.values())
    kept = {track for collection, path in REFERRING for track in own[collection].distinct(path, {path: {"$in": ids}})}
    gone = [each for each in ids if each not in kept]
    return own["tracks"].delete_many({"_id": {"$in": gone}}).deleted_count if gone else 0
