"""Data classes of a recap: its input from the database, and the numbers and names that page and cards show.

Not here: how the numbers are found (`recap.build`), and how they are drawn (`recap.page`, `recap.cards`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

import polars as pl

from echostats_pipeline.model.plays import ListeningGap
from echostats_pipeline.model.users import User
from echostats_pipeline.recap.spans import Period
from echostats_pipeline.transforms.coverage import Stretch
from echostats_pipeline.transforms.statistics.listening import ListeningFrames

LARGE_PX, SMALL_PX = 300, 120
"""Width of a large picture, and of a picture in a list, in pixels."""

Kind = Literal["artists", "tracks", "albums"]


@dataclass(frozen=True, eq=False)
class RecapInput:
    """All that a recap needs from the database.

    Attributes:
        user: The user whose recap it is.
        period: The year or month.
        now: When the recap is made.
        heard: All rollups of the user, as the user's rules show them.
        plays: Plays of the period, as `rule_effects.judged` returns them.
        first_plays: Plays of the first date with a counted play, likewise.
        covered: The time that imports and syncs cover; empty if it was never recorded.
        gaps: Open gaps, in which plays may be missing.
        release_years: The year of release by id of a track, as far as the catalogue knows it.
        pending: Dates whose rollups wait for a rebuild.
    """

    user: User
    period: Period
    now: datetime
    heard: ListeningFrames
    plays: pl.DataFrame
    first_plays: pl.DataFrame
    covered: Sequence[Stretch] = ()
    gaps: Sequence[ListeningGap] = ()
    release_years: Mapping[str, int] = field(default_factory=dict)
    pending: Sequence[date] = ()


@dataclass(frozen=True)
class Item:
    """An artist, a track or an album, with its plays and its time in a span; `by` is the artist, if known."""

    kind: Kind
    name: str
    by: str
    spotify_id: str
    image_url: str
    plays: int
    ms: int


@dataclass(frozen=True)
class Totals:
    """The sums of a span of dates.

    Attributes:
        name: What the span is called in a sentence, for example ``2025`` or ``2025 until 28 November``.
        holes: Number of its dates of which not everything is known.
    """

    name: str
    first: date
    last: date
    plays: int
    ms: int
    tracks: int
    artists: int
    albums: int
    active_days: int
    new_tracks: int
    new_artists: int
    holes: int


@dataclass(frozen=True)
class Comparison:
    """A span of the recap beside an earlier one; `plays` and `time` say the difference, and are empty if unknown."""

    now: Totals
    before: Totals
    plays: str
    time: str


@dataclass(frozen=True)
class Part:
    """A month of a year, or a week of a month, with what was played most; `known` is false if no day of it is known."""

    name: str
    first: date
    last: date
    plays: int
    ms: int
    artist: Item | None
    track: Item | None
    known: bool


@dataclass(frozen=True)
class Moment:
    """One play: its place among all known plays that count, its local date and hour, and its track."""

    number: int
    day: date
    track: Item


@dataclass(frozen=True)
class Decade:
    """Plays of music that was released in the ten years from `first_year` on; `share` is of the plays known."""

    first_year: int
    plays: int
    share: float


@dataclass(frozen=True)
class Hours:
    """Some hours of the day: their counted plays, and the artist played most in them."""

    name: str
    span: str
    plays: int
    artist: Item


@dataclass(frozen=True)
class Streak:
    """Consecutive dates with a counted play; `at_least` if unknown dates adjoin it."""

    days: int
    first: date
    last: date
    at_least: bool


@dataclass(frozen=True)
class BusiestDay:
    """The date with the most counted plays, and its track number one."""

    day: date
    plays: int
    ms: int
    track: Item | None


@dataclass(frozen=True)
class LeftBehind:
    """An artist of the period before who was not played in this one; `item` has the plays of the period before."""

    item: Item
    last_played: date


@dataclass(frozen=True)
class Anniversary:
    """The same day of the calendar in an earlier year; `known` is false where a day without plays is not all known."""

    day: date
    years_ago: int
    plays: int
    ms: int
    track: Item | None
    known: bool


@dataclass(frozen=True)
class Recap:
    """The numbers and names of a recap; what there is nothing to say about is empty or None.

    Attributes:
        listener: The name of the user.
        partition_key: The key of the user.
        title: The year, or month and year.
        before_name: The year or month before.
        kind: Whether it is of a year or of a month.
        zone: Time zone of its dates.
        made_on: Today's date of the user.
        is_over: Whether the period has ended.
        totals: The sums of the period up to today.
        comparisons: Earlier spans, the one of the year before first.
        artists: Played most, by plays; `tracks` and `albums` likewise.
        parts: The months or weeks in order.
        new_artist: Of the artists heard for the first time ever, the one with the most plays; `new_track` likewise.
        begins_here: Whether the history begins in this period, so that nothing can be called new.
        earlier_holes: Number of earlier dates, since the history begins, of which not everything is known.
        first_play: The first known play of all.
        milestones: Round numbers of plays that were reached.
        decades: Decades of release in order, and the share of plays with a known year.
        hours: Morning and night.
        left_behind: Most plays in the period before first.
        unknown: Sentences about what is not known.
        links: Whether names link to Spotify.
    """

    listener: str
    partition_key: str
    title: str
    before_name: str
    kind: Literal["year", "month"]
    zone: str
    made_on: date
    is_over: bool
    totals: Totals
    comparisons: Sequence[Comparison]
    artists: Sequence[Item]
    tracks: Sequence[Item]
    albums: Sequence[Item]
    parts: Sequence[Part]
    new_artist: Item | None
    new_track: Item | None
    begins_here: bool
    earlier_holes: int
    first_play: Moment | None
    milestones: Sequence[Moment]
    decades: Sequence[Decade]
    decades_coverage: float
    hours: Sequence[Hours]
    streak: Streak | None
    busiest: BusiestDay | None
    left_behind: Sequence[LeftBehind]
    on_this_day: Sequence[Anniversary]
    unknown: Sequence[str]
    links: bool
    avatar_url: str

    @property
    def items(self) -> list[Item]:
        """Every artist, track and album of the recap, the most important first."""
        parts = [item for part in self.parts for item in (part.artist, part.track)]
        found = [
            *self.artists[:1],
            *self.tracks[:1],
            self.new_artist,
            self.new_track,
            *self.artists,
            *self.tracks,
            *parts,
            *(each.artist for each in self.hours),
            *(moment.track for moment in (self.first_play, *self.milestones) if moment is not None),
            *(each.item for each in self.left_behind),
            *(each.track for each in (self.busiest, *self.on_this_day) if each is not None),
            *self.albums,
        ]
        return [item for item in found if item is not None]

    @property
    def pictured(self) -> dict[str, int]:
        """Addresses of pictures, the most important first, with the width at which they are shown, in pixels."""
        large = {item.image_url for item in self.items[:4]}
        found = {self.avatar_url: SMALL_PX}
        for item in self.items:
            found.setdefault(item.image_url, LARGE_PX if item.image_url in large else SMALL_PX)
        return {url: width for url, width in found.items() if url}
