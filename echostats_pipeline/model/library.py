"""The library of a user: playlists, saved tracks, and the top items that Spotify itself computes."""

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
    """Number of the current pass, once that pass has seen the track; null between passes."""


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
    """A playlist whose contents Spotify did not return when asked."""

    spotify_id: str
    is_gone: bool
    """Whether Spotify does not know the playlist, although it lists it."""
    asked_at: UtcDatetime
    """When Spotify was asked for the contents."""


class LibraryReading(Document):
    """How far a part of a user's library has been read, and how many calls that took (collection ``library_readings``).

    A *pass* goes through Spotify's list once; it may take days if the budget of calls is small. `first_total`,
    `first_stored`, `newest` and `number` are about saved tracks, the fields after them about playlists.
    """

    user_id: str
    part: LibraryPart
    """Which part of the library."""
    is_open: bool = True
    """Whether a pass is running."""
    failed: bool = False
    """Whether the last attempt failed; running out of calls is no failure."""
    finished_at: UtcDatetime | None = None
    """When the last complete pass ended."""
    place: int = 0
    """The position in Spotify's list at which the pass continues, from 0."""
    total: int = 0
    """The length of Spotify's list, according to its latest page."""
    calls: int = 0
    """How many calls have been made for this part, ever."""
    called_at: list[UtcDatetime] = Field(default_factory=list)
    """When the calls of the last 24 hours were made."""
    number: int = 0
    """Number of the pass."""
    newest: list[str] = Field(default_factory=list)
    """Short ids of the newest rows when the pass began."""
    first_total: int = 0
    """The length of Spotify's list when the pass began."""
    first_stored: int = 0
    """How many saved tracks were stored when the pass began."""
    listed: list[str] = Field(default_factory=list)
    """Ids of the playlists that the pass has seen."""
    nameless: int = 0
    """How many of the listed playlists have no id and so cannot be stored."""
    listed_at: UtcDatetime | None = None
    """When the list of playlists had been read to its end; null while it is being read."""
    in_vain: list[AskedInVain] = Field(default_factory=list)
    """Playlists that Spotify is not asked for again for a while."""


class UnreadPlaylist(Document):
    """A changed playlist whose contents have not all been read yet (collection ``unread_playlists``)."""

    user_id: str
    spotify_id: str
    number: int
    """The playlist's place in Spotify's list."""
    snapshot_id: str = ""
    told: dict[str, Any] = Field(default_factory=dict)
    """What the list says about the playlist, as fields of `playlists`."""
    tracks: list[PlaylistTrack] = Field(default_factory=list)
    """The tracks read so far."""
    place: int = 0
    """The position in the contents at which reading continues, from 0."""
    total: int = 0
    """How many rows the contents have."""
    failures: int = 0
    """How many times in a row reading has failed."""
