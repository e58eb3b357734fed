"""A database of an earlier version: entries that waited in its collections still wait."""

from datetime import UTC, datetime, timedelta

from echostats_pipeline.local.database import open_store
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.storage.carry_over import carry_over_marks
from echostats_pipeline.storage.change_marks import CONSUMERS, OPEN_FOR, WHOLE, ChangeMarks, Reads
from echostats_pipeline.storage.conformity import stored_as
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import Installation
from echostats_pipeline_tests.storage.test_users import connect

NEVER = datetime(9999, 1, 1, tzinfo=UTC)
"""Earlier versions wrote this value before they knew the server's time."""


def entry(target: str, day: str, mark: str, open_since: datetime | None = None) -> Document:
    return {"user_id": "u", "target": target, "date": day, "mark": mark, "open_since": open_since}


def left_by_an_earlier_version(db: Db) -> None:
    queue = db["rebuild_queue"]
    queue.create_index([("user_id", 1), ("target", 1), ("date", 1)], unique=True)
    queue.insert_many(
        [
            entry("daily_rollups", "", "newest"),
            entry("daily_rollups", "2025-01-01", "a"),
            entry("daily_rollups", "2025-01-02", "a"),
            entry("daily_rollups", "2025-01-03", "dead", utc_now() - 2 * OPEN_FOR),
            entry("daily_rollups", "2025-01-04", "open", utc_now() - timedelta(seconds=1)),
            entry("daily_rollups", "2025-01-05", "", NEVER),
            entry("analytics_snapshots", "", "newest"),
            entry("analytics_snapshots", WHOLE, "b"),
        ]
    )


def test_what_waits_in_a_rebuild_queue_is_carried_over_at_the_next_start(
    installation: Installation,
) -> None:
    db = installation.store.db
    left_by_an_earlier_version(db)
    with open_store(installation.settings, indexes=True) as store:
        assert store.marks.pending("daily_rollups") == {"u": ["2025-01-01", "2025-01-02", "2025-01-03"]}
        assert store.marks.pending("analytics_snapshots") == {"u": [WHOLE]}
        assert {str(day) for day in store.marks.changing_days("u")} == {"2025-01-03", "2025-01-04", "2025-01-05"}
    assert "rebuild_queue" not in db.list_collection_names()
    for found in db["change_marks"].find():
        stored_as(COLLECTIONS["change_marks"].document, "change_marks", found)
    with open_store(installation.settings, indexes=True) as store, store.marks.reading("u", "daily_rollups", DATES):
        pass
    assert installation.store.marks.pending("daily_rollups") == {}


DATES = [f"2025-01-0{day}" for day in range(1, 6)]


def test_a_start_that_is_interrupted_carries_over_the_rest_at_the_next_one(db: Db) -> None:
    db["change_marks"].create_index([("user_id", 1), ("source", 1), ("date", 1), ("writer", 1)], unique=True)
    left_by_an_earlier_version(db)
    before = list(db["rebuild_queue"].find())
    assert carry_over_marks(db) == 6
    db["rebuild_queue"].insert_many(before[:3])  # as if it had been killed before it deleted these
    db["rebuild_queue"].insert_one(entry("daily_rollups", "2025-01-09", "of a process that goes on"))
    assert carry_over_marks(db) == 3
    assert sorted(db["change_marks"].distinct("date")) == [*DATES, "2025-01-09", WHOLE]
    assert db["change_marks"].count_documents({}) == 7
    assert carry_over_marks(db) == 0


def test_rollups_that_no_snapshot_knows_of_are_carried_over(db: Db, store: Store) -> None:
    changes = {"u": ["2025-01-01"], "v": []}
    db["rollup_changes"].insert_many([{"user_id": user, "year": 2025, "stale": days} for user, days in changes.items()])
    assert carry_over_marks(db) == 0
    assert store.marks.pending("analytics_snapshots") == {"u": [WHOLE]}
    assert "rollup_changes" not in db.list_collection_names()


def test_the_users_of_an_earlier_version_are_built_for_a_later_consumer_and_no_other(
    installation: Installation,
) -> None:
    db, user_id = installation.store.db, connect(installation.store, "ann").user_id
    left_by_an_earlier_version(db)
    with open_store(installation.settings, indexes=True) as store:
        store.marks.mark(user_id, "daily_rollups", ["2025-01-01"])
        assert user_id not in store.marks.pending("daily_rollups")
        assert store.marks.pending("analytics_snapshots")[user_id] == [WHOLE]
    mart = Reads(("covered_spans",), by_date=True)
    assert ChangeMarks(db, {**CONSUMERS, "a mart": mart}).pending("a mart") == {user_id: [WHOLE]}
