"""The catalogue shared by all users: tracks, artists, albums, audio features.

A document whose `enriched_at` is None is a stub: a play mentioned it, but Spotify's full object was not read yet.
`unavailable_at` is set when Spotify was asked for the object and did not know it.
"""

from typing import Any

from pydantic import Field

from echostats_pipeline.model.base import Document, Embedded, UtcDatetime, utc_now


class Image(Embedded):
    """A picture on Spotify's servers; sizes in pixels where known."""

    url: str
    height: int | None = None
    width: int | None = None


class ArtistRef(Embedded):
    """An artist by id and name; the id is empty where only the name in an export row is known."""

    spotify_id: str
    name: str


class AlbumRef(Embedded):
    """An album of a track; the id is empty where only the name in an export row is known."""

    spotify_id: str
    name: str
    image_url: str = ""
    release_date: str = ""


class AudioFeatures(Embedded):
    """Audio analysis of one track. Values lie in 0..1, except key, loudness, mode, tempo and the last two.

    The last two are absent where the source does not have them: EchoStats expects numbers there, not null.
    """

    danceability: float
    energy: float
    key: int
    loudness: float
    mode: int
    speechiness: float
    acousticness: float
    instrumentalness: float
    liveness: float
    valence: float
    tempo: float
    duration_ms: int | None = None
    time_signature: int | None = None

    def to_bson(self) -> dict[str, Any]:
        """The known values, as pymongo takes them."""
        return self.model_dump(exclude_none=True)


AVERAGED_FEATURES = (
    "danceability",
    "energy",
    "valence",
    "acousticness",
    "instrumentalness",
    "liveness",
    "speechiness",
    "tempo",
)
"""The audio features that snapshots average, in the order of the seed."""


class EnrichedDocument(Document):
    """A catalogue document with its state of completeness (fields beyond the EchoStats schema)."""

    enriched_at: UtcDatetime | None = None
    changed_at: UtcDatetime | None = None
    unavailable_at: UtcDatetime | None = None


class Track(EnrichedDocument):
    """One Spotify track (collection ``tracks``). `genres` are those of its primary artist."""

    spotify_id: str
    name: str
    artists: list[ArtistRef] = Field(default_factory=list)
    album: AlbumRef | None = None
    duration_ms: int = 0
    popularity: int = 0
    explicit: bool = False
    preview_url: str | None = None
    external_url: str = ""
    audio_features: AudioFeatures | None = None
    genres: list[str] = Field(default_factory=list)
    fetched_at: UtcDatetime = Field(default_factory=utc_now)
    updated_at: UtcDatetime = Field(default_factory=utc_now)
    # Beyond the EchoStats schema.
    isrc: str = ""
    name_ids: list[str] = Field(default_factory=list)
    """Ids made of the names of this track; rows that name no id are resolved by them."""
    audio_features_checked_at: UtcDatetime | None = None
    audio_features_asked: list[str] = Field(default_factory=list)
    """The sources, as the settings name them, that had no audio features at that time."""


class Artist(EnrichedDocument):
    """One Spotify artist (collection ``artists``)."""

    spotify_id: str
    name: str
    genres: list[str] = Field(default_factory=list)
    popularity: int = 0
    followers: int = 0
    images: list[Image] = Field(default_factory=list)
    external_url: str = ""
    fetched_at: UtcDatetime = Field(default_factory=utc_now)
    updated_at: UtcDatetime = Field(default_factory=utc_now)
    # Beyond the EchoStats schema.
    genres_source: str = ""
    """Where the genres come from: `spotify`, `musicbrainz` or `lastfm`; empty in documents of earlier versions."""

    @property
    def image_url(self) -> str:
        """Address of the first image, or an empty string."""
        return first_image_url(self.images)


class ArtistTag(Embedded):
    """A genre of an artist, as one source has it; the strongest genre of an artist has the weight 1."""

    name: str
    weight: float


class ArtistTags(Document):
    """The answer of one source about the genres of one artist (collection ``artist_tags``).

    One document holds all genres, so that reading an artist again replaces the answer in one write, and so that an
    answer without genres is a document too: it says when the source was last asked.

    Attributes:
        mbid: The artist's id at MusicBrainz; empty if MusicBrainz does not link the Spotify artist.
        read_at: When the source answered; None while only the MusicBrainz id is known.
        licence: The licence under which the source gives these values.
    """

    spotify_id: str
    source: str
    tags: list[ArtistTag] = Field(default_factory=list)
    mbid: str = ""
    licence: str = ""
    read_at: UtcDatetime | None = None


class GenreList(Document):
    """All names that a source calls genres, which tells genres from other tags (collection ``genre_lists``)."""

    source: str
    names: list[str]
    read_at: UtcDatetime


class Album(EnrichedDocument):
    """One Spotify album (collection ``albums``)."""

    spotify_id: str
    name: str
    album_type: str = ""
    artists: list[ArtistRef] = Field(default_factory=list)
    images: list[Image] = Field(default_factory=list)
    release_date: str = ""
    total_tracks: int = 0
    genres: list[str] = Field(default_factory=list)
    popularity: int = 0
    external_url: str = ""
    fetched_at: UtcDatetime = Field(default_factory=utc_now)

    @property
    def image_url(self) -> str:
        """Address of the first image, or an empty string."""
        return first_image_url(self.images)


def first_image_url(images: list[Image]) -> str:
    """Address of the first image, which is the widest: Spotify orders images by width. Empty if there is none."""
    return images[0].url if images else ""
