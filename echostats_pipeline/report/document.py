"""What a report is made of, and what it shows: the hand-over from documents to a page.

Here: shapes. Not here: how documents become them (`report.build`), how they look (`report`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from echostats_pipeline.model.plays import ListeningGap
from echostats_pipeline.model.statistics import DayTotal, PeriodStatistics
from echostats_pipeline.model.users import User
from echostats_pipeline.report.calendar import Calendar, WeekHour
from echostats_pipeline.report.gaps import GapNotice
from echostats_pipeline.transforms.coverage import Stretch

RANKED = 10
"""Lines of each list."""
LARGE_PX, SMALL_PX = 240, 60
"""How wide a picture has to be where it is shown large, and in a list."""


@dataclass(frozen=True)
class ReportInput:
    """All that a report is made of, as it is stored.

    Attributes:
        user: Whose.
        statistics: Of the year or of all time.
        days: Every date of the user that has a rollup, in order.
        now: When the report is made.
        year: Which year; None for all time.
        before: The year before, if its statistics are there.
        gaps: Where plays may be missing; those that are closed are left out.
        covered: Which time imports and syncs have told of; none where that was never kept.
        short_plays: Plays that are kept and do not count.
        min_play_ms: How long a play is that counts.
        filling: How far the catalogue is with what is not known of most plays yet, by kind.
        credits: Artists of tracks and albums by their Spotify id, where the catalogue knows them.
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


@dataclass(frozen=True)
class Figure:
    """A number with its name, and what else is to be said of it."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class RankingEntry:
    """One line of a list; `share` is of the first line's, 0 to 1; `by` is who made it, where that is known."""

    rank: int
    name: str
    by: str
    plays: str
    time: str
    share: float
    spotify_id: str
    image_url: str


@dataclass(frozen=True)
class RankingList:
    """The same kind of things, by plays and by time; `told` is of how many plays they are known, if not of all."""

    kind: str
    by_plays: Sequence[RankingEntry]
    by_time: Sequence[RankingEntry]
    told: str = ""


@dataclass(frozen=True)
class Month:
    """A calendar month; `first` is its first date, `known` whether anybody has told of any day of it."""

    first: date
    plays: int
    ms: int
    new_tracks: int
    new_artists: int
    known: bool = True


@dataclass(frozen=True)
class ReturnedArtist:
    """An artist heard again after a long time."""

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
    """Means of the audio features, of the plays of which they are known."""

    qualities: Sequence[Quality]
    tempo: str
    coverage: str


@dataclass(frozen=True)
class Report:
    """Everything the page shows; sections of which nothing is known are empty or None."""

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
    gaps: GapNotice | None
    unknown: Sequence[str]
    links: bool
    avatar_url: str

    @property
    def pictured(self) -> dict[str, int]:
        """Addresses of pictures, the most important first, with the pixels across at which they are shown."""
        lists = [each for ranking in self.rankings for each in (ranking.by_plays, ranking.by_time)]
        lines = [line for rank in range(RANKED) for each in lists for line in each[rank : rank + 1]]
        found = {self.avatar_url: LARGE_PX} if self.avatar_url else {}
        for line in lines:
            found.setdefault(line.image_url, LARGE_PX if line.rank == 1 else SMALL_PX)
        for each in self.comebacks:
            found.setdefault(each.image_url, SMALL_PX)
        return {url: width for url, width in found.items() if url}
