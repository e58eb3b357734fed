"""Hypothesis strategies for statistics documents: any that the model allows, including hostile names."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from echostats_pipeline.model.plays import ListeningGap
from echostats_pipeline.model.statistics import AnalyticsSnapshot, CalendarSnapshot, DayTotal, TopItem, YearlyReview
from echostats_pipeline.report.document import ReportInput
from echostats_pipeline_tests.report import samples

NASTY = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "</style><b>", "]]>", "&amp;",
    "a\x00\x07\x1b b", "\ud800", "e\u0301", "مارسول", "🎧", " ", "", "x" * 400, "' onload='", "javascript:alert(1)",
    "\ufffe", "\u202edlrow",
)  # fmt: skip
names = st.one_of(st.sampled_from(NASTY), st.text(max_size=20))
counts = st.integers(0, 10**7)
times = st.integers(0, 10**12)
addresses = st.sampled_from(
    ["", "https://i.scdn.co/image/a", "http://evil.example/x.png", '"><script src="https://evil.example/">', "data:x"]
)
dates = st.dates(date(2022, 1, 1), date(2026, 2, 11))


@st.composite
def rankings(draw: st.DrawFn) -> list[dict[str, Any]]:
    lines = draw(st.lists(st.tuples(names, counts, times, addresses), max_size=12))
    return [
        TopItem(
            spotify_id=f"{rank:022}", name=name, play_count=plays, total_ms=ms, image_url=url, rank=rank
        ).model_dump()
        for rank, (name, plays, ms, url) in enumerate(lines, start=1)
    ]  # fmt: skip


def _lists(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries(fields), max_size=8)


months = st.lists(st.integers(0, 49), unique=True, max_size=30).flatmap(
    lambda numbers: st.tuples(
        *(
            st.fixed_dictionaries(
                {
                    "month": st.just(f"{2022 + number // 12}-{number % 12 + 1:02}"),
                    "count": counts,
                    "total_ms": times,
                    "new_tracks": counts,
                    "new_artists": counts,
                }
            )
            for number in numbers
        )
    ).map(list)
)
shares = st.none() | st.floats(0, 1)
features = st.fixed_dictionaries(
    {
        name: st.floats(-1, 2)
        for name in (
            "danceability", "energy", "valence", "acousticness", "instrumentalness", "liveness", "speechiness",
        )
    }
    | {"tempo": st.floats(0, 300)}
)  # fmt: skip
replayed = st.fixed_dictionaries(
    {"spotify_id": st.just("x"), "name": names, "artist_name": names, "count": counts, "date": dates.map(str)}
)
contexts = _lists(
    uri=st.sampled_from(("spotify:playlist:x", "spotify:user:ann:collection", "x", "")),
    type=st.sampled_from(("playlist", "collection", "")),
    name=names,
    play_count=counts,
    total_ms=times,
    rank=counts,
)
any_statistics = st.fixed_dictionaries(
    {
        "total_tracks_played": counts,
        "total_ms_played": times,
        "unique_tracks": counts,
        "unique_artists": counts,
        "listening_streak_days": counts,
        "longest_streak_days": counts,
    },
    optional={
        **{
            f"top_{kind}{order}": contexts if kind == "contexts" else rankings()
            for kind in ("artists", "tracks", "albums", "genres", "artists_credited", "contexts")
            for order in ("", "_by_time")
        },
        "contexts_coverage": st.floats(0, 1),
        "active_days": counts,
        "months": months,
        "hourly_distribution": _lists(hour=st.integers(0, 23), count=counts, total_ms=times),
        "daily_distribution": _lists(day=st.integers(0, 6), count=counts, total_ms=times),
        "weekday_hours": _lists(day=st.integers(0, 6), hour=st.integers(0, 23), count=counts, total_ms=times),
        "avg_audio_features": st.none() | features,
        "audio_features_coverage": st.floats(0, 1),
        "sessions": st.fixed_dictionaries({"count": counts, "mean_ms": times, "longest_ms": times}),
        "repeat_ratio": shares,
        "skip_rate": shares,
        "effective_artists": st.none() | st.floats(0, 10**6),
        "most_replayed": st.none() | replayed,
        "comebacks": _lists(
            spotify_id=st.just(""),
            name=names,
            image_url=addresses,
            away_days=counts,
            returned_on=dates.map(str),
            play_count=counts,
        ),
    },
)
instants = st.datetimes(datetime(2021, 6, 1), datetime(2026, 2, 11), timezones=st.just(UTC))
gaps = st.tuples(instants, st.timedeltas(timedelta(0), timedelta(days=400))).map(
    lambda gap: ListeningGap.model_validate({"user_id": "5" * 24, "from": gap[0], "to": gap[0] + gap[1]})
)
days = st.dictionaries(dates, st.tuples(counts, times), max_size=40).map(
    lambda found: [
        DayTotal(date=str(day), count=count, total_ms=ms) for day, (count, ms) in sorted(found.items())
    ]
)  # fmt: skip


@st.composite
def materials(draw: st.DrawFn) -> ReportInput:
    """Any input of a report."""
    year = draw(st.sampled_from([None, 2023, 2025, 2026]))
    fields = {"user_id": "5" * 24, **draw(any_statistics)}
    if year is None:
        statistics: Any = AnalyticsSnapshot.model_validate({**fields, "period": "all_time"})
    elif year == samples.NOW.year:
        statistics = CalendarSnapshot.model_validate({**fields, "period": "this_year"})
    else:
        busiest = draw(st.none() | st.tuples(dates.map(str), counts, times))
        day = busiest and DayTotal(date=busiest[0], count=busiest[1], total_ms=busiest[2])
        statistics = YearlyReview.model_validate({**fields, "year": year, "busiest_day": day})
    before = draw(st.none() | any_statistics)
    return ReportInput(
        user=samples.user(
            display_name=draw(names),
            image_url=draw(addresses),
            simulated=draw(st.booleans()),
            last_synced_at=draw(st.none() | instants),
            timezone=draw(st.sampled_from(["UTC", "Asia/Kolkata", "America/St_Johns", "Pacific/Apia"])),
        ),
        statistics=statistics,
        days=draw(days),
        now=samples.NOW,
        year=year,
        before=before and YearlyReview.model_validate({"user_id": "x", "year": (year or 2026) - 1, **before}),
        gaps=draw(st.lists(gaps, max_size=4)),
        credits=draw(st.dictionaries(st.integers(1, 9).map(lambda number: f"{number:022}"), names, max_size=4)),
    )
