"""Statistics: one document per user and local day, and one per user and period."""

from typing import Literal, get_args

from pydantic import Field

from echostats_pipeline.model.base import Document, Embedded, UtcDatetime, utc_now

Period = Literal["week", "month", "quarter", "year", "all_time"]
PERIODS: tuple[Period, ...] = get_args(Period)
PERIOD_DAYS: dict[Period, int | None] = {"week": 7, "month": 30, "quarter": 90, "year": 365, "all_time": None}
"""How many local dates each period has, including today; None means all."""
CalendarPeriod = Literal["this_week", "last_week", "this_month", "last_month", "this_year", "last_year"]
CALENDAR_PERIODS: tuple[CalendarPeriod, ...] = get_args(CalendarPeriod)


class HourPlays(Embedded):
    """Plays that ended within one local hour of one day."""

    hour: int
    count: int
    ms: int


class TrackPlays(Embedded):
    """Plays of one track on one day. `album_name` and `ms` go beyond the EchoStats schema."""

    spotify_id: str
    name: str
    artist_name: str
    count: int
    album_name: str
    ms: int


class SessionPart(Embedded):
    """The part of a listening session that lies on one day. A session has no pause longer than half an hour.

    `started_at` is when the first play began, `ended_at` when the last one ended. `continues` means that the session
    began on the day before.
    """

    started_at: UtcDatetime
    ended_at: UtcDatetime
    plays: int
    continues: bool
    tracks: list[int] = Field(default_factory=list)
    """The counted plays in order: the place of each play's track in `track_plays`, from 0."""


class ContextPlays(Embedded):
    """Plays from one context (a playlist, an album, an artist, the liked songs) on one day."""

    uri: str
    type: str
    count: int
    ms: int


class Repeat(Embedded):
    """One track played several times in a row within one session; `ended_at` is the end of the last play.

    `continues` means that the repeat began on the day before.
    """

    spotify_id: str
    count: int
    ended_at: UtcDatetime
    continues: bool


class LeftOut(Embedded):
    """Plays that one rule leaves out. Several rules may leave out the same play."""

    rule_id: str
    plays: int


class DailyRollup(Document):
    """Listening of one user on one local date (collection ``daily_rollups``).

    Counts include only plays that count (see `transforms.statistics.plays`); times include all plays, in milliseconds.
    """

    user_id: str
    date: str
    day_of_week: int = 0
    total_plays: int = 0
    total_ms: int = 0
    hourly: list[HourPlays] = Field(default_factory=list)
    artist_plays: dict[str, int] = Field(default_factory=dict)
    album_plays: dict[str, int] = Field(default_factory=dict)
    track_plays: list[TrackPlays] = Field(default_factory=list)
    # Beyond the EchoStats schema.
    total_rows: int = 0
    total_skips: int = 0
    total_skips_known: int = 0
    """Plays for which it is known whether they were left early."""
    uncounted_tracks: list[TrackPlays] = Field(default_factory=list)
    """Tracks without a counted play that day (`count` is 0); their time belongs to their artist and album."""
    named_tracks: list[TrackPlays] = Field(default_factory=list)
    """Plays of tracks whose id is made of names, by the names in the plays; absent if there are none."""
    sessions: list[SessionPart] = Field(default_factory=list)
    repeats: list[Repeat] = Field(default_factory=list)
    """The longest repeat of the day, one continued from the day before, and the last: the next day may continue it."""
    credited_artist_plays: dict[str, int] = Field(default_factory=dict)
    """Counted plays by the id of every artist whom the catalogue credits; artists known only by name are left out."""
    contexts: list[ContextPlays] = Field(default_factory=list)
    excluded_plays: int = 0
    """Plays that would count if no rule of the user left them out."""
    excluded_rows: int = 0
    """All plays that rules leave out; absent if there are none, like the next two."""
    excluded_ms: int = 0
    excluded_by: list[LeftOut] = Field(default_factory=list)

    def to_bson(self) -> dict[str, object]:
        """As `Document.to_bson`, without `named_tracks` and what rules leave out, if there are none."""
        document = super().to_bson()
        if not self.named_tracks:
            del document["named_tracks"]
        if not self.excluded_rows:
            for name in ("excluded_rows", "excluded_ms", "excluded_by"):
                del document[name]
        return document


class TopItem(Embedded):
    """One line of a ranking; `spotify_id` is empty for genres and for items that the catalogue does not know."""

    spotify_id: str
    name: str
    play_count: int
    total_ms: int
    image_url: str
    rank: int


class TopAlbum(TopItem):
    """One line of a ranking of albums.

    `full_listens` counts how often all tracks of the album were heard within one session. It is null where the
    catalogue does not know how many there are, and for albums of one track.
    """

    full_listens: int | None = None


class TopContext(Embedded):
    """One line of a ranking of contexts; `name` is empty where neither the library nor the catalogue knows it."""

    uri: str
    type: str
    name: str
    play_count: int
    total_ms: int
    rank: int


class HourTotal(Embedded):
    """Plays within one local hour, over the whole period."""

    hour: int
    count: int
    total_ms: int


class DayOfWeekTotal(Embedded):
    """Plays on one weekday (0 is Monday), over the whole period."""

    day: int
    count: int
    total_ms: int


class WeekdayHourTotal(Embedded):
    """Plays within one local hour of one weekday (0 is Monday), over the whole period."""

    day: int
    hour: int
    count: int
    total_ms: int


class AverageAudioFeatures(Embedded):
    """Means over the plays whose track has audio features."""

    danceability: float
    energy: float
    valence: float
    acousticness: float
    instrumentalness: float
    liveness: float
    speechiness: float
    tempo: float


