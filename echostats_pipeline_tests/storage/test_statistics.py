"""Rollups and snapshots in the database: replaced without a gap, with any names in them."""

import threading
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.model.statistics import PERIODS, AnalyticsSnapshot, DailyRollup
from echostats_pipeline.storage.change_marks import OpenMarks
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.statistics import LONG_AGO
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, documents

DAY = date(2025, 6, 1)
# BSON keys are any text but NUL. Reading already rejects lone surrogates.
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def rollup(day: date, **fields: Any) -> dict[str, Any]:
    return DailyRollup.model_validate({"user_id": "u", "date": day.isoformat(), **fields}).to_bson()


def test_what_is_written_is_what_is_there(store: Store, db: Db) -> None:
    built = [rollup(DAY, total_plays=1), rollup(DAY + timedelta(days=1), total_plays=2)]
    days = [DAY, DAY + timedelta(days=1)]
    assert store.statistics.replace_rollups("u", days, built) == 2
    assert documents(db, "daily_rollups") == built


def test_the_same_again_writes_nothing_and_keeps_the_documents(store: Store, db: Db) -> None:
    store.statistics.replace_rollups("u", [DAY], [rollup(DAY, total_plays=1)])
    before = list(db["daily_rollups"].find())
    assert store.statistics.replace_rollups("u", [DAY], [rollup(DAY, total_plays=1)]) == 0
    assert list(db["daily_rollups"].find()) == before


def test_days_that_are_gone_are_removed_and_others_are_left(store: Store, db: Db) -> None:
    days = [DAY + timedelta(days=number) for number in range(5)]
    store.statistics.replace_rollups("u", days, [rollup(day) for day in days])
    store.statistics.replace_rollups("v", [DAY], [{**rollup(DAY), "user_id": "v"}])
    # The first and the last of a wider span; the days between were not requested.
    assert store.statistics.replace_rollups("u", [days[0], days[3]], [rollup(days[3], total_plays=7)]) == 2
    left = {(found["user_id"], found["date"]): found["total_plays"] for found in db["daily_rollups"].find()}
    expected = {("u", day.isoformat()): 0 for day in days[1:]} | {("u", days[3].isoformat()): 7}
    assert left == expected | {("v", DAY.isoformat()): 0}


def test_rollups_that_another_process_inserts_meanwhile_are_replaced(
    store: Store, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [DAY, DAY + timedelta(days=1)]
    opened = store.marks.open

    def beside_another(*marks: Any) -> OpenMarks:
        db["daily_rollups"].insert_one(rollup(DAY, total_plays=1))  # after the stored ones were read
        return opened(*marks)

    monkeypatch.setattr(store.marks, "open", beside_another)
    assert store.statistics.replace_rollups("u", days, [rollup(day, total_plays=2) for day in days]) == 2
    assert [each["total_plays"] for each in documents(db, "daily_rollups")] == [2, 2]


def test_no_days_change_nothing(store: Store, db: Db) -> None:
    store.statistics.replace_rollups("u", [DAY], [rollup(DAY)])
    assert store.statistics.replace_rollups("u", [], []) == 0
    assert db["daily_rollups"].count_documents({}) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.dictionaries(NAMES, st.integers(0, 2**40), max_size=5))
@example({"": 1, ".": 2, "$": 3, "will.i.am": 4, "$uicideboy$": 5, "$set": 6, "a.$.b": 7, "x" * 1_000: 8, "_id": 9})
def test_any_name_of_an_artist_survives(store: Store, db: Db, plays: dict[str, int]) -> None:
    built = rollup(DAY, artist_plays=plays, album_plays=dict(reversed(plays.items())))
    for _ in range(2):  # as an insert and as a replacement
        store.statistics.replace_rollups("u", [DAY], [built])
        found = db["daily_rollups"].find_one({"user_id": "u"}, {"_id": 0})
        assert found == built
        assert list(found["artist_plays"]) == list(plays)
        store.statistics.replace_rollups("u", [DAY], [rollup(DAY, artist_plays={"other": 1})])


