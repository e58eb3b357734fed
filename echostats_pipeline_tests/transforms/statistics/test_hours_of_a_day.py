"""Limits to the listening time of a local date that only Spotify's API has reported."""

from datetime import date, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline_tests.transforms.listening_factories import STARTS, daily_rollups, histories, quick
from echostats_pipeline_tests.transforms.oracle import OraclePlay
from echostats_pipeline_tests.transforms.oracle_periods import first_instant

MS = timedelta(milliseconds=1)
# A date that comes twice is no single stretch of time.
one_piece = st.sampled_from(sorted(STARTS.keys() - {"America/St_Johns"}))


@st.composite
def api_only(draw: st.DrawFn) -> tuple[str, list[OraclePlay]]:
    zone = draw(one_piece)
    plays = draw(histories(zone, max_plays=40))
    long = draw(st.booleans())  # as if music had never stopped
    return zone, [
        OraclePlay(play.played_at, play.track_id, duration_ms=86_400_000 if long else play.duration_ms)
        for play in plays
    ]


@cache
def length_ms(day: date, zone: str) -> int:
    return (first_instant(day + timedelta(days=1), zone) - first_instant(day, zone)) // MS


@quick
@given(history=api_only())
def test_no_more_is_heard_on_a_date_than_it_lasts_and_its_first_play_brings_along(
    history: tuple[str, list[OraclePlay]],
) -> None:
    """A play belongs completely to the date of its end: the first play's share before midnight is added."""
    zone, plays = history
    in_order = sorted(plays, key=lambda play: (play.played_at, play.track_id))
    for rollup in daily_rollups(plays, zone):
        day = date.fromisoformat(rollup["date"])
        place = next(
            place for place, play in enumerate(in_order) if play.played_at.astimezone(ZoneInfo(zone)).date() == day
        )
        first = in_order[place]
        passed_ms = (first.played_at - in_order[place - 1].played_at) // MS if place else first.duration_ms
        since_midnight_ms = (first.played_at - first_instant(day, zone)) // MS
        brought_along_ms = max(0, min(first.duration_ms, passed_ms) - since_midnight_ms)
        assert rollup["total_ms"] <= length_ms(day, zone) + brought_along_ms


def test_a_day_of_uninterrupted_music_lasts_as_long_as_the_day() -> None:
    for zone, day, hours in (
        ("UTC", date(2024, 3, 10), 24),
        ("America/New_York", date(2024, 3, 10), 23),
        ("America/New_York", date(2024, 11, 3), 25),
        ("Australia/Lord_Howe", date(2024, 4, 7), 24.5),
    ):
        midnight = first_instant(day, zone)
        ends = [midnight + timedelta(minutes=4 * number) for number in range(500)]
        plays = [OraclePlay(end, "t", duration_ms=240_000) for end in ends]
        (rollup,) = daily_rollups(plays, zone, days=[day])
        # A play that ends exactly at midnight belongs to the new day, and so does its time.
        assert rollup["total_ms"] == -(-hours * 3_600_000 // 240_000) * 240_000
