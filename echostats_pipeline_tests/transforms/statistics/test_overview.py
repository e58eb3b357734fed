from datetime import date, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.transforms.statistics.frames import DAYS_SCHEMA, HOURS_SCHEMA
from echostats_pipeline.transforms.statistics.overview import plays_per_day, plays_per_weekday_and_hour

TODAY = date(2025, 6, 15)
ago = st.integers(-3, 400)


@given(plays=st.dictionaries(ago, st.integers(0, 500)), count=st.integers(1, 120))
def test_each_of_the_last_days_is_there_once_with_its_plays(plays: dict[int, int], count: int) -> None:
    rows = [(TODAY - timedelta(days=days), number, 0, 0, 0, 0, True) for days, number in plays.items()]
    found = plays_per_day(pl.DataFrame(rows, schema=DAYS_SCHEMA, orient="row"), last=TODAY, count=count)
    assert list(found) == [TODAY - timedelta(days=days) for days in range(count - 1, -1, -1)]
    assert list(found.values()) == [plays.get(days, 0) for days in range(count - 1, -1, -1)]


@given(plays=st.dictionaries(st.tuples(ago, st.integers(0, 23)), st.integers(0, 50)), count=st.integers(1, 400))
def test_hours_of_the_week_add_up_the_plays_of_their_dates(plays: dict[tuple[int, int], int], count: int) -> None:
    rows = [(TODAY - timedelta(days=days), hour, number, 0) for (days, hour), number in plays.items()]
    found = plays_per_weekday_and_hour(pl.DataFrame(rows, schema=HOURS_SCHEMA, orient="row"), last=TODAY, count=count)
    expected = [[0] * 24 for _ in range(7)]
    for (days, hour), number in plays.items():
        if 0 <= days < count:
            expected[(TODAY - timedelta(days=days)).weekday()][hour] += number
    assert found == expected