def test_a_reader_never_sees_fewer_documents_than_there_are(store: Store, db: Db) -> None:
    days = [DAY + timedelta(days=number) for number in range(60)]
    store.statistics.replace_rollups("u", days, [rollup(day) for day in days])
    seen: list[int] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            seen.append(len(list(db["daily_rollups"].find({"user_id": "u"}))))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        while len(seen) < 100:
            version = len(seen)
            store.statistics.replace_rollups("u", days, [rollup(day, total_ms=version) for day in days])
    finally:
        ended.set()
        reader.join()
    assert set(seen) == {len(days)}


def test_rollups_come_back_as_frames_in_order(store: Store) -> None:
    track = {"spotify_id": "t", "name": "T", "artist_name": "A", "album_name": "B", "count": 2, "ms": 9}
    quiet = {**track, "spotify_id": "q", "count": 0}
    built = [
        rollup(DAY + timedelta(days=1), total_plays=1, total_ms=5),
        rollup(
            DAY,
            total_plays=2,
            total_ms=18,
            hourly=[{"hour": 23, "count": 2, "ms": 18}],
            track_plays=[track],
            uncounted_tracks=[quiet],
        ),
    ]
    store.statistics.replace_rollups("u", [DAY, DAY + timedelta(days=1)], built)
    frames = store.statistics.rollup_frames("u")
    assert frames.days.rows() == [(DAY, 2, 18, 0, 0, 0, True), (DAY + timedelta(days=1), 1, 5, 0, 0, 0, True)]
    assert frames.hours.rows() == [(DAY, 23, 2, 18)]
    tracks = frames.tracks.with_columns(frames.track_ids["track_id"].gather(frames.tracks["track"])).drop("track")
    assert tracks.rows() == [(DAY, 2, 9, "t"), (DAY, 0, 9, "q")]
    unknown = store.statistics.rollup_frames("nobody")
    assert [frame.height for frame in (unknown.days, unknown.hours, unknown.tracks)] == [0, 0, 0]


def test_snapshots_are_replaced_one_per_period(store: Store, db: Db) -> None:
    for number in range(2):
        built = [
            AnalyticsSnapshot(user_id="u", period=period, total_tracks_played=number).model_dump(
                exclude={"id", "computed_at"}
            )
            for period in PERIODS
        ]
        assert store.statistics.replace_snapshots(built, NOW + timedelta(days=number)) == len(PERIODS)
    assert db["analytics_snapshots"].count_documents({}) == len(PERIODS)
    snapshot = store.statistics.snapshot("u", "year")
    assert (snapshot.total_tracks_played, snapshot.computed_at) == (1, NOW + timedelta(days=1))


def test_a_snapshot_that_was_never_built_is_not_an_empty_one(store: Store) -> None:
    with pytest.raises(NotFoundError, match="week"):
        store.statistics.snapshot("u", "week")


def test_the_end_of_the_periods_is_told_by_user(store: Store) -> None:
    built = AnalyticsSnapshot(user_id="u", period="week", period_end=NOW).model_dump(exclude={"id"})
    store.statistics.replace_snapshots([built], NOW)
    assert store.statistics.period_ends() == {"u": NOW}


def test_snapshots_that_count_otherwise_ended_long_ago(store: Store) -> None:
    for name, counts_songs in (("songs", True), ("ids", False)):
        built = AnalyticsSnapshot(user_id=name, period="week", period_end=NOW, counts_songs=counts_songs)
        store.statistics.replace_snapshots([built.model_dump(exclude={"id"})], NOW)
    earlier = {"user_id": "earlier", "period": "week", "period_end": NOW}
    store.db["analytics_snapshots"].insert_one(earlier)
    assert store.statistics.period_ends(counting_songs=True) == {"songs": NOW, "ids": LONG_AGO, "earlier": LONG_AGO}
    assert store.statistics.period_ends(counting_songs=False) == {"songs": LONG_AGO, "ids": NOW, "earlier": NOW}
