"""Which spans a recap looks at, what it compares, and what rules leave out."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from bson import ObjectId

from echostats_pipeline.model.catalog import ArtistRef
from echostats_pipeline.model.plays import ListeningGap
from echostats_pipeline.model.rules import Exclusion, Rule
from echostats_pipeline.recap.build import build_recap
from echostats_pipeline.recap.spans import Period, compared_spans, parts_of, same_days, until_today
from echostats_pipeline.recap.unknown import Holes, difference
from echostats_pipeline.transforms.coverage import UnknownDays
from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline.transforms.statistics.snapshots import build_snapshots
from echostats_pipeline_tests.recap.histories import ARTISTS, NOW, ZONE, given, heard_on, play, years_with_holes

TODAY = NOW.date()


def test_a_year_that_goes_on_is_compared_up_to_yesterday() -> None:
    (pair,) = compared_spans(Period(2026), TODAY)
    assert (pair.name, pair.before_name) == ("2026 until 28 November", "2025 until 28 November")
    assert pair.span == DayWindow(date(2026, 1, 1), date(2026, 11, 28))
    assert pair.before == DayWindow(date(2025, 1, 1), date(2025, 11, 28))
    whole = (date(2024, 1, 1), date(2024, 12, 31))
    assert [each[2:] for each in compared_spans(Period(2025), TODAY)] == [("2024", DayWindow(*whole))]
    (leap,) = compared_spans(Period(2024), date(2024, 3, 1))
    assert (leap.span.last, leap.before.last) == (date(2024, 2, 29), date(2023, 2, 28))
    (last_day,) = compared_spans(Period(2026), date(2026, 12, 31))
    assert (last_day.span.last, last_day.before.last) == (date(2026, 12, 30), date(2025, 12, 30))
    assert compared_spans(Period(2026), date(2026, 1, 1)) == []


def test_a_month_is_compared_with_that_of_the_year_before_and_the_one_before() -> None:
    assert [each.before_name for each in compared_spans(Period(2026, 1), TODAY)] == ["January 2025", "December 2025"]
    a_year_ago, before = compared_spans(Period(2026, 3), date(2026, 3, 31))
    assert a_year_ago[2:] == ("March 2025 until 30 March", DayWindow(date(2025, 3, 1), date(2025, 3, 30)))
    assert before[2:] == ("February 2026 until 28 February", DayWindow(date(2026, 2, 1), date(2026, 2, 28)))


def test_the_parts_cover_the_period_without_a_hole() -> None:
    for period in (Period(2026), Period(2024), Period(2026, 11), Period(2026, 2), Period(2027, 8)):
        today = max(period.window.first, TODAY)
        parts = list(parts_of(period, today).values())
        assert [day for part in parts for day in part.dates()] == list(until_today(period, today).dates())
    assert list(parts_of(Period(2026, 11), TODAY))[:2] == ["1 November 2026", "2 \N{EN DASH} 8 November 2026"]


def test_29_february_comes_back_in_leap_years() -> None:
    assert same_days(date(2024, 2, 29), date(2015, 1, 1)) == [date(2020, 2, 29), date(2016, 2, 29)]
    assert same_days(TODAY, date(2024, 11, 30)) == [date(2025, 11, 29)]


@pytest.mark.parametrize(
    ("now", "before", "now_whole", "before_whole", "said"),
    [
        (112, 100, True, True, "12 % more than"),
        (90, 100, True, True, "10 % fewer than"),
        (100, 100, True, True, "as many as"),
        (90, 100, False, True, ""),
        (1149, 1000, False, True, "at least 14 % more than"),
        (390, 100, False, True, "at least 3 times"),
        (90, 100, True, False, "at least 10 % fewer than"),
        (110, 100, True, False, ""),
        (110, 100, False, False, ""),
        (1001, 1000, False, True, ""),
        (5, 0, False, True, ""),
        (5, 0, True, True, ""),
    ],
)
def test_a_hole_allows_only_what_is_true_in_spite_of_it(
    now: int, before: int, now_whole: bool, before_whole: bool, said: str
) -> None:
    assert difference(now, before, now_whole=now_whole, before_whole=before_whole) == said


def test_a_hole_is_a_day_not_covered_one_with_a_gap_or_one_before_the_history() -> None:
    unknown = UnknownDays(touched=frozenset({date(2026, 3, 5), date(2026, 3, 9)}))
    begin = datetime(2026, 3, 9, 12, tzinfo=UTC)
    gap = ListeningGap.model_validate({"user_id": "u", "from": begin, "to": begin + timedelta(days=1)})
    holes = Holes.of(unknown, [gap], date(2026, 3, 3), ZoneInfo(ZONE))
    assert holes.within(DayWindow(date(2026, 3, 1), date(2026, 3, 31))) == 2 + 3
    assert holes.within(DayWindow(date(2026, 3, 11), date(2026, 3, 31))) == 0
    assert holes.within(DayWindow(date(2026, 2, 1), date(2026, 2, 28))) == 28


def test_the_sums_are_those_of_the_yearly_review() -> None:
    plays, covered = years_with_holes()
    material = given(plays, Period(2025), covered=covered)
    built = build_snapshots(material.heard, user_id="u", timezone=ZONE, today=TODAY)
    (review,) = (each for each in built.reviews if each["year"] == 2025)
    recap = build_recap(material)
    totals, busiest = recap.totals, recap.busiest
    assert busiest is not None
    assert recap.streak is not None
    assert (totals.plays, totals.ms, totals.tracks, totals.artists, totals.albums, totals.active_days) == tuple(
        review[name]
        for name in (
            "total_tracks_played", "total_ms_played", "unique_tracks", "unique_artists", "unique_albums", "active_days",
        )
    )  # fmt: skip
    assert (totals.new_tracks, totals.new_artists) == (review["new_tracks"], review["new_artists"])
    assert recap.streak.days == review["longest_streak_days"]
    assert (str(busiest.day), busiest.plays, busiest.ms) == tuple(review["busiest_day"].values())
    assert [(each.name, each.plays) for each in recap.artists] == [
        (each["name"], each["play_count"]) for each in review["top_artists"][:10]
    ]
    assert [part.plays for part in recap.parts] == [month["count"] for month in review["months"]]


def test_what_rules_leave_out_is_nowhere() -> None:
    left_out = Exclusion(artist=ArtistRef(spotify_id="", name=ARTISTS[0]))
    rule = Rule.model_validate({"_id": ObjectId(), "user_id": "u", "kind": "exclude", "exclude": left_out})
    days = DayWindow(date(2026, 10, 1), date(2026, 11, 20)).dates()
    plays = [*heard_on(list(days)), play(datetime(2026, 9, 30, 12, tzinfo=UTC), 0)]
    with_it, without = (build_recap(given(plays, Period(2026), rules=rules)) for rules in ([], [rule]))
    assert ARTISTS[0] in {item.name for item in with_it.items}
    names = {name for item in without.items for name in (item.name, item.by)}
    assert ARTISTS[0] not in names
    assert with_it.first_play is not None
    assert without.first_play is not None
    assert (with_it.first_play.track.name, with_it.first_play.day) == ("Song 00", date(2026, 9, 30))
    assert without.first_play.day > date(2026, 9, 30)
    assert any("left out by 1 rule" in text for text in without.unknown)
