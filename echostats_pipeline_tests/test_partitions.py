from datetime import UTC, date, datetime, timedelta

import dagster as dg
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.partitions import (
    DAYS,
    RANGE_END,
    RANGE_START,
    day_partition,
    days_by_user,
    range_tags,
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


def test_tomorrow_is_a_partition_for_it_has_begun_in_the_east() -> None:
    noon = datetime(2025, 1, 15, 12, tzinfo=UTC)
    for instant in (noon, noon.replace(hour=0), noon.replace(hour=23, minute=59)):
        days = DAYS.get_partition_keys(current_time=instant)
        assert "2025-01-15" in days
        assert "2025-01-16" in days
        assert (instant + timedelta(days=2)).date().isoformat() not in days
    assert DAYS.get_first_partition_key() == "2008-10-01"


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
