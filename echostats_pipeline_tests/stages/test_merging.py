"""Merging through the database gives the same as merging at once, however rows are cut and other merges interleave."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import accumulate, pairwise
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echostats_pipeline.importers.rows import EXPORT_SCHEMA
from echostats_pipeline.model.users import User
from echostats_pipeline.stages import merging
from echostats_pipeline.stages.imports import resolve_named_plays
from echostats_pipeline.stages.merging import APART, RowMerger, finish_merges, stretches
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.history.facts import READ_AROUND
from echostats_pipeline_tests.conftest import NOW, documents
from echostats_pipeline_tests.hypothesis_profiles import examples
from echostats_pipeline_tests.stages.merge_steps import DiedError, Step, dying, facts, forget, merge
from echostats_pipeline_tests.transforms.history.test_changes import distinct
from echostats_pipeline_tests.transforms.history.test_named_rows import named, of_artist
from echostats_pipeline_tests.transforms.row_factories import EPOCH, at, export, item, row, track_id

through_the_database = settings(
    max_examples=examples(10),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

SOMEONE = User.model_validate({"_id": ObjectId(), "spotify_id": "someone", "partition_key": "someone"})
DAY = 24 * 60 * 60
TRACKS = "ab"
LENGTHS_MS = (0, 1, 703, 15_011, 200_023)
seconds = st.builds(lambda day, second: day * DAY + second, st.sampled_from((0, 0, 0, 3, 10, 120)), st.integers(0, 900))
uploaded = st.builds(lambda day, second: day * DAY + second, st.sampled_from((0, 0, 3)), st.sampled_from((500, 501)))
tracks, lengths_ms = st.sampled_from(TRACKS), st.sampled_from(LENGTHS_MS)
began = st.one_of(st.none(), st.integers(-600, 0))
exports = st.lists(st.builds(row, st.one_of(seconds, uploaded), tracks, lengths_ms, began), max_size=10).map(distinct)
account_data = st.lists(
    st.tuples(seconds, tracks, lengths_ms),
    max_size=4,
    unique_by=lambda told: (told[0] // 60, *told[1:]),  # rows with equal content are distinct only within one file
)
scrobbles = st.lists(st.tuples(seconds, tracks, st.none()), max_size=4, unique=True)
pages = st.lists(
    st.lists(st.builds(of_artist, st.integers(0, 1_000), tracks), min_size=1, max_size=5), min_size=1, max_size=2
)


@pytest.fixture
def user(store: Store) -> User:
    return store.users.connect({"spotify_id": "someone"}, authorized_at=NOW, simulated=True, timezone="Europe/Berlin")


@st.composite
def ways(draw: st.DrawFn) -> tuple[list[Step], list[Step]]:
    """Two ways to merge the same rows: all of a source at once, and cut, in another order."""
    raw, told, listens, answers = draw(exports), draw(account_data), draw(scrobbles), draw(pages)
    whole: list[Step] = [*answers, export(raw), named(told), named(listens, "lastfm")]
    parts: list[Step] = []
    for listed, read in ((raw, export), (told, named), (listens, partial(named, kind="lastfm"))):
        shuffled: list[Any] = draw(st.permutations(listed))
        cut = draw(st.integers(0, len(shuffled)))
        parts += [read(part) for part in (shuffled[:cut], shuffled[cut:])]
    parts = draw(st.permutations(parts))
    # Overlapping responses of recently-played are never made distinct: they keep their order.
    places = sorted(draw(st.lists(st.integers(0, len(parts)), min_size=len(answers), max_size=len(answers))))
    for number, (place, answer) in enumerate(zip(places, answers, strict=True)):
        parts.insert(place + number, answer)
    return whole, parts


@through_the_database
@given(both=ways())
def test_cuts_and_orders_do_not_matter(db: Db, store: Store, user: User, both: tuple[list[Step], list[Step]]) -> None:
    found = []
    for steps in both:
        forget(db)
        for step in steps:
            merge(store, user, step)
        resolve_named_plays(store, user)
        found.append(documents(db, "listening_history"))
    assert found[0] == found[1]
    for step in both[1]:
        merge(store, user, step)
    assert documents(db, "listening_history") == found[0]


@through_the_database
@given(both=ways(), deaths=st.lists(st.integers(0, 12), min_size=8, max_size=8))
def test_neither_do_processes_that_die(
    db: Db, store: Store, user: User, both: tuple[list[Step], list[Step]], deaths: list[int]
) -> None:
    forget(db)
    for step in both[1]:
        merge(store, user, step)
    resolve_named_plays(store, user)
    undisturbed = documents(db, "listening_history")
    forget(db)
    for step, lives in zip(both[1], deaths, strict=False):
        told = facts(db)
        try:
            merge(dying(db, lives), user, step)
        except DiedError:
            assert told <= facts(db)
            merge(store, user, step)
    resolve_named_plays(store, user)
    assert documents(db, "listening_history") == undisturbed


def frame(stamps: list[int]) -> pl.DataFrame:
    records = [{"row_number": number, "import_ts": at(stamp)} for number, stamp in enumerate(stamps)]
    return pl.DataFrame([{name: record.get(name) for name in EXPORT_SCHEMA} for record in records], EXPORT_SCHEMA)


days_apart = st.one_of(st.sampled_from((0, 1, 59, 60, 61)), st.integers(0, 30)).map(lambda days: days * DAY)
stamps_over_years = st.lists(st.builds(lambda days, rest: days + rest, days_apart, st.integers(0, DAY)), max_size=40)


@given(
    steps=stamps_over_years,
    stored=st.lists(st.integers(0, 600), max_size=30),
    most=st.integers(0, 9),
    data=st.data(),
)
def test_stretches_hold_every_row_once_no_pause_and_not_too_much_of_the_history(
    steps: list[int], stored: list[int], most: int, data: st.DataObject
) -> None:
    def count(_: str, start: datetime, end: datetime) -> int:
        return sum(start <= at(day * DAY) < end for day in stored)

    def read_for(part: list[datetime]) -> int:
        return count("", part[0] - READ_AROUND, part[-1] + READ_AROUND)

    rows = frame(data.draw(st.permutations(list(accumulate(steps)))))
    store: Any = SimpleNamespace(plays=SimpleNamespace(count=count))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "MOST_AT_ONCE", most)
        parts = list(stretches(store, SOMEONE, rows))
    assert sorted(number for part in parts for number in part["row_number"]) == list(range(len(steps)))
    assert all(part.columns == rows.columns for part in parts)
    listed = [part["import_ts"].to_list() for part in parts]
    assert [stamp for part in listed for stamp in part] == sorted(rows["import_ts"])
    assert all(later - earlier <= APART for part in listed for earlier, later in pairwise(part))
    assert all(part[-1] - part[0] < timedelta(days=1) or read_for(part) <= most for part in listed)
    for one, other in pairwise(listed):
        assert one[-1] < other[0], "rows of one instant are laid out together"
        assert other[0] - one[-1] > APART or len(stored) > most


def test_rows_of_years_are_merged_stretch_by_stretch(store: Store, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    years = [row(day * DAY, "a") for day in (0, 1, 60, 200, 201, 300)]
    merger = RowMerger(store, user, lambda: NOW)
    assert [changes.outcomes["inserted"] for changes in merger.merge(export(years))] == [3, 2, 1]
    monkeypatch.setattr(merging, "MOST_AT_ONCE", 2)
    assert [changes.outcomes["duplicate"] for changes in merger.merge(export(years))] == [2, 1, 2, 1]
    assert list(merger.merge(export([]))) == []


def test_a_play_that_parts_from_an_export_row_is_named_as_the_api_named_it(db: Db, store: Store, user: User) -> None:
    reported = item(610)
    reported.track.album_name = "Told"
    merge(store, user, [reported])
    merge(store, user, export([row(700, "a", 0, offline_at=1)]))
    (play,) = documents(db, "listening_history")
    assert (play["source"], play["track"]["album_name"]) == ("import", "Album")
    # The next row moves it away from the end that the API reported.
    merge(store, user, export([row(700, "b", 200_023, offline_at=2)]))
    found = {play["played_at"]: play["track"]["album_name"] for play in documents(db, "listening_history")}
    assert found == {at(610): "Told", at(499.977): "Album", at(700): "Album"}


@pytest.mark.parametrize("track_comes_first", [True, False])
def test_a_scrobble_lasts_as_long_as_the_catalogue_says(
    db: Db, store: Store, user: User, track_comes_first: bool
) -> None:
    steps: list[Step] = [[of_artist(0, "a")], named([(9_000, "a", None)], "lastfm")]
    for step in steps if track_comes_first else steps[::-1]:
        merge(store, user, step)
    resolve_named_plays(store, user)
    tracks = [play["track"] for play in documents(db, "listening_history")]
    assert [(track["spotify_id"], track["duration_ms"]) for track in tracks] == [(track_id("a"), 200_000)] * 2


def of_echostats(user: User, seconds: float, ms_played: int | None, **more: Any) -> dict[str, Any]:
    """A play as EchoStats stores it, with an extra field."""
    told = {"source": "api" if ms_played is None else "import", "ms_played": ms_played}
    track = {**item(0).track.model_dump(), "artist_name": "Artist", "album_name": "Album"}
    context = {"context_type": "", "context_uri": ""}
    return {"user_id": user.user_id, "track": track, "played_at": at(seconds), **told, **context, **more}


def test_what_echostats_imported_is_one_play_with_the_same_row_imported_here(db: Db, store: Store, user: User) -> None:
    db["listening_history"].insert_many(
        [of_echostats(user, 1_000, 5_000, note="kept"), of_echostats(user, 2_000, None, note="kept too")]
    )
    merge(store, user, export([row(1_000, ms_played=5_000), row(2_030)]))
    first, second = sorted(documents(db, "listening_history"), key=lambda play: play["played_at"])
    assert (first["ms_played"], first["source"], first["note"]) == (5_000, "import", "kept")
    assert (second["ms_played"], second["source"], second["note"]) == (200_000, "import", "kept too")
    assert first["playback"]["platform"] == second["playback"]["platform"] == "ios"


def test_what_echostats_knows_of_an_import_survives_what_the_api_and_scrobbles_tell(
    db: Db, store: Store, user: User
) -> None:
    db["listening_history"].insert_many(
        [of_echostats(user, 1_000, 5_000, note="kept"), of_echostats(user, 1_020, None)]
    )
    merge(store, user, [item(1_010, context_type="album", context_uri="spotify:album:x")])
    merge(store, user, named([(1_000, "a", None)], "lastfm"))
    first = min(documents(db, "listening_history"), key=lambda play: play["played_at"])
    assert (first["ms_played"], first["source"], first["note"]) == (5_000, "import", "kept")


def marked(db: Db) -> Iterator[str]:
    return (mark["date"] for mark in db["change_marks"].find({"source": "listening_history", "date": {"$ne": ""}}))


def test_days_that_change_are_marked_in_the_zone_of_the_user(db: Db, store: Store, user: User) -> None:
    merge(store, user, export([row(DAY - 60, "a"), row(2 * DAY + 60, "b")]))
    # 23:59 in UTC is the next day in Berlin.
    assert {"2024-05-02", "2024-05-03"} <= set(marked(db))
    db["change_marks"].delete_many({})
    merge(store, user, export([row(DAY - 60, "a")]))
    assert list(marked(db)) == []


def test_what_is_finished_for_a_dead_process_is_marked_again(db: Db, store: Store, user: User) -> None:
    merge(store, user, [item(300)])
    with pytest.raises(DiedError):
        merge(dying(db, 1), user, export([row(301)]))
    db["change_marks"].delete_many({})
    assert documents(db, "listening_history")[0]["source"] == "api"
    finish_merges(store, user)
    assert documents(db, "listening_history")[0]["source"] == "import"
    assert EPOCH.date().isoformat() in set(marked(db))
    db["change_marks"].delete_many({})
    finish_merges(store, user)
    assert list(marked(db)) == []
    assert db["unfinished_merges"].count_documents({}) == 0


def test_what_was_not_wholly_written_down_has_changed_nothing(db: Db, store: Store, user: User) -> None:
    merge(store, user, [item(300)])
    with pytest.raises(DiedError):
        merge(dying(db, 1), user, export([row(301)]))
    before = documents(db, "listening_history")
    db["unfinished_merges"].update_many({}, {"$set": {"complete": False}})
    finish_merges(store, user)
    assert documents(db, "listening_history") == before
    assert db["unfinished_merges"].count_documents({}) == 0


def test_nobody_finishes_what_is_anothers(db: Db, store: Store, user: User) -> None:
    merge(store, user, [item(300)])
    with pytest.raises(DiedError):
        merge(dying(db, 1), user, export([row(301)]))
    other = store.users.connect({"spotify_id": "another"}, authorized_at=NOW, simulated=True)
    merge(store, other, export([row(301)]))
    assert db["unfinished_merges"].count_documents({"user_id": user.user_id}) == 1
    assert [play["source"] for play in db["listening_history"].find({"user_id": user.user_id})] == ["api"]
