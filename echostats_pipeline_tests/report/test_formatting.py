"""Quantities in words, as a person would say them."""

from datetime import date

import pytest

from echostats_pipeline.report.formatting import change, duration, hours, initials, listed, percent, plural, span


@pytest.mark.parametrize(
    ("ms", "reported"),
    [
        (0, "no time"), (20_000, "less than a minute"), (60_000, "1 min"), (3_600_000, "1 h"),
        (3_600_000 + 20 * 60_000, "1 h 20 min"), (3_599_999, "1 h"), (812 * 3_600_000, "812 h"),
    ],
)  # fmt: skip
def test_durations(ms: int, reported: str) -> None:
    assert duration(ms) == reported


def test_hours_are_as_exact_as_they_are_few() -> None:
    assert [hours(each) for each in (0, 600_000, 34_000_000, 3_600_000_000)] == ["0", "0.2", "9.4", "1,000"]


def test_shares_are_never_rounded_to_nothing_or_to_all() -> None:
    assert [percent(each) for each in (0, 0.001, 0.624, 0.999, 1)] == [
        "0 %", "less than 1 %", "62 %", "more than 99 %", "100 %",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("now", "before", "reported"),
    [
        (112, 100, "12 % more than"), (97, 100, "3 % fewer than"), (100, 100, "as many as"), (410, 100, "4 times"),
        (1, 0, ""),
    ],
)  # fmt: skip
def test_changes(now: int, before: int, reported: str) -> None:
    assert change(now, before) == reported


def test_spans_say_nothing_twice() -> None:
    dash = "\N{EN DASH}"
    day = date(2025, 3, 3)
    assert span(day, day) == "3 March 2025"
    assert span(day, date(2025, 3, 5)) == f"3 {dash} 5 March 2025"
    assert span(day, date(2025, 4, 2)) == f"3 March {dash} 2 April 2025"
    assert span(day, date(2026, 1, 1)) == f"3 March 2025 {dash} 1 January 2026"


def test_initials_stand_for_any_name() -> None:
    assert [initials(name) for name in ("The Orchard", "$ilvalane", "夜ノ森", "...", "")] == ["TO", "I", "夜", "♪", "♪"]


def test_nouns_follow_their_count() -> None:
    assert [plural(1, "play"), plural(2_000, "play"), plural(2, "stretch", "stretches")] == [
        "1 play", "2,000 plays", "2 stretches",
    ]  # fmt: skip
    assert listed(["a", "b", "c"]) == "a, b and c"
