"""The cache of rollups as columns: changed days are read again, and an entry without valid marks is not used."""

from collections.abc import Callable, Iterable
from datetime import date, timedelta
from typing import Any

import pytest

from echostats_pipeline.model.statistics import StatisticsYear
from echostats_pipeline.storage.change_marks import NEWEST
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.frame_cache import rollup_frames
from echostats_pipeline.storage.frame_cache.rollup_frames import RollupFrameStore
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.statistics.frames import RollupFrames
from echostats_pipeline_tests.storage.test_statistics import DAY, rollup

DAYS = [DAY + timedelta(days=number) for number in range(5)]
OLD = date(2024, 12, 31)


def played(day: date, *track_ids: str, plays: int = 1) -> dict[str, Any]:
    tracks = [
        {"spotify_id": track_id, "name": "T", "artist_name": "A", "album_name": "B", "count": plays, "ms": 9}
        for track_id in track_ids
    ]
    return rollup(day, total_plays=plays * len(tracks), track_plays=tracks)


def write(store: Store, *rollups: dict[str, Any]) -> None:
    store.statistics.replace_rollups("u", [date.fromisoformat(each["date"]) for each in rollups], rollups)


def tracks_of(frames: RollupFrames) -> set[tuple[date, str, int]]:
    ids = frames.tracks.with_columns(frames.track_ids["track_id"].gather(frames.tracks["track"]).alias("id"))
    return set(ids.select("date", "id", "plays").iter_rows())


def reported(rollups: Iterable[dict[str, Any]]) -> set[tuple[date, str, int]]:
    return {
        (date.fromisoformat(each["date"]), track["spotify_id"], track["count"])
        for each in rollups
        for track in each["track_plays"]
    }


def stale(db: Db) -> list[str]:
    """The dates with marks that the columns have not read."""
    unread = {"source": "daily_rollups", "date": {"$ne": NEWEST}, "read_by": {"$ne": "statistics_years"}}
    return sorted(db["change_marks"].distinct("date", unread))


def writers(db: Db) -> list[str]:
    return db["change_marks"].distinct("writer", {"open_since": {"$ne": None}})


def year(db: Db) -> StatisticsYear:
    return StatisticsYear.model_validate(db["statistics_years"].find_one({"user_id": "u", "year": DAY.year}))


@pytest.fixture
def rollups(store: Store) -> list[dict[str, Any]]:
    """Days of two years, read once."""
    built = [played(day, "a", f"t{day.day}") for day in [OLD, *DAYS]]
    write(store, *built)
    assert tracks_of(store.statistics.rollup_frames("u")) == reported(built)
    return built


def test_what_was_read_is_vouched_for(db: Db, rollups: list[dict[str, Any]]) -> None:
    assert year(db).vouched
    assert year(db).token != ""
    assert (stale(db), writers(db)) == ([], [])
    assert sorted(db["statistics_years"].distinct("year")) == [OLD.year, DAY.year]


def test_a_change_touches_the_marks_alone(store: Store, db: Db, rollups: list[dict[str, Any]]) -> None:
    before = year(db)
    write(store, played(DAY, "b"))
    assert stale(db) == [DAY.isoformat()]
    assert store.statistics.has_changed_rollups("u")
    assert year(db) == before


def test_what_has_changed_is_read_again_and_nothing_else(store: Store, db: Db, rollups: list[dict[str, Any]]) -> None:
    write(store, played(DAY, "b", "a", plays=3))
    # A change without marks: a reader of this day would find it.
    db["daily_rollups"].update_one({"date": DAYS[1].isoformat()}, {"$set": {"track_plays": []}})
    expected = reported([rollups[0], played(DAY, "b", "a", plays=3), *rollups[2:]])
    assert tracks_of(store.statistics.rollup_frames("u")) == expected
    assert stale(db) == []
    assert not store.statistics.has_changed_rollups("u")
    assert tracks_of(store.statistics.rollup_frames("u")) == expected


def test_columns_that_nobody_vouches_for_are_not_believed(store: Store, db: Db, rollups: list[dict[str, Any]]) -> None:
    db["daily_rollups"].update_one({"date": DAYS[1].isoformat()}, {"$set": {"track_plays": []}})
    db["statistics_years"].update_many({}, {"$set": {"vouched": False}})
    assert tracks_of(store.statistics.rollup_frames("u")) == reported([*rollups[:2], *rollups[3:]])
    assert year(db).vouched


