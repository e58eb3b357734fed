from datetime import UTC, date, datetime

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.orchestration.partitions import (
    RANGE_END,
    RANGE_START,
    USER_DAYS,
    USERS,
    day_partition,
    days_by_user,
    first_day,
    is_by_day,
    last_day,
    range_tags,
    user_days,
    windows_of_run,
)
from echostats_pipeline.transforms.days import DayWindow

keys = st.from_regex(r"[a-z0-9_-]{1,12}", fullmatch=True)
dates = st.dates(date(2008, 10, 1), date(2026, 1, 1))


@given(user=keys, day=dates)
def test_a_partition_tells_its_user_and_day_again(user: str, day: date) -> None:
    assert days_by_user([day_partition(user, day)]) == {user: [day]}


@given(pairs=st.lists(st.tuples(keys, dates), unique=True))
def test_days_are_gathered_by_user_in_order(pairs: list[tuple[str, date]]) -> None:
    found = days_by_user(day_partition(user, day) for user, day in pairs)
    assert {(user, day) for user, days in found.items() for day in days} == set(pairs)
    assert list(found) == list(dict(pairs))
    assert all(days == sorted(days) for days in found.values())


def test_a_user_partition_has_no_days() -> None:
    assert days_by_user(["ada-123456", "bob-123456"]) == {"ada-123456": [], "bob-123456": []}


def test_a_range_is_tagged_as_dagster_reads_it() -> None:
    first, last = date(2025, 1, 1), date(2025, 1, 31)
    assert range_tags(first, last, "ada") == {
        "dagster/asset_partition_range_start": "2025-01-01|ada",
        "dagster/asset_partition_range_end": "2025-01-31|ada",
        "echostats/days": "2025-01-01..2025-01-31",
    }
    assert range_tags(first, first, "ada")["echostats/days"] == "2025-01-01"
    assert range_tags(first, last, "ada", "bob")[RANGE_END] == "2025-01-31|bob"
    assert day_partition("ada", first) == range_tags(first, last, "ada")[RANGE_START]
    assert isinstance(day_partition("ada", first), dg.MultiPartitionKey)


@pytest.mark.parametrize("begin", [date(2004, 2, 29), date(2008, 10, 1), date(2024, 5, 1)])
def test_tomorrow_is_a_partition_for_it_has_begun_in_the_east(begin: date) -> None:
    noon, definition = datetime(2025, 1, 15, 12, tzinfo=UTC), user_days(begin)
    dates = definition.get_partitions_def_for_dimension("date")
    assert isinstance(dates, dg.DailyPartitionsDefinition)
    for instant in (noon, noon.replace(hour=0), noon.replace(hour=23, minute=59)):
        days = dates.get_partition_keys(current_time=instant)
        assert days[-1] == str(last_day(instant)) == "2025-01-16"
        assert days[0] == str(first_day(definition)) == str(begin)


def test_what_is_not_by_day_begins_as_long_ago_as_anything() -> None:
    assert [is_by_day(each) for each in (USER_DAYS, USERS, None)] == [True, False, False]
    assert first_day(USERS) == first_day(None) == first_day(USER_DAYS) == date(2008, 10, 1)


def test_a_range_that_begins_before_all_days_is_served_by_the_first() -> None:
    old, first, last = date(1970, 1, 1), date(2011, 5, 1), date(2012, 1, 1)
    assert range_tags(old, last, "ada", since=first)[RANGE_START] == "2011-05-01|ada"
    assert range_tags(old, old, "ada", since=first)["echostats/days"] == "2011-05-01"
    assert range_tags(old, last, "ada")[RANGE_START] == "2002-01-01|ada"


def test_the_tags_of_a_run_tell_its_users_and_days() -> None:
    first, last = date(2025, 1, 1), date(2025, 1, 31)
    order = ["cal-1", "ada-1", "bob-1"]
    month = DayWindow(first, last)
    assert windows_of_run(range_tags(first, last, "ada-1"), order) == {"ada-1": month}
    assert windows_of_run(range_tags(first, last, "cal-1", "bob-1"), order) == dict.fromkeys(
        ("cal-1", "ada-1", "bob-1"), month
    ), "in the order users were added"
    one_day = {"dagster/partition": str(day_partition("bob-1", first))}
    assert windows_of_run(one_day, order) == {"bob-1": DayWindow(first, first)}
    assert windows_of_run({"dagster/partition": "bob-1"}, order) == {"bob-1": None}
    assert windows_of_run({RANGE_START: "cal-1", RANGE_END: "ada-1"}, order) == {"cal-1": None, "ada-1": None}
    assert windows_of_run({"echostats/user": "bob-1"}, order) is None
    assert windows_of_run(range_tags(first, last, "gone-1"), order) == {"gone-1": month}
