"""The documents of ``spotify_analytics``, with the names of EchoTune's CSV and of its loader.

What is not known is absent, never null. Personal columns of the CSV (address, user agent) are left out, `username` is
the user's partition key, and `platform` is the family of the device.
"""

from bson import ObjectId
from pydantic import Field

from echostats_pipeline.model.base import Document, Embedded, UtcDatetime


class FlatPlay(Document):
    """One play with the columns of EchoTune's CSV (collection ``listening_history_raw``)."""

    user_id: str
    """The user's id in the core."""
    played_at: UtcDatetime
    """The end of the play in the core; `ts_x` is what the export says."""
    source: str = "pipeline"
    """`pipeline`: this pipeline has written the document."""
    spotify_track_uri: str | None = None
    """Spotify's address of the track; absent for tracks that are known by name only."""
    ts_x: UtcDatetime
    """The end of the play, as the export says."""
    username: str
    """The user's partition key."""
    platform: str | None = None
    """Family of the device, never the device."""
    ms_played_x: int | None = None
    """How long it was played, in milliseconds; absent where the source does not say it."""
    conn_country: str | None = None
    """Country of the connection."""
    master_metadata_track_name_x: str | None = None
    """Name of the track."""
    master_metadata_album_artist_name_x: str | None = None
    """Name of the artist."""
    master_metadata_album_album_name_x: str | None = None
    """Name of the album."""
    reason_start: str | None = None
    """Why the play began."""
    reason_end: str | None = None
    """Why the play ended."""
    shuffle: bool | None = None
    """Whether shuffle was on."""
    skipped: bool | None = None
    """Whether the user went on to another track."""
    offline: bool | None = None
    """Whether the device was offline."""
    track_id: str | None = None
    """Id of the track at Spotify."""
    track_uri: str | None = Field(default=None, alias="Track URI")
    """The same as `spotify_track_uri`, once the catalogue has the track."""
    track_name: str | None = Field(default=None, alias="Track Name_releases")
    """Name of the track in the catalogue."""
    artist_uris: str | None = Field(default=None, alias="Artist URI(s)_releases")
    """Addresses of all credited artists, separated by commas."""
    artist_names: str | None = Field(default=None, alias="Artist Name(s)_releases")
    """Names of all credited artists, separated by commas."""
    album_uri: str | None = Field(default=None, alias="Album URI_releases")
    """Address of the album."""
    album_name: str | None = Field(default=None, alias="Album Name_releases")
    """Name of the album in the catalogue."""
    release_date: str | None = Field(default=None, alias="Album Release Date_releases")
    """Release date: `YYYY`, `YYYY-MM` or `YYYY-MM-DD`."""
    image_url: str | None = Field(default=None, alias="Album Image URL_releases")
    """Address of the cover."""
    duration_ms: int | None = Field(default=None, alias="Track Duration (ms)_releases")
    """Length of the track in milliseconds."""
    preview_url: str | None = Field(default=None, alias="Track Preview URL_releases")
    """Address of a preview."""
    explicit: bool | None = Field(default=None, alias="Explicit_releases")
    """Whether the track has explicit words."""
    popularity: int | None = Field(default=None, alias="Popularity_releases")
    """Popularity at Spotify, 0 to 100."""
    isrc: str | None = Field(default=None, alias="ISRC_releases")
    """International Standard Recording Code."""
    artist_genres: str | None = Field(default=None, alias="Artist Genres")
    """Genres of the first artist, separated by commas."""
    danceability: float | None = Field(default=None, alias="Danceability")
    """Audio feature, 0 to 1."""
    energy: float | None = Field(default=None, alias="Energy")
    """Audio feature, 0 to 1."""
    key: int | None = Field(default=None, alias="Key")
    """Pitch class of the key, 0 is C."""
    loudness: float | None = Field(default=None, alias="Loudness")
    """Mean loudness in decibels."""
    mode: int | None = Field(default=None, alias="Mode")
    """1 is major, 0 minor."""
    speechiness: float | None = Field(default=None, alias="Speechiness")
    """Audio feature, 0 to 1."""
    acousticness: float | None = Field(default=None, alias="Acousticness")
    """Audio feature, 0 to 1."""
    instrumentalness: float | None = Field(default=None, alias="Instrumentalness")
    """Audio feature, 0 to 1."""
    liveness: float | None = Field(default=None, alias="Liveness")
    """Audio feature, 0 to 1."""
    valence: float | None = Field(default=None, alias="Valence")
    """Audio feature, 0 (sad) to 1 (cheerful)."""
    tempo: float | None = Field(default=None, alias="Tempo")
    """Beats per minute."""
    time_signature: int | None = Field(default=None, alias="Time Signature")
    """Beats per bar."""


class AnalyticsUser(Embedded):
    """Who listened, and on what."""

    username: str
    """The user's partition key."""
    platform: str | None = None
    """Family of the device."""
    country: str | None = None
    """Country of the connection."""


class AnalyticsTrack(Embedded):
    """What was played."""

    name: str | None = None
    """Name of the track."""
    artist: str | None = None
    """Name of the artist."""
    album: str | None = None
    """Name of the album."""
    duration_ms: int | None = None
    """Length in milliseconds."""
    popularity: int | None = None
    """Popularity at Spotify, 0 to 100."""


class AnalyticsListening(Embedded):
    """How it was played."""

    ms_played: int | None = None
    """How long, in milliseconds."""
    skipped: bool | None = None
    """Whether the user went on to another track."""
    reason_start: str | None = None
    """Why the play began."""
    reason_end: str | None = None
    """Why the play ended."""
    shuffle: bool | None = None
    """Whether shuffle was on."""
    offline: bool | None = None
    """Whether the device was offline."""


class AnalyticsMetadata(Embedded):
    """What the catalogue knows besides."""

    genres: list[str] = Field(default_factory=list)
    """Genres of the first artist."""
    explicit: bool | None = None
    """Whether the track has explicit words."""
    isrc: str | None = None
    """International Standard Recording Code."""


class AnalyticsPlay(Document):
    """One play as the guide's loader nests it, with the flat fields that the guide indexes (``listening_history``)."""

    id: ObjectId | None = Field(default=None, alias="_id")
    user_id: str
    """The user's id in the core."""
    played_at: UtcDatetime
    """The end of the play in the core."""
    source: str = "pipeline"
    """`pipeline`: this pipeline has written the document."""
    spotify_track_uri: str | None = None
    """Spotify's address of the track."""
    timestamp: UtcDatetime
    """The end of the play, as the export says."""
    user: AnalyticsUser
    """Who listened."""
    track: AnalyticsTrack
    """What was played."""
    listening: AnalyticsListening
    """How it was played."""
    audio_features: dict[str, float]
    """The audio features that are known."""
    metadata: AnalyticsMetadata
    """What the catalogue knows besides."""
    created_at: UtcDatetime
    """When the core stored the play."""
