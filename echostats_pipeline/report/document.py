"""Data classes of a report: its input from the database, and its content for the page.

Not here: how the input becomes content (`report.build`), and the layout of the page (`report.page`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from echostats_pipeline.model.plays import ListeningGap
from echostats_pipeline.model.recommendations import RecommendationList, RecommendationWeek
from echostats_pipeline.model.statistics import DayTotal, PeriodStatistics, TopItem
from echostats_pipeline.model.users import User
from echostats_pipeline.report.calendar import Calendar, WeekHour
from echostats_pipeline.report.gaps import GapNotice
from echostats_pipeline.transforms.coverage import Stretch

RANKED, LISTED = 10, 50
"""Number of lines of each list that are shown at once, with pictures, and of all its lines."""
LARGE_PX, SMALL_PX = 240, 60
"""Width of a large picture, and of a picture in a list, in pixels."""


@dataclass(frozen=True)
class ReportInput:
    """All stored data that a report needs.

    Attributes:
        user: The user whose report it is.
        statistics: Statistics of the year or of all time.
        days: Totals of every date of the user that has a rollup, in order.
        now: When the report is made.
        year: The year; None for all time.
        before: Statistics of the year before, if they exist.
        gaps: Open gaps, in which plays may be missing.
        covered: The time that imports and syncs cover; empty if it was never recorded.
        short_plays: Number of plays that are kept and do not count.
        min_play_ms: Least length of a play that counts, in milliseconds.
        filling: When genres and audio features will be known for most plays, in words, by kind.
        credits: Artists of tracks and albums by Spotify id, where they are known.
        genre_sources: The sources of the genres of artists who have the shown genres.
        lists: Recommended songs.
        weeks: What the user has played of lists of past weeks.
        years: The artists played most, by year: their order in each.
        liked: What is known of liked songs; None if they were never completely read.
        playlists: The playlists with most songs.
        months: The artists played most in each month of the year, by the month's short name. Empty for all time.
        has_imports: Whether an export of the streaming history was imported.
        others: Other users who agree to be compared, by name: the artists they have played most. Empty unless the user
            agrees, too.
    """

    user: User
    statistics: PeriodStatistics
    days: Sequence[DayTotal]
    now: datetime
    year: int | None = None
    before: PeriodStatistics | None = None
    gaps: Sequence[ListeningGap] = ()
    covered: Sequence[Stretch] = ()
    short_plays: int = 0
    min_play_ms: int = 30_000
    filling: Mapping[str, str] = field(default_factory=dict)
    credits: Mapping[str, str] = field(default_factory=dict)
    genre_sources: Sequence[str] = ()
    lists: Sequence[RecommendationList] = ()
    weeks: Sequence[RecommendationWeek] = ()
    years: Mapping[int, Sequence[TopItem]] = field(default_factory=dict)
    liked: "LikedSongs | None" = None
    playlists: "Sequence[HeardPlaylist]" = ()
    months: Mapping[str, Sequence[TopItem]] = field(default_factory=dict)
    has_imports: bool = True
    others: Mapping[str, Sequence[TopItem]] = field(default_factory=dict)


@dataclass(frozen=True)
class LikedSong:
    """A song among the liked ones, or in a playlist; then `added_at` is None."""

    spotify_id: str
    name: str
    artist_name: str
    added_at: datetime | None


@dataclass(frozen=True)
class HeardPlaylist:
    """A playlist: its number of songs, and how many of them are not among the known plays."""

    name: str
    spotify_id: str
    songs: int
    unplayed: int


@dataclass(frozen=True)
class LikedSongs:
    """What is known of liked songs.

    Attributes:
        count: Number of all liked songs.
        songs: Names of all of them, as `song_key` writes them, and their Spotify ids.
        unplayed: Those without any known play, those liked last first.
    """

    count: int
    songs: Collection[str]
    unplayed: Sequence[LikedSong]


def song_key(name: str, artist_name: str) -> str:
    """Return a text that is the same for a song whatever id it has."""
    return f"{name.casefold()}\n{artist_name.casefold()}"


@dataclass(frozen=True)
class ArtistRanks:
    """An artist, and the rank in each of the shown years or months: None if not among the first `LISTED`."""

    name: str
    spotify_id: str
    ranks: Sequence[int | None]


@dataclass(frozen=True)
class Figure:
    """A number with its name and a note."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class RankingEntry:
    """One line of a list; `share` is relative to the first line, 0 to 1.

    `by` is the artist, if known; `more` is what else there is to say.
    """

    rank: int
    name: str
    by: str
    plays: str
    time: str
    share: float
    spotify_id: str
    image_url: str
    more: str = ""


@dataclass(frozen=True)
class SharedArtist:
    """An artist whom two users play, with the rank in the list of each."""

    name: str
    spotify_id: str
    rank: int
    other_rank: int


