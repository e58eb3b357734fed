"""Sample documents of a listener with three years of history, always the same, for tests of reports."""

import random
from datetime import UTC, date, datetime, timedelta

from bson import ObjectId

from echostats_pipeline.model.plays import ListeningGap
from echostats_pipeline.model.recommendations import RecommendationList, RecommendedTrack, Task
from echostats_pipeline.model.statistics import (
    AnalyticsSnapshot,
    AverageAudioFeatures,
    Comeback,
    DayOfWeekTotal,
    DayTotal,
    HourTotal,
    MonthTotal,
    MostReplayed,
    PeriodStatistics,
    SessionTotals,
    TopAlbum,
    TopItem,
    WeekdayHourTotal,
    YearlyReview,
)
from echostats_pipeline.model.users import User
from echostats_pipeline.report.document import ReportInput

NOW = datetime(2026, 2, 11, 9, 0, tzinfo=UTC)
FIRST = date(2023, 3, 14)
ARTISTS = (
    "Velno Kastar", "The Orchard", "Сольдра", "Mr. Osbo", "$ilvalane", "夜ノ森オルカ", "Nuitée", "Copper & the Signal",
    "مارسول", "Fenmarbri", "Julo", "Satellite of Qui",
)  # fmt: skip
TITLES = (
    "Static River", "No More Lanterns", "Überfluß", "星の signal", "Hollow", "Amber Amber", "Cinder (Velno Version)",
    "Wait, What? (feat. Mr. Osbo) [Live at Velno, 1999]", "Parade of Thunder", "The Meadow", "$5.00", "Granite",
)  # fmt: skip
GENRES = ("indie pop", "nordic folk", "deep house", "jazz", "ambient", "hip hop", "soul", "techno", "rock", "metal")
PLAY_MS = 201_000


def user(**changes: object) -> User:
    known = {"display_name": "Ann", "partition_key": "ann-123456", "timezone": "Europe/Berlin", "spotify_id": "ann"}
    return User.model_validate({"_id": ObjectId("5" * 24), "last_synced_at": NOW, **known, **changes})


def days() -> list[DayTotal]:
    """Days with more plays at weekends and in winter, some days without plays, and two weeks off."""
    dice, found = random.Random(7), []
    for number in range((NOW.date() - FIRST).days + 1):
        day = FIRST + timedelta(days=number)
        if dice.random() < 0.12 or (day.month == 8 and day.day < 13):
            continue
        plays = max(1, int(dice.gauss(38 if day.weekday() > 4 else 24, 11) * (1.25 if day.month in (11, 12, 1) else 1)))
        found.append(DayTotal(date=day.isoformat(), count=plays, total_ms=plays * PLAY_MS + dice.randrange(900_000)))
    return found


def top(names: tuple[str, ...], *, ids: bool = True, pictures: bool = True) -> list[TopItem]:
    return [
        TopItem(
            spotify_id=f"{number:022}" if ids else "",
            name=name,
            play_count=round(1_400 * 0.83**number),
            total_ms=round(1_400 * 0.83**number) * PLAY_MS,
            image_url=f"https://i.scdn.co/image/{names[0][:3].encode().hex()}{number}" if pictures else "",
            rank=number + 1,
        )
        for number, name in enumerate(names)
    ]


def albums(names: tuple[str, ...]) -> list[TopAlbum]:
    """Albums of which every third was heard in full."""
    return [TopAlbum(**album.model_dump(), full_listens=None if album.rank % 3 else album.rank) for album in top(names)]


