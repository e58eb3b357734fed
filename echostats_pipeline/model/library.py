"""What a user keeps: playlists, saved tracks, and the top items that Spotify itself computes."""

from typing import Any, Literal

from pydantic import Field

from echostats_pipeline.model.base import Document, Embedded, UtcDatetime, utc_now
from echostats_pipeline.model.catalog import Image

TopItemKind = Literal["artists", "tracks"]
TimeRange = Literal["short_term", "medium_term", "long_term"]
LibraryPart = Literal["playlists", "saved_tracks", "top_items"]


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
    seen_in: int | None = None
    """Number of the pass under way that has come upon it; null between passes."""


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


class AskedInVain(Embedded):
    """A playlist whose contents Spotify did not show when they were asked for."""

    spotify_id: str
    is_gone: bool
    """Whether Spotify does not know it, although it lists it."""
    asked_at: UtcDatetime
    """When its contents were asked for."""


class LibraryReading(Document):
    """How far a part of a user's library is read, and what that has cost (collection ``library_readings``).

    A *pass* goes through Spotify's list once, over days if the budget of calls wants it. `first_total`, `first_stored`,
    `newest` and `number` are about saved tracks, the fields after them about playlists.
    """

    user_id: str
    part: LibraryPart
    """Which part of the library."""
    is_open: bool = True
    """Whether a pass is under way."""
    failed: bool = False
    """Whether the last attempt ended neither well nor for want of calls."""
    finished_at: UtcDatetime | None = None
    """When the last pass ended that went through everything."""
    place: int = 0
    """Where in Spotify's list the pass goes on, from 0."""
    total: int = 0
    """How long Spotify's list is, by its latest page."""
    calls: int = 0
    """Calls made for it, ever."""
    called_at: list[UtcDatetime] = Field(default_factory=list)
    """When those of the last 24 hours were made."""
    number: int = 0
    """Number of the pass."""
    newest: list[str] = Field(default_factory=list)
    """Short ids of the newest rows when the pass began."""
    first_total: int = 0
    """How long Spotify's list was when the pass began."""
    first_stored: int = 0
    """How many saved tracks were stored when the pass began."""
    listed: list[str] = Field(default_factory=list)
    """Ids of the playlists that the pass has come upon."""
    nameless: int = 0
    """Entries among them without an id, which cannot be stored."""
    listed_at: UtcDatetime | None = None
    """When the list of playlists had been read to its end; null while it is being read."""
    in_vain: list[AskedInVain] = Field(default_factory=list)
    """Playlists that are not asked for again for a while."""


class UnreadPlaylist(Document):
    """A playlist that has changed, as long as not all of its contents are read (collection ``unread_playlists``)."""

    user_id: str
    spotify_id: str
    number: int
    """Its place in Spotify's list."""
    snapshot_id: str = ""
    told: dict[str, Any] = Field(default_factory=dict)
    """What the list says of it, as fields of `playlists`."""
    tracks: list[PlaylistTrack] = Field(default_factory=list)
    """Those read so far."""
    place: int = 0
    """Where in its contents reading goes on, from 0."""
    total: int = 0
    """Rows of its contents."""
    failures: int = 0
    """How often reading it has failed in a row."""
