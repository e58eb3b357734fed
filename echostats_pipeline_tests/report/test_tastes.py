"""What the report says about artists over the years, about liked songs, and to somebody who has imported nothing."""

from dataclasses import replace
from datetime import timedelta

import pytest

from echostats_pipeline.model.statistics import TopItem
from echostats_pipeline.report import page
from echostats_pipeline.report.build import build_report
from echostats_pipeline.report.document import LikedSong, LikedSongs, ReportInput, song_key
from echostats_pipeline.report.page import level_names, rank_level, render, week_levels
from echostats_pipeline.report.tastes import build_comparisons, build_liked, build_ranks
from echostats_pipeline_tests.report import samples
from echostats_pipeline_tests.report.page_assertions import assert_loads_nothing, parsed, text_of

FIFTY = tuple(f"Name {number}" for number in range(50))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "drawn", lambda _, said: f'<svg role="img" aria-label="{len(said)}"/>')


def with_tops(**changes: list[TopItem]) -> ReportInput:
    given = samples.all_time()
    return replace(given, statistics=given.statistics.model_copy(update=changes))


def liked(*songs: LikedSong, unplayed: int = 0) -> LikedSongs:
    keys = {song.spotify_id for song in songs} | {song_key(song.name, song.artist_name) for song in songs}
    return LikedSongs(len(songs), keys, songs[:unplayed])


def song(number: int, name: str = "Other", artist: str = "Somebody") -> LikedSong:
    return LikedSong(f"{number:022}", name, artist, samples.NOW - timedelta(days=number))


def test_fifty_places_are_there_and_ten_of_them_at_once() -> None:
    html = render(build_report(with_tops(top_artists=samples.top(FIFTY), top_artists_by_time=[])), {}).html
    assert_loads_nothing(html)
    (rest,) = [each for each in parsed(html).iter("details") if "Places 11 to 50" in "".join(each.itertext())]
    assert [item.text for item in rest.iter("a")] == [f"Name {number}" for number in range(10, 50)]
    assert len(list(rest.iter("li"))) == 40


def test_an_artist_has_the_rank_of_each_year() -> None:
    one, other = samples.top(FIFTY), samples.top(FIFTY[::-1])
    given = replace(with_tops(top_artists=one), years={2024: one, 2025: other[:3], 2026: []})
    years, ranks = build_ranks(replace(given, years={**given.years, 2026: one[1:2]}))
    assert years == [2024, 2025, 2026]
    assert [each.ranks for each in ranks[:2]] == [[1, 1, None], [2, 2, 2]]
    assert build_ranks(replace(given, years={2024: one})) == ([], [])
    assert build_ranks(replace(given, year=2025)) == ([], [])
    html = render(build_report(given), {}).html
    assert "Your artists, year by year" in text_of(html)
    assert [rank_level(rank) for rank in (1, 2, 3, 4, 10, 11, 50, None)] == [4, 3, 3, 2, 2, 1, 1, 0]


def test_liked_songs_are_found_under_any_id() -> None:
    tops = samples.top(("Static River", "Hollow", "Granite"))
    given = replace(with_tops(top_tracks=tops), credits={tops[1].spotify_id: "Julo, A Guest"})
    of_first, of_second = song(0), song(99, "HOLLOW", "julo")
    found = build_liked(replace(given, liked=liked(song(7), of_first, of_second, unplayed=1)))
    assert found is not None
    assert [line.name for line in found.not_liked] == ["Granite"]
    assert found.told == "Of 3 liked songs, 2 are among your known plays."
    assert [each.name for each in found.unplayed] == ["Other"]
    many = build_liked(replace(given, liked=liked(*map(song, range(30)), unplayed=25)))
    assert many is not None
    assert (len(many.unplayed), many.more_unplayed) == (10, 15)
    assert build_liked(replace(given, liked=None)) is None
    assert build_liked(replace(given, liked=liked())) is None


def test_two_users_are_compared_by_the_artists_in_common() -> None:
    theirs = samples.top(("Nobody else", "Else"), ids=False) + samples.top(FIFTY)[:3]
    theirs = [artist.model_copy(update={"rank": rank}) for rank, artist in enumerate(theirs, start=1)]
    given = replace(with_tops(top_artists=samples.top(FIFTY)[1:12]), others={"<Ben>": theirs, "Zoe": []})
    (found,) = build_comparisons(given)
    assert found.told == (
        "Of your 11 artists played most, 2 are among the 5 of <Ben>. Number one of <Ben> is Nobody else."
    )
    assert [(each.name, each.rank, each.other_rank) for each in found.shared] == [("Name 1", 2, 4), ("Name 2", 3, 5)]
    html = render(build_report(given), {}).html
    assert_loads_nothing(html)
    assert "You and others" in text_of(html)
    assert build_comparisons(replace(given, year=2025)) == []


def test_whoever_imported_nothing_reads_what_an_import_adds() -> None:
    hint = "This report begins on 14 March 2023."
    assert hint not in text_of(render(build_report(samples.all_time()), {}).html)
    html = render(build_report(replace(samples.all_time(), has_imports=False)), {}).html
    assert hint in text_of(html)
    assert "echostats import my_spotify_data.zip --user ann-123456" in text_of(html)


def test_no_legend_names_a_level_twice() -> None:
    report = build_report(samples.all_time())
    one = build_report(replace(samples.all_time(), days=samples.days()[-1:]))
    assert list(level_names(report.calendar)) == [1, 2, 3, 4]
    assert list(level_names(one.calendar)) == [4]
    week = week_levels(report.week)
    assert list(week) == [1, 2, 3, 4]
    assert len(set(week.values())) == 4
