"""Playlists that this pipeline makes from words, moods and rules, and what users did with them."""

from collections.abc import Mapping
from typing import Annotated, Literal

from bson import ObjectId
from pydantic import Field

from echostats_pipeline.model.base import Document, Embedded, UtcDatetime, utc_now

Arc = Literal["flat", "rise", "fall", "peak"]
GenerationStatus = Literal["processing", "completed", "failed"]
SongSource = Literal["history", "library", "other_users", "recommended", "added"]
EditKind = Literal["add_to_playlist", "remove_from_playlist"]
FASTEST = 200.0
"""The tempo, in beats per minute, that counts as 1 in a feature vector."""
Range = Annotated[list[float], Field(min_length=2, max_length=2)]
"""The least and the largest value, both included."""


class UnderstoodWords(Embedded):
    """Some words of a text, and what they were taken for."""

    words: str
    """The words, normalised."""
    meaning: str
    """What follows from them, in plain words."""


class NearMiss(Embedded):
    """A word that is not known, and the known one that is most like it."""

    word: str
    """The word as it was written."""
    known: str
    """The known word or name."""
    likeness: float
    """0 to 100, as rapidfuzz computes it."""
    taken: bool
    """Whether the word was taken for the known one."""


ARCS_IN_WORDS: Mapping[Arc, str] = {
    "flat": "the energy stays about the same",
    "rise": "the energy rises",
    "fall": "the energy falls",
    "peak": "the energy rises, and falls after two thirds",
}
"""What each arc means, as a part of a sentence."""


class Understanding(Embedded):
    """What a text asks for."""

    parser: str
    """Name and version of the rules that read the text."""
    moods: list[str] = Field(default_factory=list)
    """Keys of the moods that count."""
    energy: Range
    """Between 0 and 1."""
    brightness: Range
    """Between 0 and 1."""
    tempo: Range
    """In beats per minute."""
    asks_sound: bool = False
    """Whether any of the three was asked for, so that songs without audio features cannot be judged."""
    instrumental: bool | None = None
    """True: without singing only; false: with singing only; null: either."""
    features: dict[str, Range] = Field(default_factory=dict)
    """Ranges of other audio features, for example of `danceability`."""
    years: Range | None = None
    """Years of release; null if any will do."""
    without_years: list[Range] = Field(default_factory=list)
    """No songs that were released in these years."""
    per_artist: int | None = None
    """Most songs of an artist; null for two."""
    song_minutes: Range | None = None
    """How long each song may be; null if any length will do."""
    genres: list[str] = Field(default_factory=list)
    """A song needs one of these tags."""
    without_genres: list[str] = Field(default_factory=list)
    """No songs with one of these tags."""
    kept_genres: list[str] = Field(default_factory=list)
    """Songs with one of these tags stay, though they have one of `without_genres`, too."""
    artists: list[str] = Field(default_factory=list)
    """Only songs by these artists."""
    without_artists: list[str] = Field(default_factory=list)
    """No songs by these artists."""
    like_artists: list[str] = Field(default_factory=list)
    """Songs that are like those of these artists come first."""
    heard: Literal["new", "favourite", "forgotten", "known"] | None = None
    """`new`: never heard; `favourite`: heard often; `forgotten`: heard often, and not for half a year; `known`: heard;
    null: either."""
    saved: bool = False
    """Only liked songs and songs of playlists."""
    clean: bool = False
    """Only songs that are not marked as explicit."""
    new_share: float | None = None
    """The part of songs that should not have been heard before, 0 to 1; null if the text does not say it."""
    minutes: float | None = None
    """Longest duration that the text names."""
    songs: int | None = None
    """Number of songs that the text names."""
    arc: Arc | None = None
    """How the energy should run; null if the text does not say it."""
    understood: list[UnderstoodWords] = Field(default_factory=list)
    """The words with a meaning, in the order of the text."""
    contradictions: list[str] = Field(default_factory=list)
    """What the text asks for and denies at once, and how that was decided."""
    unknown: list[str] = Field(default_factory=list)
    """Words without a meaning here."""
    near: list[NearMiss] = Field(default_factory=list)
    """Words that are a little like known ones."""
    notes: list[str] = Field(default_factory=list)
    """What was understood but cannot be done, and why."""


class PlaylistSong(Embedded):
    """A song of a generated playlist."""

    position: int
    """Place in the playlist, from 1."""
    spotify_id: str
    name: str
    artist_name: str
    album_name: str = ""
    duration_ms: int
    score: float
    """How good it is, from 0; comparable within one playlist only."""
    source: SongSource
    reason: str
    """Why it is there, in a sentence that is true."""
    energy: float | None = None
    brightness: float | None = None
    """Derived, not Spotify's; null without audio features."""
    tempo: float | None = None
    is_new: bool
    """Whether the user had not heard it."""
    in_ranges: bool
    """Whether it is within what was asked before any widening."""


