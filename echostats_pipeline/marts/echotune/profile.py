"""Maps a user with their statistics to EchoTune's documents."""

from datetime import datetime
from typing import Any

from echostats_pipeline.marts.echotune.database import user_object_id
from echostats_pipeline.marts.ids import object_id
from echostats_pipeline.marts.writing import SharedDocument
from echostats_pipeline.model.statistics import AnalyticsSnapshot
from echostats_pipeline.model.users import User

GENRES, ARTISTS = 5, 10
PREFERRED_FEATURES = ("energy", "valence", "danceability", "acousticness")


def user_document(user: User, snapshot: AnalyticsSnapshot | None, last_play: datetime | None) -> SharedDocument:
    """A user as `documents.EchoTuneUser`.

    Args:
        user: The user in the core.
        snapshot: The snapshot of all time; None if there is none yet.
        last_play: The end of the last play; None without plays.
    """
    known = {"profileImageUrl": user.image_url, "country": user.country}
    fields: dict[str, Any] = {
        "spotifyId": user.spotify_id,
        "displayName": user.display_name or user.spotify_id,
        **{name: value for name, value in known.items() if value},
        "premium": user.product == "premium",
    }
    if snapshot is not None:
        fields["listening_stats"] = listening_stats(snapshot)
    return SharedDocument(
        user_object_id(user.user_id),
        fields,
        first={"followers": 0, "tier": "free", "isActive": True, "createdAt": user.created_at},
        editable={"preferences": preferences(snapshot), **({} if last_play is None else {"lastActive": last_play})},
    )


def listening_stats(snapshot: AnalyticsSnapshot) -> dict[str, Any]:
    """The statistics of a user as `documents.ListeningStats`, from the core's snapshot of all time."""
    artist = next((each.name for each in snapshot.top_artists), None)
    genre = next((each.name for each in snapshot.top_genres), None)
    sessions = snapshot.sessions.count
    return {
        "total_listening_time": snapshot.total_ms_played,
        **({} if artist is None else {"most_played_artist": artist}),
        **({} if genre is None else {"most_played_genre": genre}),
        "average_session_length": snapshot.total_ms_played // sessions if sessions else 0,
    }


def preferences(snapshot: AnalyticsSnapshot | None) -> dict[str, Any]:
    """A user's taste as `documents.UserTaste`; without a snapshot, nothing is known."""
    if snapshot is None:
        return {"favorite_genres": [], "preferred_artists": []}
    mean = snapshot.avg_audio_features
    features = {} if mean is None else {name: min(max(getattr(mean, name), 0.0), 1.0) for name in PREFERRED_FEATURES}
    return {
        "favorite_genres": [each.name for each in snapshot.top_genres[:GENRES]],
        "preferred_artists": [each.spotify_id for each in snapshot.top_artists if each.spotify_id][:ARTISTS],
        **({"audio_features_preferences": features} if features else {}),
    }


def preferences_document(user: User, snapshot: AnalyticsSnapshot | None, now: datetime) -> SharedDocument:
    """The default settings of a user as `documents.EchoTunePreferences`."""
    owner, taste = user_object_id(user.user_id), preferences(snapshot)
    energy = taste.get("audio_features_preferences", {}).get("energy")
    return SharedDocument(
        object_id("echotune_user_preferences", owner),
        {"userId": owner},
        first={
            "llmProvider": "mock",
            "dislikedGenres": [],
            "explicitContent": True,
            "recommendationStrategy": "hybrid",
            "diversityWeight": 0.5,
            "theme": "dark",
            "language": "en",
            "emailNotifications": False,
            "createdAt": now,
        },
        editable={"favoriteGenres": taste["favorite_genres"], **({} if energy is None else {"energyLevel": energy})},
    )