def statistics(model: type[PeriodStatistics], of: list[DayTotal], **changes: object) -> PeriodStatistics:
    dice = random.Random(3)
    shape = [round(90 * (1 if 7 < hour < 23 else 0.08) * (1 + (16 < hour < 21))) for hour in range(24)]
    week = [
        WeekdayHourTotal(day=day, hour=hour, count=count, total_ms=count * PLAY_MS)
        for day in range(7)
        for hour in range(24)
        if (count := round(shape[(hour - 2 * (day > 4)) % 24] * dice.uniform(0.6, 1.3)))
    ]
    months: dict[str, list[DayTotal]] = {}
    for day in of:
        months.setdefault(day.date[:7], []).append(day)
    known = {
        "user_id": "5" * 24,
        "total_tracks_played": sum(day.count for day in of),
        "total_ms_played": sum(day.total_ms for day in of),
        "unique_tracks": 2_931,
        "unique_artists": 634,
        "unique_albums": 1_480,
        "unique_genres": 97,
        "listening_streak_days": 12,
        "longest_streak_days": 61,
        "top_artists": top(ARTISTS),
        "top_tracks": top(TITLES),
        "top_albums": albums(tuple(reversed(TITLES))),
        "top_genres": top(GENRES, ids=False, pictures=False),
        "top_artists_by_time": top((ARTISTS[1], ARTISTS[0], *ARTISTS[2:])),
        "top_tracks_by_time": top((TITLES[7], *TITLES[:7], *TITLES[8:])),
        "top_albums_by_time": albums(TITLES[2:]),
        "top_genres_by_time": top(GENRES[::-1], ids=False, pictures=False),
        "hourly_distribution": [
            HourTotal(hour=hour, count=count, total_ms=count * PLAY_MS) for hour, count in enumerate(shape)
        ],
        "daily_distribution": [
            DayOfWeekTotal(day=day, count=900 + 60 * day, total_ms=(900 + 60 * day) * PLAY_MS) for day in range(7)
        ],
        "avg_audio_features": AverageAudioFeatures(
            danceability=0.61, energy=0.7, valence=0.44, acousticness=0.23, instrumentalness=0.12, liveness=0.17,
            speechiness=0.06, tempo=118.4,
        ),
        "audio_features_coverage": 0.83,
        "active_days": len(of),
        "weekday_hours": week,
        "months": [
            MonthTotal(
                month=month,
                count=sum(day.count for day in each),
                total_ms=sum(day.total_ms for day in each),
                new_tracks=dice.randrange(20, 190),
                new_artists=dice.randrange(2, 45),
            )
            for month, each in sorted(months.items())
        ],
        "sessions": SessionTotals(count=1_204, mean_ms=47 * 60_000, longest_ms=5 * 3_600_000 + 12 * 60_000),
        "new_tracks": 1_204,
        "new_artists": 268,
        "repeat_ratio": 0.72,
        "artist_entropy_bits": 6.9,
        "effective_artists": 119.4,
        "skip_rate": 0.18,
        "most_replayed": MostReplayed(
            spotify_id="0" * 22, name=TITLES[0], artist_name=ARTISTS[0], count=9, date=of[len(of) // 2].date
        ),
        "comebacks": [
            Comeback(
                spotify_id=f"{number:022}", name=name, image_url="", away_days=700 - 90 * number,
                returned_on=of[len(of) // 3 + number].date, play_count=40 - 7 * number,
            )
            for number, name in enumerate(("Nuitée", "Сольдра", "The Orchestra of Very Very Very Long Names"))
        ],
    }  # fmt: skip
    return model.model_validate({**known, **changes})


def gaps() -> list[ListeningGap]:
    def gap(begin: datetime, end: datetime) -> ListeningGap:
        return ListeningGap.model_validate({"user_id": "5" * 24, "from": begin, "to": end})

    offline = datetime(2025, 5, 3, 16, 20, tzinfo=UTC)
    return [
        gap(offline, offline + timedelta(days=5, hours=3)),
        gap(offline + timedelta(days=90), offline + timedelta(days=90)),
    ]


def year(number: int = 2025) -> ReportInput:
    heard = days()
    of = [day for day in heard if day.date.startswith(str(number))]
    longest = max(of, key=lambda day: day.total_ms)
    earlier = [day for day in heard if day.date.startswith(str(number - 1))]
    return ReportInput(
        user=user(),
        statistics=statistics(YearlyReview, of, year=number, busiest_day=longest),
        before=statistics(YearlyReview, earlier[:290], year=number - 1, unique_tracks=2_600, unique_artists=702)
        if earlier
        else None,
        days=heard,
        now=NOW,
        year=number,
        gaps=gaps(),
        credits={f"{position:022}": ARTISTS[position % 12] for position in range(12)},
    )


def recommended(task: Task = "discover", **changes: object) -> RecommendationList:
    """A list with two songs."""
    songs = [
        RecommendedTrack(
            rank=rank,
            spotify_id=f"{rank:022}",
            name=f"Song {rank}",
            artist_name=f"Artist <{rank}>",
            score=1 / rank,
            sources=["library"],
            heard_before=0,
            reason="It sounds like what you play: calm, neutral, slow.",
            reason_kind="features",
        )
        for rank in (1, 2)
    ]
    made = RecommendationList(
        user_id="u",
        task=task,
        strategy="content_based",
        model="content",
        is_baseline=False,
        why="content is better than the best baseline.",
        plays=9,
        tracks=songs,
        created_at=NOW,
        expires_at=NOW,
    )
    return made.model_copy(update=changes)


def all_time() -> ReportInput:
    heard = days()
    statistic = statistics(AnalyticsSnapshot, heard, period="all_time")
    return ReportInput(user=user(), statistics=statistic, days=heard, now=NOW, gaps=gaps())
