"""EchoTune's documents about users and what they do, with its names and types.

The pipeline adds `source` and `runId` to what it writes. A field that is None here is absent in the database, except
`context_type`, which is null where a play has no known context.
"""

from typing import Annotated, Any, Literal

from bson import ObjectId
from pydantic import Field

from echostats_pipeline.model.base import Document, Embedded, UtcDatetime

Share = Annotated[float, Field(ge=0, le=1)]
Tier = Literal["free", "pro", "enterprise"]
ContextType = Literal["playlist", "album", "artist", "search"]
EventType = Literal[
    "track.played",
    "track.skipped",
    "recommendation.clicked",
    "recommendation.dismissed",
    "playlist.created",
    "chat.message",
    "search.performed",
    "provider.switched",
]


class EchoTuneDocument(Document):
    """What every document of the pipeline has in addition to EchoTune's fields."""

    source: str | None = None
    """`pipeline` if this pipeline has written the document; applications leave it out."""
    runId: str | None = None
    """The Dagster run that last changed the document."""


class AudioPreferences(Embedded):
    """How the songs sound that a user prefers."""

    energy: Share | None = None
    """Mean energy of the plays whose track has audio features."""
    valence: Share | None = None
    """Mean valence of these plays."""
    danceability: Share | None = None
    """Mean danceability of these plays."""
    acousticness: Share | None = None
    """Mean acousticness of these plays."""


class UserTaste(Embedded):
    """A user's preferences, copied here for quick reading."""

    favorite_genres: list[str] = Field(default_factory=list)
    """The genres played most, at most five."""
    preferred_artists: list[str] = Field(default_factory=list)
    """Spotify ids of the artists played most, at most ten."""
    audio_features_preferences: AudioPreferences | None = None
    """Means of audio features; absent while none are known."""


class ListeningStats(Embedded):
    """What a user has listened to, as the core's snapshot of all time has it."""

    total_listening_time: int = 0
    """In milliseconds, of all plays."""
    most_played_artist: str | None = None
    """The artist with the most plays; absent without plays."""
    most_played_genre: str | None = None
    """The genre with the most plays; absent if no genre is known."""
    average_session_length: int = 0
    """Listening time per session in milliseconds. A pause of more than 30 minutes ends a session."""


class WrittenTaste(Embedded):
    """The values of the pipeline's last update, by which it knows which fields an application has changed since."""

    preferences: dict[str, Any] | None = None
    """The taste that the pipeline wrote last."""
    lastActive: UtcDatetime | None = None
    """The instant that the pipeline wrote last."""


class EchoTuneUser(EchoTuneDocument):
    """A user with profile and statistics (``users``). An application alone writes tokens, `email` and `tier`."""

    spotifyId: str
    """Spotify's id of the user."""
    email: str | None = None
    """The user's address; an application's."""
    displayName: str
    """The name shown; Spotify's id if the user has none."""
    profileImageUrl: str | None = None
    """Address of the user's picture."""
    country: str | None = None
    """ISO 3166-1 code."""
    premium: bool = False
    """Whether the account is a premium one."""
    followers: int = 0
    """Number of followers; 0 until an application writes it."""
    accessToken: str | None = None
    """An application's token."""
    refreshToken: str | None = None
    """An application's token."""
    tokenExpiresAt: UtcDatetime | None = None
    """When the application's token expires."""
    jwtSecret: str | None = None
    """An application's secret."""
    tier: Tier = "free"
    """The user's plan; `free` until an application changes it."""
    isActive: bool = True
    """Whether the user may sign in; an application changes it."""
    preferences: UserTaste | None = None
    """The user's taste. It follows the plays until an application changes it."""
    listening_stats: ListeningStats | None = None
    """Statistics over all plays; absent until the first snapshot."""
    createdAt: UtcDatetime | None = None
    """When the user was connected to the pipeline."""
    updatedAt: UtcDatetime | None = None
    """When the pipeline last changed the document."""
    lastActive: UtcDatetime | None = None
    """The end of the last play, or a later instant that an application has written."""
    written: WrittenTaste | None = None
    """What the pipeline wrote last into fields that applications may change."""


class PlayContext(Embedded):
    """Where a play was started."""

    context_type: ContextType | None = None
    """Kind of the context; null if it is unknown or another one."""
    context_uri: str | None = None
    """Spotify's address of the context."""
    device_type: str | None = None
    """Kind of the device; the pipeline writes `computer`, `smartphone` or `speaker`, and only exports say it."""


