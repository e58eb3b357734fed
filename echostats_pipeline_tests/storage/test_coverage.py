"""Gaps in the database: stored once, and closed by what covers them."""

from datetime import timedelta

from echostats_pipeline.model.plays import ListeningGap
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, documents

MS = timedelta(milliseconds=1)


def test_a_gap_found_twice_is_one_gap(store: Store, db: Db) -> None:
    for seen in range(2):
        gap = {"user_id": "u", "from": NOW, "to": NOW + timedelta(hours=1), "detected_at": NOW + seen * MS}
        store.coverage.record_gaps([ListeningGap.model_validate(gap)])
    (found,) = documents(db, "listening_gaps")
    assert found == {
        "user_id": "u",
        "from": NOW,
        "to": NOW + timedelta(hours=1),
        "detected_at": NOW,
        "closed_by": None,
        "kind": "unseen",
    }


def test_an_import_closes_the_gaps_it_covers_and_no_others(store: Store, db: Db) -> None:
    hour = timedelta(hours=1)
    for start in (NOW, NOW + 2 * hour, NOW + 4 * hour):
        gap = {"user_id": "u", "from": start, "to": start + hour, "detected_at": NOW}
        store.coverage.record_gaps([ListeningGap.model_validate(gap)])
    assert store.coverage.close_gaps("v", NOW, NOW + 9 * hour, "other.json") == 0
    assert store.coverage.close_gaps("u", NOW, NOW + 3 * hour, "one.json") == 2
    assert store.coverage.close_gaps("u", NOW, NOW + 3 * hour, "again.json") == 0
    closed = {gap["from"]: gap["closed_by"] for gap in db["listening_gaps"].find()}
    assert closed == {NOW: "one.json", NOW + 2 * hour: "one.json", NOW + 4 * hour: None}
