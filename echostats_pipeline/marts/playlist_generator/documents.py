"""Playlist Generator's documents, with its names and types.

The pipeline adds `writtenBy` and `runId` to what it writes. A field that is None here is absent in the database.
"""

from typing import Annotated, ClassVar, Literal

from bson import ObjectId
from pydantic import ConfigDict, Field

from echostats_pipeline.model.base import Document, Embedded, UtcDatetime

Share = Annotated[float, Field(ge=0, le=1)]
Status = Literal["pending", "processing", "completed", "failed"]
FeedbackKind = Literal["play", "pause", "skip", "like", "dislike", "add_to_playlist", "remove_from_playlist"]


class PlaylistGeneratorDocument(Document):
    """What every document of the pipeline has in addition to Playlist Generator's fields."""

    writtenBy: str | None = None
    """`pipeline` if this pipeline has written the document; applications leave it out."""
    runId: str | None = None
    """The Dagster run that last changed the document."""


class PGImage(Embedded):
    """A picture on Spotify's servers."""

    url: str
    """Its address."""
    width: int | None = None
    """In pixels."""
    height: int | None = None
    """In pixels."""


class PGPreferences(Embedded):
    """What playlists of a user begin with; an application changes it, and the pipeline obeys it."""

    defaultMoods: list[str] = Field(default_factory=list)
    """Keys of moods."""
    brightnessRange: list[float] = Field(default_factory=lambda: [0.0, 1.0])
    """Least and largest brightness."""
    energyRange: list[float] = Field(default_factory=lambda: [0.0, 1.0])
    """Least and largest energy."""
    tempoRange: list[float] = Field(default_factory=lambda: [60.0, 200.0])
    """Least and largest tempo in beats per minute."""


class PGCapabilities(Embedded):
    """What Spotify gives for this user."""

    spotifyAudioFeatures: bool = True
    """Whether audio features are known."""
    spotifyAudioAnalysis: bool = False
    """Whether audio analyses are known; this pipeline reads none."""
    previewUrlAvailable: bool = False
    """Whether previews are known."""


class PGUser(PlaylistGeneratorDocument):
    """A user (``users``)."""

    spotifyUserId: str
    """Spotify's id of the user."""
    displayName: str | None = None
    """The name shown."""
    email: str | None = None
    """The user's address; an application's."""
    country: str | None = None
    """ISO 3166-1 code."""
    product: str | None = None
    """Spotify's plan of the user."""
    images: list[PGImage] = Field(default_factory=list)
    """Pictures of the user."""
    preferences: PGPreferences | None = None
    """What playlists begin with."""
    capabilities: PGCapabilities | None = None
    """What Spotify gives for this user."""
    createdAt: UtcDatetime | None = None
    """When the user was connected to the pipeline."""
    updatedAt: UtcDatetime | None = None
    """When the document was last changed."""


class PGAuthToken(PlaylistGeneratorDocument):
    """An application's token (``authtokens``). The pipeline writes none: its own never leave the core."""

    userId: ObjectId
    """The user."""
    provider: Literal["spotify"]
    """The service."""
    accessToken: str
    """An application's token."""
    refreshToken: str | None = None
    """An application's token."""
    scope: str | None = None
    """What the token allows."""
    expiresAt: UtcDatetime | None = None
    """When the access token expires."""
    createdAt: UtcDatetime | None = None
    """When it was stored."""
    updatedAt: UtcDatetime | None = None
    """When it was last changed."""


class PGArtist(Embedded):
    """An artist of a track."""

    id: str
    """Spotify's id; empty if unknown."""
    name: str
    """The name."""


class PGAlbum(Embedded):
    """The album of a track."""

    id: str
    """Spotify's id; empty if unknown."""
    name: str
    """The name."""
    images: list[PGImage] = Field(default_factory=list)
    """Covers."""