@dataclass(frozen=True)
class Comparison:
    """The user beside another one: a sentence, and the artists in common that are first in both lists."""

    name: str
    told: str
    shared: Sequence[SharedArtist]


@dataclass(frozen=True)
class LikedNotice:
    """The section about liked songs: a sentence, songs played often and not liked, songs liked and not played."""

    told: str
    not_liked: Sequence[RankingEntry]
    unplayed: Sequence[LikedSong]
    more_unplayed: int


@dataclass(frozen=True)
class PlaylistLine:
    """A playlist in the report; `plays` is the number of plays that are known to have been started from it."""

    name: str
    spotify_id: str
    songs: int
    unplayed: int
    plays: int


@dataclass(frozen=True)
class PlaylistNotice:
    """The section about playlists: a sentence, and the playlists, the one with most songs first."""

    told: str
    lines: Sequence[PlaylistLine]


@dataclass(frozen=True)
class CreditedSource:
    """A source that asks for credit where its data is shown: its name, its address, and its licence."""

    name: str
    url: str
    licence: str


@dataclass(frozen=True)
class RankingList:
    """A ranking of one kind by plays and by time.

    Attributes:
        told: Explains it, or says for how many plays it is known, if not for all.
        title: Its heading, which no other ranking has.
        sources: Whose data it is, where the owner asks for credit.
    """

    kind: str
    by_plays: Sequence[RankingEntry]
    by_time: Sequence[RankingEntry]
    told: str = ""
    title: str = ""
    sources: Sequence[CreditedSource] = ()

    @property
    def key(self) -> str:
        """A name for the elements of the page that belong to this ranking."""
        return (self.title or self.kind).lower().replace(" ", "-")


@dataclass(frozen=True)
class Month:
    """A calendar month; `first` is its first date, `known` says whether any of its days is covered."""

    first: date
    plays: int
    ms: int
    new_tracks: int
    new_artists: int
    known: bool = True


@dataclass(frozen=True)
class ReturnedArtist:
    """An artist that the user played again after a long time."""

    name: str
    told: str
    spotify_id: str
    image_url: str


@dataclass(frozen=True)
class Quality:
    """A trait of the music, 0 to 1."""

    name: str
    value: float


@dataclass(frozen=True)
class Sound:
    """Means of the audio features over the plays for which they are known."""

    qualities: Sequence[Quality]
    tempo: str
    coverage: str


@dataclass(frozen=True)
class RecommendedSong:
    """A song of a list, with the reason of the recommendation."""

    name: str
    by: str
    told: str
    spotify_id: str
    image_url: str


@dataclass(frozen=True)
class SongList:
    """A list of recommended songs; `told` says what ordered it."""

    title: str
    songs: Sequence[RecommendedSong]
    told: str


@dataclass(frozen=True)
class Report:
    """The content of the page; sections without data are empty or None."""

    listener: str
    partition_key: str
    title: str
    year: int | None
    span: str
    zone: str
    made_on: str
    is_empty: bool
    hours: str
    told: Sequence[str]
    figures: Sequence[Figure]
    rankings: Sequence[RankingList]
    calendar: Calendar
    week: Sequence[WeekHour]
    habits: str
    months: Sequence[Month]
    discovery: Sequence[Figure]
    variety: Sequence[str]
    streaks: Sequence[Figure]
    replayed: str
    comebacks: Sequence[ReturnedArtist]
    sound: Sound | None
    recommended: Sequence[SongList]
    hits: str
    ranked_spans: Sequence[str]
    ranks: Sequence[ArtistRanks]
    liked: LikedNotice | None
    playlists: PlaylistNotice | None
    comparisons: Sequence[Comparison]
    import_hint: str
    gaps: GapNotice | None
    unknown: Sequence[str]
    links: bool
    avatar_url: str

    @property
    def pictured(self) -> dict[str, int]:
        """Addresses of pictures, the most important first, with the width at which they are shown, in pixels."""
        lists = [each for ranking in self.rankings for each in (ranking.by_plays, ranking.by_time)]
        lines = [line for rank in range(RANKED) for each in lists for line in each[rank : rank + 1]]
        found = {self.avatar_url: LARGE_PX} if self.avatar_url else {}
        for line in lines:
            found.setdefault(line.image_url, LARGE_PX if line.rank == 1 else SMALL_PX)
        for line in self.liked.not_liked if self.liked else ():
            found.setdefault(line.image_url, SMALL_PX)
        for each in self.comebacks:
            found.setdefault(each.image_url, SMALL_PX)
        for song in (song for made in self.recommended for song in made.songs):
            found.setdefault(song.image_url, SMALL_PX)
        return {url: width for url, width in found.items() if url}
