"""What a user keeps: playlists, saved tracks, and the top items that Spotify itself computes."""

from typing import Literal

from pydantic import Field

from echostats_pipeline.model.base import Document, Embedded, UtcDatetime, utc_now
from echostats_pipeline.model.catalog import Image

TopItemKind = Literal["artists", "tracks"]
TimeRange = Literal["short_term", "medium_term", "long_term"]


class PlaylistTrack(Embedded):
    """One row of a playlist."""

    spotify_id: str
    name: str
    artist_name: str
    album_name: str
    added_at: UtcDatetime | None = None
    duration_ms: int


class Playlist(Document):
    """A playlist a user owns or follows, with its tracks (collection ``playlists``)."""

    spotify_id: str
    user_id: str
    name: str
    description: str = ""
    public: bool = True
    collaborative: bool = False
    images: list[Image] = Field(default_factory=list)
    owner_id: str = ""
    owner_name: str = ""
    total_tracks: int = 0
    tracks: list[PlaylistTrack] = Field(default_factory=list)
    snapshot_id: str = ""
    external_url: str = ""
    fetched_at: UtcDatetime = Field(default_factory=utc_now)


class SavedTrack(Document):
    """A track in a user's library (collection ``saved_tracks``)."""

    user_id: str
    spotify_id: str
    name: str
    artist_name: str
    album_name: str
    duration_ms: int
    added_at: UtcDatetime
    fetched_at: UtcDatetime = Field(default_factory=utc_now)


class RankedItem(Embedded):
    """An artist or track at its place in Spotify's own ranking (1 is the top)."""

    rank: int
    spotify_id: str
    name: str


class TopItems(Document):
    """Spotify's own top artists or tracks of a user over one of its time ranges (collection ``top_items``)."""

    user_id: str
    kind: TopItemKind
    time_range: TimeRange
    items: list[RankedItem] = Field(default_factory=list)
    fetched_at: UtcDatetime = Field(default_factory=utc_now)
