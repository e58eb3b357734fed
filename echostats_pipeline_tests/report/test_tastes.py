"""What the report says about artists over time, liked songs, playlists, and to somebody who has imported nothing."""

from dataclasses import replace
from datetime import timedelta

import pytest

from echostats_pipeline.model.statistics import TopContext, TopItem
from echostats_pipeline.report import page
from echostats_pipeline.report.build import build_report
from echostats_pipeline.report.document import HeardPlaylist, LikedSong, LikedSongs, ReportInput, song_key
from echostats_pipeline.report.page import level_names, rank_level, render, week_levels
from echostats_pipeline.report.tastes import build_comparisons, build_liked, build_playlists, build_ranks
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
    assert years == ["2024", "2025", "2026"]
    assert [each.ranks for each in ranks[:2]] == [[1, 1, None], [2, 2, 2]]
    assert build_ranks(replace(given, years={2024: one})) == ([], [])
    assert build_ranks(replace(given, year=2025)) == ([], [])
    html = render(build_report(given), {}).html
    assert "Your artists, year by year" in text_of(html)
    assert [rank_level(rank) for rank in (1, 2, 3, 4, 10, 11, 50, None)] == [4, 3, 3, 2, 2, 1, 1, 0]


def test_in_a_year_an_artist_has_the_rank_of_each_month() -> None:
    one = samples.top(FIFTY)
    given = replace(samples.year(), months={"Jan": one, "Feb": [], "Mar": one[1:]})
    given = replace(given, statistics=given.statistics.model_copy(update={"top_artists": one}))
    months, ranks = build_ranks(given)
    assert (months, ranks[0].ranks, ranks[1].ranks) == (["Jan", "Mar"], [1, None], [2, 2])
    text = text_of(render(build_report(given), {}).html)
    assert "Your artists, month by month Their rank by plays in each month." in text
    assert "A dash: not among the first 50 of that month." in text


def test_playlists_say_what_of_them_is_never_played_and_how_often_they_are_played_from() -> None:
    lists = [HeardPlaylist("Running", "a" * 22, 40, 0), HeardPlaylist("<Rain>", "b" * 22, 30, 12)]
    uri = f"spotify:playlist:{'a' * 22}"
    context = TopContext(uri=uri, type="playlist", name="Running", play_count=7, total_ms=9, rank=1)
    statistics = samples.all_time().statistics.model_copy(update={"top_contexts": [context]})
    given = replace(samples.all_time(), statistics=statistics, playlists=lists)
    html = render(build_report(given), {}).html
    assert_loads_nothing(html)
    text = text_of(html)
    assert "In <Rain>, 12 of 30 songs are not among your known plays: more than in any other playlist." in text
    assert "Running 40 0 7 <Rain> 30 12 \N{EN DASH}" in text
    assert f"https://open.spotify.com/playlist/{'b' * 22}" in html
    (one,) = [build_playlists(replace(given, playlists=lists[:1]))]
    assert one is not None
    assert one.told == "Every song of your playlists is among your known plays."
    assert build_playlists(replace(given, year=2025)) is None


def test_liked_songs_are_found_under_any_id() -> None:
    tops = samples.top(("Static River", "Hollow", "Granite"))
    given = replace(with_tops(top_tracks=tops), credits={tops[1].spotify_id: "Julo, A Guest"})
    of_first, of_second = song(0), song(99, "HOLLOW", "julo")
    found = build_liked(replace(given, liked=liked(song(7), of_first, of_second, unplayed=1)))
    assert found is not None
    assert [line.name for line in found.not_liked] == ["Granite"]
    assert found.told == "Of 3 liked songs, 2 are among your known plays."
    assert [each.name for each in found.unplayed] == ["Other"]
    given = replace(given, liked=liked(*map(song, range(60)), unplayed=55))
    many = build_liked(given)
    assert many is not None
    assert (len(many.unplayed), many.more_unplayed) == (50, 5)
    assert "Places 11 to 50" in text_of(render(build_report(given), {}).html)
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