class PGAudioFeatures(Embedded):
    """How a track sounds. `brightness` is derived, therefore `source` is `custom`."""

    source: Literal["spotify", "custom"] = "spotify"
    """`custom`: with a derived value."""
    tempo: float | None = None
    """In beats per minute."""
    energy: Share | None = None
    """How intense it is."""
    valence: Share | None = None
    """How glad it sounds."""
    brightness: Share | None = None
    """0.5 valence + 0.3 energy + 0.2 (1 - acousticness)."""
    acousticness: Share | None = None
    """How likely it is acoustic."""
    instrumentalness: Share | None = None
    """How likely nobody sings."""
    danceability: Share | None = None
    """How suitable it is for dancing."""
    key: int | None = None
    """Pitch class, 0 to 11."""
    mode: int | None = None
    """1 major, 0 minor."""
    timeSignature: int | None = None
    """Beats in a bar."""
    confidence: Share | None = None
    """How sure the values are; below 1 because brightness is derived."""


class PGAnalysis(Embedded):
    """The state of an analysis of a track by an application."""

    previewAvailable: bool | None = None
    """Whether there is a preview."""
    previewUrl: str | None = None
    """Address of the preview."""
    pipelineVersion: str | None = None
    """What has analysed it."""
    status: Literal["pending", "completed", "failed"] = "pending"
    """How far it is."""
    error: str | None = None
    """Why it failed."""
    analyzedAt: UtcDatetime | None = None
    """When it was analysed."""


class PGTrack(PlaylistGeneratorDocument):
    """A track (``tracks``)."""

    spotifyTrackId: str
    """Spotify's id."""
    name: str
    """The title."""
    artists: list[PGArtist] = Field(default_factory=list)
    """Its artists, the primary one first."""
    album: PGAlbum | None = None
    """Its album; absent if unknown."""
    durationMs: int | None = None
    """Length in milliseconds; absent if unknown."""
    explicit: bool = False
    """Whether Spotify marks it as explicit."""
    popularity: int | None = None
    """Spotify's popularity, 0 to 100; absent if unknown."""
    audioFeatures: PGAudioFeatures | None = None
    """How it sounds; absent if unknown."""
    featureVector: list[float] | None = None
    """Danceability, energy, valence, acousticness, instrumentalness, liveness, speechiness and tempo / 200, at most 1;
    absent if one of them is unknown."""
    fetchedAt: UtcDatetime | None = None
    """When Spotify was last asked for it."""
    source: Literal["spotify", "user_upload"] = "spotify"
    """Where it comes from."""
    analysis: PGAnalysis | None = None
    """An application's analysis."""


class PGLibraryTrack(PlaylistGeneratorDocument):
    """A track that a user has saved, has in a playlist, or has played (``userlibraries``)."""

    userId: ObjectId
    """The user."""
    trackId: ObjectId
    """The track."""
    savedAt: UtcDatetime
    """When it was first saved or added to a playlist, else when it was first played for 30 seconds."""
    removedAt: UtcDatetime | None = None
    """When it was noticed that the user has removed it from the library; absent if they have not."""
    like: bool = True
    """False only if the user has disliked it in an application."""
    skipCount: int = 0
    """How often it was left early."""
    lastHeardAt: UtcDatetime | None = None
    """The end of the last play; absent if there is none."""


class PGParsed(Embedded):
    """What a text asks for."""

    tempoRange: list[float] = Field(default_factory=list)
    """In beats per minute."""
    energyRange: list[float] = Field(default_factory=list)
    """Between 0 and 1."""
    brightnessRange: list[float] = Field(default_factory=list)
    """Between 0 and 1."""
    instrumentalOnly: bool = False
    """Whether nobody may sing."""
    durationMsMax: int | None = None
    """Longest duration in milliseconds; absent if the text does not name one."""


class PGMoodQuery(PlaylistGeneratorDocument):
    """A text that asks for a playlist (``moodqueries``). An application may insert one; the pipeline answers it."""

    userId: ObjectId
    """The user."""
    rawText: str
    """The text."""
    parsed: PGParsed | None = None
    """What it asks for; absent until it was read."""
    modelVersion: str | None = None
    """The rules that read it."""
    createdAt: UtcDatetime | None = None
    """When it was asked."""


class PGReferring(Embedded):
    """A part of a document that refers to another document."""

    model_config = ConfigDict(arbitrary_types_allowed=True)


