"""The content of a report: numbers from the documents, fair comparisons, and unknown time named as unknown."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from echostats_pipeline.model.statistics import (
    AnalyticsSnapshot,
    CalendarSnapshot,
    DayTotal,
    LeftOut,
    MonthTotal,
    TopContext,
)
from echostats_pipeline.report.build import build_report
from echostats_pipeline.report.document import Figure, Report, ReportInput
from echostats_pipeline.report.page import render
from echostats_pipeline.transforms.coverage import Stretch
from echostats_pipeline_tests.report import samples


def figure(report: Report, name: str) -> Figure:
    return next(each for each in (*report.figures, *report.discovery, *report.streaks) if each.name == name)


def changed(material: ReportInput, **fields: Any) -> ReportInput:
    return replace(material, statistics=material.statistics.model_copy(update=fields))


def test_numbers_are_the_documents_own() -> None:
    material = samples.year()
    report = build_report(material)
    assert figure(report, "plays").value == f"{material.statistics.total_tracks_played:,}"
    assert figure(report, "songs") == Figure("songs", "2,931", "13 % more than 2024")
    assert figure(report, "artists").note == "10 % fewer than 2024"
    assert figure(report, "albums").note == "as many as 2024"
    assert report.rankings[1].by_plays[0].by == samples.ARTISTS[0]
    assert report.rankings[0].by_plays[0].by == "", "an artist has no artist"
    assert [ranking.kind for ranking in report.rankings] == ["artists", "tracks", "albums", "genres"]
    assert [line.share for line in report.rankings[0].by_plays][:2] == [1.0, pytest.approx(0.83, abs=0.01)]


def test_a_year_that_runs_is_compared_up_to_yesterday_with_the_year_before() -> None:
    days = samples.days()
    this_year = [day for day in days if day.date >= "2026-01-01"]
    then, now = (sum(day.count for day in days if f"{y}-01-01" <= day.date <= f"{y}-02-10") for y in (2025, 2026))
    statistics = samples.statistics(CalendarSnapshot, this_year, period="this_year")
    report = build_report(ReportInput(samples.user(), statistics, days, samples.NOW, 2026, samples.year().statistics))
    share = round((now / then - 1) * 100)
    assert figure(report, "plays").note.startswith(f"{abs(share)} %")
    assert figure(report, "plays").note.endswith("2025 until 10 February")
    assert figure(report, "songs").note == "", "documents do not count them by day"
    assert report.calendar.years[0].halves[0][-1].day == samples.NOW.date()


def test_a_year_of_which_not_everything_is_known_is_compared_with_nothing() -> None:
    report = build_report(samples.year(2024))
    assert {each.note for each in report.figures} == {""}


def test_what_is_unknown_is_not_zero() -> None:
    report = build_report(changed(samples.year(), skip_rate=None, repeat_ratio=None, avg_audio_features=None))
    assert figure(report, "skipped").value == "unknown"
    assert figure(report, "heard before").value == "unknown"
    assert report.sound is None
    assert any("audio features" in line for line in report.unknown)


def test_statistics_of_an_earlier_version_say_so_instead_of_zeros() -> None:
    known = {"user_id": "x", "period": "all_time", "total_tracks_played": 9, "total_ms_played": 9, "unique_tracks": 3}
    material = ReportInput(samples.user(), AnalyticsSnapshot.model_validate(known), samples.days(), samples.NOW)
    report = build_report(material)
    assert "days with music" not in {each.name for each in report.figures}
    assert {each.name for each in report.streaks} == {"longest streak", "streak"}
    assert report.discovery == []
    assert any("echostats backfill --user ann-123456" in line for line in report.unknown)


def test_days_before_the_first_play_and_after_the_last_sync_are_not_without_music() -> None:
    material = samples.year(2023)
    report = build_report(material)
    states = {cell.day: cell.state for half in report.calendar.years[0].halves for cell in half}
    assert states[samples.FIRST - timedelta(days=1)] == "unknown"
    assert states[samples.FIRST] == "known"
    assert any("Nothing is known of the days before 14 March 2023" in line for line in report.unknown)

    synced = datetime(2025, 11, 1, tzinfo=UTC)
    until = [day for day in samples.days() if day.date <= "2025-10-20"]
    late = build_report(replace(samples.year(), user=samples.user(last_synced_at=synced), days=until))
    states = {cell.day: cell.state for half in late.calendar.years[0].halves for cell in half}
    assert (states[date(2025, 10, 31)], states[date(2025, 11, 2)]) == ("known", "unknown")
    assert any("last sync was on 1 November 2025" in line for line in late.unknown)


def test_days_of_an_open_gap_are_marked_and_it_is_told_what_closes_it() -> None:
    report = build_report(samples.year())
    marked = {cell.day for half in report.calendar.years[0].halves for cell in half if cell.state == "gap"}
    assert marked == {date(2025, 5, day) for day in range(3, 9)}
    assert report.gaps is not None
    assert report.gaps.spans == ["3 May 2025, 18:20 \N{EN DASH} 8 May 2025, 21:20"]
    assert "Spotify does not name the track of 1 play" in report.gaps.told
    assert build_report(samples.year(2024)).gaps is None, "gaps of other years are not this one's"
    closed = [gap.model_copy(update={"closed_by": "import"}) for gap in samples.gaps()]
    assert build_report(replace(samples.year(), gaps=closed)).gaps is None


def test_every_level_holds_about_a_quarter_of_the_days() -> None:
    cells = [cell for half in build_report(samples.year()).calendar.years[0].halves for cell in half]
    levels = [sum(cell.level == level for cell in cells) for level in range(1, 5)]
    assert max(levels) - min(levels) <= 2
    assert all(cell.level == 0 for cell in cells if not cell.ms)


def test_pictures_are_wanted_once_each_the_most_important_first() -> None:
    report = build_report(replace(samples.year(), user=samples.user(image_url="https://i.scdn.co/image/me")))
    wanted = list(report.pictured)
    assert wanted[0] == "https://i.scdn.co/image/me"
    assert wanted[1] == report.rankings[0].by_plays[0].image_url
    assert len(wanted) == len(set(wanted))
    assert "" not in wanted


def test_a_day_of_one_short_play_is_not_a_day_without() -> None:
    lone = [DayTotal(date="2025-03-03", count=0, total_ms=1)]
    cells = [
        cell for half in build_report(replace(samples.year(), days=lone)).calendar.years[0].halves for cell in half
    ]
    assert [cell.level > 0 for cell in cells if cell.day == date(2025, 3, 3)] == [True]


def test_months_without_plays_are_on_the_axis_and_unknown_ones_are_not_silent() -> None:
    month = {"count": 1, "total_ms": 1, "new_tracks": 0, "new_artists": 0}
    months = [MonthTotal(month=name, **month) for name in ("2025-01", "2025-05")]
    material = replace(
        changed(samples.year(), months=months),
        covered=[
            Stretch(datetime(2024, 12, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)),
            Stretch(datetime(2025, 5, 1, tzinfo=UTC), datetime(2026, 2, 11, tzinfo=UTC)),
        ],
    )
    found = {f"{each.first:%m}": (each.plays, each.known) for each in build_report(material).months}
    assert list(found) == [f"{number:02}" for number in range(1, 13)]
    assert {name for name, (_, known) in found.items() if not known} == {"03", "04"}
    assert (found["02"], found["05"]) == ((0, True), (1, True))


def test_credited_artists_contexts_and_full_listens_are_told() -> None:
    context = TopContext(uri="spotify:playlist:37i9", type="playlist", name="", play_count=9, total_ms=9_000, rank=1)
    named = context.model_copy(update={"uri": "spotify:playlist:a", "name": "Walks", "rank": 2})
    liked = context.model_copy(
        update={"uri": "spotify:user:ann:collection", "type": "collection", "name": "Liked Songs"}
    )
    more = {"top_contexts": [context, named, liked], "contexts_coverage": 0.5}
    report = build_report(changed(samples.year(), top_artists_credited=samples.top(("Guest",)), **more))
    titles = [ranking.title or ranking.kind for ranking in report.rankings]
    assert titles == ["artists", "All credited artists", "tracks", "albums", "genres", "Played from"]
    assert report.rankings[1].by_plays[0].name == "Guest"
    assert "guests too" in report.rankings[1].told
    lines = [(line.name, line.by) for line in report.rankings[-1].by_plays]
    assert lines == [("playlist 37i9", ""), ("Walks", "playlist"), ("Liked Songs", "")]
    plays = report.figures[1].value
    assert f"of {plays} plays" in report.rankings[-1].told
    assert [line.more for line in report.rankings[3].by_plays[:3]] == ["", "", "heard in full 3 times"]
    assert len({ranking.key for ranking in report.rankings}) == len(report.rankings)


def test_plays_that_rules_leave_out_are_named() -> None:
    assert not any("left out" in line for line in build_report(samples.year()).unknown)
    by = [LeftOut(rule_id="a", plays=400), LeftOut(rule_id="b", plays=30)]
    report = build_report(changed(samples.year(), excluded_plays=412, excluded_by=by))
    told = f"412 plays left out by 2 rules. To see the rules: echostats rules list --user {report.partition_key}"
    assert told in report.unknown


def test_the_sources_of_genres_that_ask_for_it_are_named() -> None:
    report = build_report(replace(samples.year(), genre_sources=("lastfm", "musicbrainz", "spotify")))
    named = {ranking.kind: [source.name for source in ranking.sources] for ranking in report.rankings}
    assert named == {"artists": [], "tracks": [], "albums": [], "genres": ["Last.fm", "MusicBrainz"]}
    page = render(report, {}).html
    assert '<a href="https://musicbrainz.org" rel="noreferrer">MusicBrainz</a> (CC BY-NC-SA 3.0)' in page
    assert "With genres from" not in render(build_report(samples.year()), {}).html


def test_of_few_plays_genres_and_features_are_not_told() -> None:
    little = changed(samples.year(), genres_coverage=0.1, audio_features_coverage=0.1)
    report = build_report(replace(little, filling={"genres": "about 7 days left"}, short_plays=41_485))
    assert report.sound is None
    genres = report.rankings[-1]
    assert (genres.kind, genres.by_plays) == ("genres", [])
    assert genres.told.startswith("The catalogue is filling: genres are known for")
    assert genres.told.endswith("plays, about 7 days left.")
    assert "41,485 plays under 30 s are kept and not counted." in report.unknown
    enough = build_report(changed(samples.year(), genres_coverage=0.5)).rankings[-1]
    assert enough.by_plays
    assert enough.told.startswith("Known for")
