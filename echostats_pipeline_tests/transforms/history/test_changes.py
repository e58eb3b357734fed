"""Changes to a history in memory (spec section 5) that has the unique indexes of the database."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from echostats_pipeline.model.plays import Play, RecentlyPlayedItem
from echostats_pipeline_tests.transforms.history.fake_history import History
from echostats_pipeline_tests.transforms.listening_factories import quick
from echostats_pipeline_tests.transforms.row_factories import ExportRow, at, export, item, row, track_id

TRACKS = "abc"

stamps_ms = st.integers(0, 3_600_000)
items = st.builds(
    lambda ms, track, duration_ms: item(ms / 1000, track, duration_ms),
    stamps_ms,
    st.sampled_from(TRACKS),
    st.sampled_from((0, 15_000, 200_000)),
)
pages = st.lists(items, min_size=1, max_size=10)
export_rows = st.lists(
    st.builds(
        row,
        seconds=st.integers(0, 1200),
        track=st.sampled_from(TRACKS),
        ms_played=st.sampled_from((0, 1, 703, 15_011, 200_023, 90_007)),
        offline_at=st.one_of(st.none(), st.integers(-600, 0)),
    ),
    max_size=12,
)
uploads = st.lists(
    st.builds(
        row,
        seconds=st.sampled_from((500, 501, 700)),
        track=st.sampled_from(TRACKS),
        ms_played=st.sampled_from((0, 1, 703, 15_011, 200_023)),
        offline_at=st.one_of(st.none(), st.integers(-600, 0)),
    ),
    max_size=12,
)


def content(listed: ExportRow) -> tuple[Any, ...]:
    return listed["ts"], listed["spotify_track_uri"], listed["ms_played"]


def distinct(rows: list[ExportRow]) -> list[ExportRow]:
    """Rows without exact repeats, whose occurrence within one file makes them distinct."""
    return list({content(listed): listed for listed in rows}.values())


@quick
@given(page=pages)
@example(page=[item(0, duration_ms=0), item(0, duration_ms=0)])
def test_merging_a_page_twice_is_merging_it_once(page: list[RecentlyPlayedItem]) -> None:
    history = History()
    first = history.page(page)
    once = history.documents()
    again = history.page(page)
    assert history.documents() == once
    assert (bool(again), set(again.ends)) == (False, set())
    assert first.outcomes.total() == again.outcomes.total() == len(page)
    assert set(again.outcomes) == {"duplicate"}


@quick
@given(page=pages, seed=st.randoms(use_true_random=False))
def test_the_order_of_a_page_does_not_matter(page: list[RecentlyPlayedItem], seed: Any) -> None:
    assume(len({(one.track.spotify_id, one.played_at) for one in page}) == len(page))
    one, other = History(), History()
    one.page(page)
    other.page(seed.sample(page, k=len(page)))
    assert one.documents() == other.documents()


@given(tracks=st.lists(st.sampled_from(TRACKS), min_size=1, max_size=12), data=st.data())
def test_stamps_that_shift_from_answer_to_answer_make_no_new_plays(tracks: list[str], data: st.DataObject) -> None:
    jitter = st.lists(st.integers(-15_000, 15_000), min_size=len(tracks), max_size=len(tracks))
    history = History()
    for _ in range(3):
        shifts = data.draw(jitter)
        history.page(
            [item(n * 200 + ms / 1000, track) for n, (track, ms) in enumerate(zip(tracks, shifts, strict=True))]
        )
    assert len(history.plays) == len(tracks)


@given(repeats=st.integers(2, 8), shifts=st.lists(st.integers(-7_000, 7_000), min_size=8, max_size=8))
def test_plays_of_a_short_song_stay_as_many_as_they_are(repeats: int, shifts: list[int]) -> None:
    history = History()
    history.page([item(15 * n, duration_ms=15_000) for n in range(repeats)])
    assert len(history.plays) == repeats
    history.page([item(15 * n + shifts[0] / 1000, duration_ms=15_000) for n in range(repeats)])
    assert len(history.plays) == repeats
    history.export(export([row(15 * n, ms_played=15_000) for n in range(repeats)]))
    assert len(history.plays) == repeats
    assert {play["source"] for play in history.documents()} == {"import"}


@pytest.mark.parametrize("reported_at", [300, 300.4, 390, 210, 100, 10, 190])
@pytest.mark.parametrize("export_first", [False, True])
def test_a_play_that_both_sources_saw_is_one_document(reported_at: float, export_first: bool) -> None:
    history = History()
    page = [item(reported_at, context_type="album", context_uri="spotify:album:x")]
    rows = export([row(300, ms_played=200_000)])
    if export_first:
        history.export(rows)
        changes = history.page(page)
    else:
        history.page(page)
        changes = history.export(rows)
    assert +changes.outcomes == {"merged": 1}
    (play,) = history.documents()
    assert (play["played_at"], play["ms_played"], play["source"]) == (at(300), 200_000, "import")
    assert (play["context_type"], play["context_uri"]) == ("album", "spotify:album:x")
    assert (play["api_played_at"], play["track"]["album_image_url"]) == (at(reported_at), "i/api")
    assert play["playback"]["platform"] == "ios"
    assert history.page(page).outcomes["duplicate"] == history.export(rows).outcomes["duplicate"] == 1
    assert history.documents() == [play]


def test_what_lies_further_apart_is_two_plays() -> None:
    history = History()
    history.page([item(391)])
    history.export(export([row(300, ms_played=200_000)]))
    assert len(history.plays) == 2


@quick
@given(rows=st.one_of(export_rows, uploads))
def test_importing_a_file_again_changes_nothing(rows: list[ExportRow]) -> None:
    history = History()
    first = history.export(export(rows))
    once = history.documents()
    again = history.export(export(rows))
    assert first.outcomes.total() == first.outcomes["inserted"] == len(once) == len(rows)
    assert not again
    assert again.outcomes["duplicate"] == again.outcomes.total() == len(rows)
    assert history.documents() == once


@quick
@given(rows=st.one_of(export_rows, uploads), seed=st.randoms(use_true_random=False), cut=st.integers(0, 12))
def test_neither_the_order_of_rows_nor_how_files_cut_them_matters(rows: list[ExportRow], seed: Any, cut: int) -> None:
    rows = distinct(rows)
    whole, parts = History(), History()
    whole.export(export(rows))
    shuffled = seed.sample(rows, k=len(rows))
    for part in (shuffled[:cut], shuffled[cut:]):
        parts.export(export(part))
    assert parts.documents() == whole.documents()


@quick
@given(
    rows=st.one_of(export_rows, uploads),
    page=pages,
    seed=st.randoms(use_true_random=False),
    cuts=st.tuples(st.integers(0, 12), st.integers(0, 12)),
    turn=st.integers(0, 3),
)
def test_neither_cuts_nor_what_the_api_saw_between_them_matters(
    rows: list[ExportRow], page: list[RecentlyPlayedItem], seed: Any, cuts: tuple[int, int], turn: int
) -> None:
    rows = distinct(rows)
    whole, parts = History(), History()
    whole.page(page)
    whole.export(export(rows))
    shuffled = seed.sample(rows, k=len(rows))
    first, second = sorted(cuts)
    steps = [
        partial(parts.export, export(part)) for part in (shuffled[:first], shuffled[first:second], shuffled[second:])
    ]
    steps.insert(turn, partial(parts.page, page))
    for step in steps:
        step()
    assert parts.documents() == whole.documents()


@quick
@given(rows=st.one_of(export_rows, uploads), seed=st.randoms(use_true_random=False), cut=st.integers(0, 12))
def test_a_later_export_that_contains_an_earlier_one_adds_the_rest(rows: list[ExportRow], seed: Any, cut: int) -> None:
    rows = distinct(rows)
    shuffled = seed.sample(rows, k=len(rows))
    whole, grown = History(), History()
    whole.export(export(rows))
    grown.export(export(shuffled[:cut]))
    changes = grown.export(export(shuffled))
    assert changes.outcomes["duplicate"] == min(cut, len(rows))
    assert grown.documents() == whole.documents()


@quick
@given(rows=st.one_of(export_rows, uploads), page=pages)
def test_rows_and_pages_become_valid_documents_and_none_is_lost(
    rows: list[ExportRow], page: list[RecentlyPlayedItem]
) -> None:
    history = History()
    history.page(page)
    before = len(history.plays)
    changes = history.export(export(rows))
    assert changes.outcomes.total() == len(rows)
    assert len(history.plays) == before + changes.outcomes["inserted"]
    documents = history.documents()
    assert [Play.model_validate(play).to_bson().keys() >= play.keys() - {"playback"} for play in documents]
    imported = [play for play in documents if play["source"] == "import"]
    assert len(imported) == len(rows)
    assert sorted(play["ms_played"] for play in imported) == sorted(listed["ms_played"] for listed in rows)
    assert all(play["played_at"] <= play["import_ts"] for play in imported)
    for play in documents:
        stored = {name: value for name, value in Play.model_validate(play).to_bson().items() if value is not None}
        assert stored == {name: value for name, value in play.items() if value is not None}


@quick
@given(rows=st.one_of(export_rows, uploads), page=pages)
def test_polling_goes_on_after_an_import_and_finds_nothing_new(
    rows: list[ExportRow], page: list[RecentlyPlayedItem]
) -> None:
    history = History()
    history.page(page)
    history.export(export(rows))
    before = history.documents()
    assert history.page(page).outcomes["inserted"] == 0
    assert history.documents() == before


@quick
@given(rows=st.one_of(export_rows, uploads), page=pages)
def test_every_place_a_play_leaves_or_takes_is_touched(rows: list[ExportRow], page: list[RecentlyPlayedItem]) -> None:
    history = History()
    for merge in (lambda: history.page(page), lambda: history.export(export(rows))):
        before = facts(history.documents())
        ends = set(merge().ends)
        assert before ^ facts(history.documents()) <= {
            (track, end, ms) for track, end, ms in before | facts(history.documents()) if end in ends
        }


def facts(plays: Sequence[dict[str, Any]]) -> set[tuple[str, datetime, int | None]]:
    return {(play["track"]["spotify_id"], play["played_at"], play["ms_played"]) for play in plays}


def test_rows_of_one_upload_move_back_when_a_later_file_holds_more_of_them() -> None:
    history = History()
    history.export(export([row(500, "a", 60_007, offline_at=1)]))
    assert history.ends() == [(track_id("a"), at(500))]
    changes = history.export(export([row(500, "b", 30_011, offline_at=2)]))
    assert history.ends() == [(track_id("a"), at(500 - 30.011)), (track_id("b"), at(500))]
    assert set(changes.ends) == {at(500), at(500 - 30.011)}
    assert all(play["played_at_estimated"] for play in history.documents())


def test_plays_of_one_track_can_move_into_each_others_places() -> None:
    history = History()
    history.export(export([row(500, ms_played=1_000, offline_at=1), row(500, ms_played=1_000, offline_at=2)]))
    history.export(export([row(500, "b", ms_played=1_000, offline_at=3)]))
    assert history.ends() == [(track_id("a"), at(498)), (track_id("a"), at(499)), (track_id("b"), at(500))]


def test_two_rows_with_equal_content_are_two_plays() -> None:
    history = History()
    changes = history.export(export([row(500), row(500)]))
    assert changes.outcomes["inserted"] == 2
    assert history.ends() == [(track_id("a"), at(300)), (track_id("a"), at(500))]


def test_a_row_takes_the_api_play_that_ended_with_it_before_one_that_ended_where_it_began() -> None:
    history = History()
    history.page([item(100, duration_ms=60_000), item(160, duration_ms=60_000)])
    history.export(export([row(160, ms_played=60_000)]))
    assert [(play["played_at"], play["source"]) for play in history.documents()] == [
        (at(100), "api"),
        (at(160), "import"),
    ]


@pytest.mark.parametrize("files", [1, 2, 3])
def test_plays_of_two_uploads_that_would_meet_keep_a_place_each(files: int) -> None:
    met = [row(500, ms_played=1_000, offline_at=2), row(500, ms_played=1, offline_at=1), row(499, ms_played=5_000)]
    history = History()
    for number in range(files):
        history.export(export(met[number::files]))
    assert len(set(history.ends())) == 3
    assert history.export(export(met)).outcomes["duplicate"] == 3
    history.export(export([row(499, "b", offline_at=3)]))
    history.export(export([row(500, "b", offline_at=3)]))
    assert len(set(history.ends())) == 5