class SessionTotals(Embedded):
    """Sessions of a period, cut at its ends; a length is from the start of the first play to the end of the last."""

    count: int = 0
    mean_ms: int = 0
    longest_ms: int = 0


class MostReplayed(Embedded):
    """The track played most often in a row, and the local date on which the last of these plays ended."""

    spotify_id: str
    name: str
    artist_name: str
    count: int
    date: str


class Comeback(Embedded):
    """An artist heard again after a long time: days away, date of the return, plays since then."""

    spotify_id: str
    name: str
    image_url: str
    away_days: int
    returned_on: str
    play_count: int


class MonthTotal(Embedded):
    """A calendar month (``YYYY-MM``) of a period, with what was heard for the first time ever."""

    month: str
    count: int
    total_ms: int
    new_tracks: int
    new_artists: int


class DayTotal(Embedded):
    """Plays and listening time of one local date."""

    date: str
    count: int
    total_ms: int


class PeriodStatistics(Document):
    """Statistics of one user over any span of local dates.

    Ratios are null where there is nothing to divide by. Lists hold only entries with plays, no zeros.
    """

    user_id: str
    period_start: UtcDatetime | None = None
    period_end: UtcDatetime | None = None
    total_tracks_played: int = 0
    total_ms_played: int = 0
    unique_tracks: int = 0
    """Different songs: a recording that was played under several ids counts once."""
    unique_artists: int = 0
    unique_albums: int = 0
    unique_genres: int = 0
    listening_streak_days: int = 0
    top_artists: list[TopItem] = Field(default_factory=list)
    top_tracks: list[TopItem] = Field(default_factory=list)
    top_genres: list[TopItem] = Field(default_factory=list)
    top_albums: list[TopAlbum] = Field(default_factory=list)
    hourly_distribution: list[HourTotal] = Field(default_factory=list)
    daily_distribution: list[DayOfWeekTotal] = Field(default_factory=list)
    avg_audio_features: AverageAudioFeatures | None = None
    computed_at: UtcDatetime = Field(default_factory=utc_now)
    # Beyond the EchoStats schema.
    longest_streak_days: int = 0
    audio_features_coverage: float = 0.0
    listening_streak_at_least: bool = False
    longest_streak_at_least: bool = False
    genres_coverage: float = 0.0
    active_days: int = 0
    """Local dates with a counted play."""
    unique_track_ids: int = 0
    counts_songs: bool = False
    """Whether recordings under several ids were counted as one song; documents of earlier versions count ids."""
    top_artists_by_time: list[TopItem] = Field(default_factory=list)
    top_tracks_by_time: list[TopItem] = Field(default_factory=list)
    top_genres_by_time: list[TopItem] = Field(default_factory=list)
    top_albums_by_time: list[TopAlbum] = Field(default_factory=list)
    weekday_hours: list[WeekdayHourTotal] = Field(default_factory=list)
    months: list[MonthTotal] = Field(default_factory=list)
    sessions: SessionTotals = Field(default_factory=SessionTotals)
    new_tracks: int = 0
    new_artists: int = 0
    repeat_ratio: float | None = None
    """Share of plays whose track had been played before, ever."""
    artist_entropy_bits: float | None = None
    effective_artists: float | None = None
    skip_rate: float | None = None
    most_replayed: MostReplayed | None = None
    comebacks: list[Comeback] = Field(default_factory=list)
    top_artists_credited: list[TopItem] = Field(default_factory=list)
    """Every credited artist of a track gets the play, guests too; "Various Artists" is left out."""
    top_artists_credited_by_time: list[TopItem] = Field(default_factory=list)
    top_contexts: list[TopContext] = Field(default_factory=list)
    top_contexts_by_time: list[TopContext] = Field(default_factory=list)
    contexts_coverage: float = 0.0
    excluded_plays: int = 0
    """Plays that would count if no rule of the user left them out."""
    excluded_by: list[LeftOut] = Field(default_factory=list)


class AnalyticsSnapshot(PeriodStatistics):
    """Statistics of one user over a period that ends today (collection ``analytics_snapshots``)."""

    period: Period


class CalendarSnapshot(PeriodStatistics):
    """Statistics of one user over the current or the last week (from Monday), month or year (``calendar_snapshots``).

    `period_end` is the midnight that ends the calendar period, even if it is in the future.
    """

    period: CalendarPeriod


class YearlyReview(PeriodStatistics):
    """A finished calendar year of one user (collection ``yearly_reviews``).

    `longest_streak_days` counts dates of the year only; `listening_streak_days` is the streak that reached its end.
    """

    year: int
    busiest_day: DayTotal | None = None


class StatisticsYear(Document):
    """Rollups of one user and calendar year in columns, from which snapshots are built (``statistics_years``).

    The document can be dropped at any time; the rollups are then read once more.
    """

    user_id: str
    year: int
    layout: int
    token: str
    """Identifies these columns; it is another one after each replacement."""
    vouched: bool = False
    """Whether the columns are correct except for dates with unread marks (`ChangeMark`). Others are not used."""
    columns: dict[str, bytes]
    """Frames in Arrow's IPC format, by name."""


class StatisticsCatalog(Document):
    """Columns of the tracks, artists or albums that a user's plays mention (collection ``statistics_catalog``).

    The document can be dropped at any time; the catalogue is then read once more.
    """

    user_id: str
    kind: Literal["tracks", "artists", "albums"]
    number: int
    layout: int
    as_of: UtcDatetime
    """The instant, by the database's clock, at which the catalogue had this content."""
    revision: str
    columns: bytes
    """A frame in Arrow's IPC format."""
