"""Statistics: one document per user and local day, and one per user and period."""

from typing import Literal, get_args

from pydantic import Field

from echostats_pipeline.model.base import Document, Embedded, UtcDatetime, utc_now

Period = Literal["week", "month", "quarter", "year", "all_time"]
PERIODS: tuple[Period, ...] = get_args(Period)
PERIOD_DAYS: dict[Period, int | None] = {"week": 7, "month": 30, "quarter": 90, "year": 365, "all_time": None}
"""Local dates in each period, today included; None means all of them."""


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


class DailyRollup(Document):
    """Listening of one user on one local date (collection ``daily_rollups``).

    Counts are of plays that count (see `transforms.plays`); times are of all plays, in milliseconds.
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
    uncounted_tracks: list[TrackPlays] = Field(default_factory=list)
    """Tracks of which nothing counted that day (`count` is 0): their time belongs to their artist and album."""


class TopItem(Embedded):
    """One line of a ranking; `spotify_id` is empty for genres and for what the catalogue does not know."""

    spotify_id: str
    name: str
    play_count: int
    total_ms: int
    image_url: str
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


class AnalyticsSnapshot(Document):
    """Statistics of one user over one period (collection ``analytics_snapshots``)."""

    user_id: str
    period: Period
    period_start: UtcDatetime | None = None
    period_end: UtcDatetime | None = None
    total_tracks_played: int = 0
    total_ms_played: int = 0
    unique_tracks: int = 0
    unique_artists: int = 0
    unique_albums: int = 0
    unique_genres: int = 0
    listening_streak_days: int = 0
    top_artists: list[TopItem] = Field(default_factory=list)
    top_tracks: list[TopItem] = Field(default_factory=list)
    top_genres: list[TopItem] = Field(default_factory=list)
    top_albums: list[TopItem] = Field(default_factory=list)
    hourly_distribution: list[HourTotal] = Field(default_factory=list)
    daily_distribution: list[DayOfWeekTotal] = Field(default_factory=list)
    avg_audio_features: AverageAudioFeatures | None = None
    computed_at: UtcDatetime = Field(default_factory=utc_now)
    # Beyond the EchoStats schema.
    longest_streak_days: int = 0
    audio_features_coverage: float = 0.0