class PlaylistCandidate(Embedded):
    """A song that was considered."""

    spotify_id: str
    score: float
    """How good it is, from 0; comparable within one playlist only."""
    reasons: list[str]
    """Why it fits, in sentences."""


class SongCounts(Embedded):
    """How many songs were left after each step."""

    songs: int = 0
    """Songs to choose from."""
    with_features: int = 0
    """Songs whose audio features are known."""
    without_features: int = 0
    """Songs that cannot be judged because no source knows their audio features."""
    excluded: int = 0
    """Songs without audio features that were left out because the sound was asked for."""
    fitting: int = 0
    """Songs within all that was asked."""
    after_widening: int = 0
    """Songs within what was asked after it was widened; equal to `fitting` if it was not."""


class GeneratedPlaylist(Document):
    """A playlist that was made for a user, or the attempt (collection ``generated_playlists``)."""

    user_id: str
    generator: str
    """What made it: `words`, `mood:` with the key of a mood, or `rule:` with the name of a rule playlist."""
    text: str
    """What was asked for."""
    name: str
    """The name of the playlist: that of the mood or the rules, else the words."""
    understanding: Understanding | None = None
    """Null for rule playlists."""
    query_id: ObjectId | None = None
    """The application's query that asked for it; null if none did."""
    status: GenerationStatus
    error: str = ""
    """Why the attempt failed."""
    arc: Arc = "flat"
    """How the energy runs over the playlist."""
    minutes: float | None = None
    """The longest duration that was asked for."""
    most_songs: int | None = None
    """The number of songs that was asked for; null if a duration was."""
    discover: float | None = None
    """The share of songs not heard before that was asked for, 0 to 1."""
    counts: SongCounts = Field(default_factory=SongCounts)
    widened: list[str] = Field(default_factory=list)
    """What was widened because too few songs fitted, in order."""
    note: str = ""
    """Why the playlist is shorter than asked; empty if it is not."""
    tracks: list[PlaylistSong] = Field(default_factory=list)
    candidates: list[PlaylistCandidate] = Field(default_factory=list)
    """The best songs that were considered, best first."""
    smoothness: float | None = None
    """Mean distance between neighbours; smaller is smoother."""
    created_at: UtcDatetime = Field(default_factory=utc_now)
    took_ms: int = 0
    """How long it took to make, in milliseconds."""
    dagster_run_id: str = ""
    spotify_id: str = ""
    """The playlist at Spotify to which it was written; empty if it was not."""
    written_at: UtcDatetime | None = None
    """When it was written to Spotify; null if it was not."""


class SpotifyCopy(Document):
    """A playlist at Spotify that this pipeline keeps for a user (collection ``playlist_copies``): one per generator."""

    user_id: str
    generator: str
    """What makes the playlist, as in `generated_playlists`."""
    token: str
    """Stands in the description at Spotify, by which a playlist is found again whose creation was not stored."""
    spotify_id: str = ""
    """Empty until the playlist is known to exist."""
    snapshot_id: str = ""
    """Spotify's version of the contents that were written last."""
    playlist_id: ObjectId | None = None
    """The generated playlist that was written last."""
    track_ids: list[str] = Field(default_factory=list)
    """What was written last."""
    writing: list[str] | None = None
    """What is being written; null unless a write is under way or died."""
    kept_out: list[str] = Field(default_factory=list)
    """Tracks that the user has removed at Spotify; they do not come back."""
    kept_in: list[str] = Field(default_factory=list)
    """Tracks that the user has added at Spotify; they stay."""
    written_at: UtcDatetime | None = None
    """When the contents were written last."""


class PlaylistEdit(Document):
    """A track that a user has added to a generated playlist at Spotify, or removed (collection ``playlist_edits``)."""

    user_id: str
    spotify_id: str
    playlist_id: ObjectId
    """The generated playlist as it was written."""
    event: EditKind
    """What the user did."""
    generator: str = ""
    """What had made the playlist."""
    text: str = ""
    """What had been asked for."""
    name: str = ""
    """The title of an added track, as Spotify gave it; empty for a removed one, as are the next two."""
    artist_name: str = ""
    album_name: str = ""
    duration_ms: int = 0
    """Length of an added track; 0 if unknown."""
    position: int | None = None
    """Place in the playlist, from 1."""
    seen_at: UtcDatetime
    """When the edit was noticed."""
