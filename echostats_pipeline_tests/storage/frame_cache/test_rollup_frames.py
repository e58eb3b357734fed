"""The cache of rollups as columns: changed days are read again, and an entry without valid marks is not used."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import pytest

from echostats_pipeline.model.statistics import RollupChanges, StatisticsYear
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.frame_cache.rollup_changes import RollupChangeStore
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


def changes(db: Db, year: int = DAY.year) -> RollupChanges:
    return RollupChanges.model_validate(db["rollup_changes"].find_one({"user_id": "u", "year": year}))


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
    assert changes(db).kept == year(db).token != ""
    assert (changes(db).stale, changes(db).writers) == ([], [])
    assert sorted(db["statistics_years"].distinct("year")) == [OLD.year, DAY.year]


def test_a_change_touches_the_marks_alone(store: Store, db: Db, rollups: list[dict[str, Any]]) -> None:
    before = year(db)
    write(store, played(DAY, "b"))
    assert changes(db).stale == [DAY.isoformat()]
    assert store.statistics.has_changed_rollups("u")
    assert year(db) == before


def test_what_has_changed_is_read_again_and_nothing_else(store: Store, db: Db, rollups: list[dict[str, Any]]) -> None:
    write(store, played(DAY, "b", "a", plays=3))
    # A change without marks: a reader of this day would find it.
    db["daily_rollups"].update_one({"date": DAYS[1].isoformat()}, {"$set": {"track_plays": []}})
    expected = reported([rollups[0], played(DAY, "b", "a", plays=3), *rollups[2:]])
    assert tracks_of(store.statistics.rollup_frames("u")) == expected
    assert changes(db).stale == []
    assert not store.statistics.has_changed_rollups("u")
    assert tracks_of(store.statistics.rollup_frames("u")) == expected


def test_columns_that_nobody_vouches_for_are_not_believed(store: Store, db: Db, rollups: list[dict[str, Any]]) -> None:
    db["daily_rollups"].update_one({"date": DAYS[1].isoformat()}, {"$set": {"track_plays": []}})
    db["statistics_years"].update_many({}, {"$set": {"token": "of another reader"}})
    assert tracks_of(store.statistics.rollup_frames("u")) == reported([*rollups[:2], *rollups[3:]])
    assert changes(db).kept == year(db).token


def test_what_is_read_while_somebody_writes_is_not_vouched_for(
    store: Store, db: Db, rollups: list[dict[str, Any]]
) -> None:
    before = year(db)
    with RollupChangeStore(db).changing("u", [DAY.isoformat()]):
        assert tracks_of(store.statistics.rollup_frames("u")) == reported(rollups)
        assert changes(db).stale == [DAY.isoformat()]
    assert year(db) == before
    store.statistics.rollup_frames("u")
    assert changes(db).stale == []


def test_rollups_removed_by_others_are_noticed(store: Store, db: Db, rollups: list[dict[str, Any]]) -> None:
    db["daily_rollups"].delete_one({"date": DAYS[1].isoformat()})
    assert tracks_of(store.statistics.rollup_frames("u")) == reported([*rollups[:2], *rollups[3:]])
    db["daily_rollups"].delete_one({"date": OLD.isoformat()})
    assert tracks_of(store.statistics.rollup_frames("u")) == reported([rollups[1], *rollups[3:]])
    assert (db["rollup_changes"].distinct("year"), db["statistics_years"].distinct("year")) == ([DAY.year], [DAY.year])


@pytest.mark.parametrize("name", ["rollup_changes", "statistics_years"])
def test_what_is_kept_may_be_dropped(store: Store, db: Db, rollups: list[dict[str, Any]], name: str) -> None:
    db[name].drop()
    assert tracks_of(store.statistics.rollup_frames("u")) == reported(rollups)


def test_ids_that_are_not_in_use_any_more_are_not_kept(store: Store, db: Db, rollups: list[dict[str, Any]]) -> None:
    for number in range(4):
        write(store, played(DAY, f"only then {number}", "a"))
        frames = store.statistics.rollup_frames("u")
    in_use = {track_id for _, track_id, _ in tracks_of(frames)}
    assert set(frames.track_ids["track_id"]) == in_use
    assert "only then 3" in in_use