def test_what_is_read_while_somebody_writes_is_not_vouched_for(
    store: Store, db: Db, rollups: list[dict[str, Any]]
) -> None:
    before = year(db)
    with store.marks.changing("u", [DAY], "daily_rollups"):
        assert tracks_of(store.statistics.rollup_frames("u")) == reported(rollups)
        assert stale(db) == [DAY.isoformat()]
    assert year(db) == before
    store.statistics.rollup_frames("u")
    assert stale(db) == []


def test_rollups_removed_by_others_are_noticed(store: Store, db: Db, rollups: list[dict[str, Any]]) -> None:
    db["daily_rollups"].delete_one({"date": DAYS[1].isoformat()})
    assert tracks_of(store.statistics.rollup_frames("u")) == reported([*rollups[:2], *rollups[3:]])
    db["daily_rollups"].delete_one({"date": OLD.isoformat()})
    assert tracks_of(store.statistics.rollup_frames("u")) == reported([rollups[1], *rollups[3:]])
    assert db["statistics_years"].distinct("year") == [DAY.year]
    assert stale(db) == []


def test_what_is_kept_may_be_dropped(store: Store, db: Db, rollups: list[dict[str, Any]]) -> None:
    db["statistics_years"].drop()
    assert tracks_of(store.statistics.rollup_frames("u")) == reported(rollups)


def test_ids_that_are_not_in_use_any_more_are_not_kept(store: Store, db: Db, rollups: list[dict[str, Any]]) -> None:
    for number in range(4):
        write(store, played(DAY, f"only then {number}", "a"))
        frames = store.statistics.rollup_frames("u")
    in_use = {track_id for _, track_id, _ in tracks_of(frames)}
    assert set(frames.track_ids["track_id"]) == in_use
    assert "only then 3" in in_use


def while_read(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Let something happen once, after a reader has taken rollups apart and before it keeps them."""
    take_apart, acts = RollupFrameStore._taken_apart, iter([act])

    def taken_apart(reader: RollupFrameStore, *arguments: Any) -> RollupFrames:
        frames = take_apart(reader, *arguments)
        next(acts, lambda: None)()
        return frames

    monkeypatch.setattr(RollupFrameStore, "_taken_apart", taken_apart)


def read_by_all(store: Store) -> None:
    """Have the snapshots built whose columns are read here, so that marks are deleted."""
    with store.marks.reading("u", "analytics_snapshots"):
        store.statistics.rollup_frames("u")


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_a_reader_that_another_one_has_overtaken_keeps_nothing(
    store: Store,
    db: Db,
    rollups: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    first: bool,
    dropped: bool,
) -> None:
    read_by_all(store)
    write(store, played(DAYS[0], "b"))
    if first:
        db["statistics_years"].drop()

    def overtake() -> None:
        write(store, played(DAYS[1], "c"))
        read_by_all(store)
        assert stale(db) == []
        if dropped:
            db["statistics_years"].drop()

    while_read(monkeypatch, overtake)
    store.statistics.rollup_frames("u")
    now = [rollups[0], played(DAYS[0], "b"), played(DAYS[1], "c"), *rollups[3:]]
    assert tracks_of(store.statistics.rollup_frames("u")) == reported(now)
    assert tracks_of(store.statistics.rollup_frames("u")) == reported(now)


def test_what_a_dead_process_has_written_is_read_and_kept(store: Store, db: Db, rollups: list[dict[str, Any]]) -> None:
    store.marks.open("u", "daily_rollups", [str(DAY)])
    db["daily_rollups"].update_one({"date": str(DAY)}, {"$set": {"track_plays": []}})
    assert tracks_of(store.statistics.rollup_frames("u")) == reported([rollups[0], *rollups[2:]])
    assert stale(db) == [str(DAY)]
    db["change_marks"].update_many(
        {"open_since": {"$ne": None}}, [{"$set": {"open_since": {"$subtract": ["$$NOW", 600_000]}}}]
    )
    assert store.marks.pending("analytics_snapshots") == {"u": ["all"]}
    read_by_all(store)
    assert (stale(db), store.marks.pending("analytics_snapshots")) == ([], {})
    assert tracks_of(store.statistics.rollup_frames("u")) == reported([rollups[0], *rollups[2:]])


def test_a_year_too_large_to_keep_holds_no_marks_back(
    store: Store, db: Db, rollups: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollup_frames, "MOST_BYTES", 0)
    write(store, played(DAY, "b"))
    expected = reported([rollups[0], played(DAY, "b"), *rollups[2:]])
    for _ in range(2):
        assert tracks_of(store.statistics.rollup_frames("u")) == expected
        assert stale(db) == []