class PGCandidate(PGReferring):
    """A track that was considered."""

    REQUIRED_BY_SERVER: ClassVar = ("trackId",)

    trackId: ObjectId
    """The track."""
    score: float
    """How good it is, from 0."""
    reasons: list[str] = Field(default_factory=list)
    """Why it fits, and what was widened for it."""


class PGAlgorithms(Embedded):
    """What made a playlist."""

    filter: str
    """What decides which tracks fit."""
    ranker: str
    """What decides which are better."""
    flow: str
    """What orders them."""


class PGSession(PlaylistGeneratorDocument):
    """One making of a playlist (``generationsessions``)."""

    userId: ObjectId
    """The user."""
    moodQueryId: ObjectId
    """The text that asked for it."""
    candidates: list[PGCandidate] = Field(default_factory=list)
    """The best tracks that were considered, best first."""
    ordering: list[ObjectId] = Field(default_factory=list)
    """The tracks in their order."""
    algorithms: PGAlgorithms | None = None
    """What made it."""
    durationMs: int | None = None
    """How long the making took."""
    status: Status = "pending"
    """How far it is."""
    error: str | None = None
    """Why it failed; absent if it did not."""
    createdAt: UtcDatetime | None = None
    """When it began."""


class PGPlaylistTrack(PGReferring):
    """A row of a playlist."""

    REQUIRED_BY_SERVER: ClassVar = ("trackId", "position")

    trackId: ObjectId
    """The track."""
    position: int
    """Its place, from 0."""


class PGPlaylist(PlaylistGeneratorDocument):
    """A generated playlist (``playlists``)."""

    userId: ObjectId
    """The user."""
    spotifyPlaylistId: str | None = None
    """The playlist at Spotify; absent if it was not written there."""
    name: str
    """Its name."""
    description: str | None = None
    """What was asked for."""
    tracks: list[PGPlaylistTrack] = Field(default_factory=list)
    """Its tracks in order."""
    snapshotId: str | None = None
    """Spotify's version of the contents, of the one that was written last."""
    sourceSessionId: ObjectId | None = None
    """The session that made it."""
    createdAt: UtcDatetime | None = None
    """When it was made."""
    updatedAt: UtcDatetime | None = None
    """When it was made, or written to Spotify."""


class PGFeedback(PlaylistGeneratorDocument):
    """What a user did with a track of a playlist (``feedbackevents``)."""

    userId: ObjectId
    """The user."""
    trackId: ObjectId
    """The track."""
    playlistId: ObjectId | None = None
    """The playlist."""
    event: FeedbackKind
    """What the user did. The pipeline writes plays, skips, and what was added and removed at Spotify."""
    position: int | None = None
    """Place in the playlist, from 0."""
    elapsedMs: int | None = None
    """How long it was heard; absent if unknown."""
    contextJson: str | None = None
    """JSON: `derived` for what the pipeline found in the plays, `inferred` for a skip that no play tells of."""
    createdAt: UtcDatetime | None = None
    """When it happened."""


class PGRanges(Embedded):
    """How the tracks of a mood sound."""

    energyRange: list[float]
    """Between 0 and 1."""
    brightnessRange: list[float]
    """Between 0 and 1."""
    tempoRange: list[float]
    """In beats per minute."""


class PGMood(PlaylistGeneratorDocument):
    """A mood (``moods``). The pipeline inserts six; what an application changes stays."""

    key: str
    """Its short name."""
    label: str
    """Its name as shown."""
    defaults: PGRanges | None = None
    """How its tracks sound."""
    icon: str | None = None
    """An emoji."""
    order: int = 0
    """Its place among the moods."""


class PGModel(PlaylistGeneratorDocument):
    """A version of something that makes playlists (``modelregistries``)."""

    name: str
    """What it is."""
    version: str
    """Its version."""
    artifact: str | None = None
    """Where it lies; absent for what is part of the code."""
    metricsJson: str | None = None
    """JSON: how good it is, against what, and whether it passed its gate."""
    activatedAt: UtcDatetime | None = None
    """Since when it is used; absent if it is not."""