class EchoTunePlay(EchoTuneDocument):
    """One play of a track (``listening_history``): one document for each play of the core."""

    userId: ObjectId
    """The user: `_id` of `users`."""
    trackId: str
    """Spotify's id of the track, without `spotify:track:`; begins `unresolved:` if only names are known."""
    trackName: str
    """Name of the track when it was played."""
    artistName: str
    """The primary artist that the catalogue has for the track, or else the one that the play names."""
    albumName: str
    """The album."""
    playedAt: UtcDatetime
    """When the play ended."""
    durationMs: int
    """Length of the track; 0 if unknown."""
    popularity: Annotated[int, Field(ge=0, le=100)] | None = None
    """Spotify's popularity of the track; absent if unknown."""
    context: PlayContext | None = None
    """Where the play was started."""
    skip_count: int = 0
    """1 if the user skipped the track within 30 seconds."""
    repeat_count: int = 0
    """How many times the track was played again right after; in the first of these plays, 0 in the others."""
    createdAt: UtcDatetime | None = None
    """The same as `playedAt`, so that a rebuilt document equals the first one."""


class WrittenPreferences(Embedded):
    """The values of the pipeline's last update, by which it knows which fields an application has changed since."""

    favoriteGenres: list[str] | None = None
    """The genres that the pipeline wrote last."""
    energyLevel: float | None = None
    """The energy that the pipeline wrote last."""


class EchoTunePreferences(EchoTuneDocument):
    """The settings of one user (``user_preferences``). The pipeline writes defaults once; then they are the user's."""

    userId: ObjectId
    """The user: `_id` of `users`."""
    llmProvider: Literal["gemini", "openai", "openrouter", "mock"] | None = None
    """Provider of the language model; `mock` until an application changes it."""
    llmModel: str | None = None
    """The language model."""
    favoriteGenres: list[str] = Field(default_factory=list)
    """The genres played most, until an application changes them."""
    dislikedGenres: list[str] = Field(default_factory=list)
    """Genres to avoid."""
    energyLevel: Share | None = None
    """Mean energy of the plays, until an application changes it."""
    explicitContent: bool = True
    """Whether explicit tracks are allowed."""
    recommendationStrategy: Literal["hybrid", "collaborative", "content"] = "hybrid"
    """Which kind of recommendations is preferred."""
    diversityWeight: Share | None = None
    """1 for the most diverse recommendations."""
    theme: Literal["dark", "light"] | None = None
    """Colours of the application."""
    language: str | None = None
    """ISO 639-1 code."""
    emailNotifications: bool = False
    """Whether the user wants mail."""
    createdAt: UtcDatetime | None = None
    """When the document was made."""
    updatedAt: UtcDatetime | None = None
    """When it was last changed."""
    written: WrittenPreferences | None = None
    """What the pipeline wrote last into fields that applications may change."""


class EchoTuneEvent(EchoTuneDocument):
    """Something that happened (``analytics_events``), deleted 90 days after it was written.

    The pipeline derives plays, skips, own playlists and recommended tracks that were played. It invents no others.
    """

    userId: ObjectId | None
    """The user: `_id` of `users`; null for an anonymous one."""
    eventType: EventType
    """What happened."""
    timestamp: UtcDatetime
    """When it happened."""
    metadata: dict[str, Any] | None = None
    """What the type of event says besides; `inferred` is true where the pipeline concluded it."""
    sessionId: str | None = None
    """The browser's session; an application's."""
    createdAt: UtcDatetime | None = None
    """When the document was written; a document without it stays for ever."""


class ChatMetadata(Embedded):
    """How a message was made."""

    tokens_used: int | None = None
    """Tokens of the language model."""
    response_time: float | None = None
    """In milliseconds."""
    intent: str | None = None
    """What the user wants."""
    spotifyAction: str | None = None
    """The command that was carried out."""


class ChatMessage(Embedded):
    """One message of a chat."""

    role: Literal["user", "assistant", "system"]
    """Who wrote it."""
    content: str
    """The text."""
    timestamp: UtcDatetime | None = None
    """When it was written."""
    metadata: ChatMetadata | None = None
    """How it was made."""


class ChatContext(Embedded):
    """What a chat began with."""

    spotify_data: dict[str, Any] | None = None
    """What was playing."""
    user_preferences: dict[str, Any] | None = None
    """The preferences at that time."""


class EchoTuneChat(EchoTuneDocument):
    """A conversation (``chat_sessions``), which an application writes; deleted 30 days after it began."""

    sessionId: str
    """Id of the conversation."""
    userId: ObjectId
    """The user: `_id` of `users`."""
    provider: str | None = None
    """Provider of the language model."""
    model: str | None = None
    """The language model."""
    messages: list[ChatMessage] = Field(default_factory=list)
    """The messages, in order."""
    context: ChatContext | None = None
    """What the chat began with."""
    messageCount: int | None = None
    """Number of messages."""
    startTime: UtcDatetime | None = None
    """When the chat began."""
    lastActivity: UtcDatetime | None = None
    """When the last message was written."""
    createdAt: UtcDatetime | None = None
    """When the document was written; a document without it stays for ever."""
