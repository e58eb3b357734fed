"""Examinations of the pipeline's operation: one that passes and one that fails for each, with numbers and reason."""

from datetime import timedelta
from typing import Any

import pytest

from echostats_pipeline.accounts.consent import CONSENT_LIFE
from echostats_pipeline.model.operations import ApiLog
from echostats_pipeline.model.plays import ListeningGap
from echostats_pipeline.model.users import User
from echostats_pipeline.monitoring import operation
from echostats_pipeline_tests.conftest import NOW, Installation
from echostats_pipeline_tests.monitoring.test_audit import examined
from echostats_pipeline_tests.stages.test_catalog import enrich
from echostats_pipeline_tests.stages.test_ingestion import sync


def gap(user: User, ago: timedelta, lasts: timedelta, **fields: Any) -> dict[str, object]:
    start = NOW - ago
    return ListeningGap.model_validate(
        {"user_id": user.user_id, "from": start, "to": start + lasts, "detected_at": NOW, **fields}
    ).to_bson()


def set_user(installation: Installation, user: User, **fields: Any) -> User:
    installation.store.db["users"].update_one({"_id": user.id}, {"$set": fields})
    return installation.store.users.find(user.partition_key)


def test_gaps_of_the_last_days_are_told_from_older_and_closed_ones(installation: Installation) -> None:
    user, gaps = installation.connect(), installation.store.db["listening_gaps"]
    gaps.insert_one(gap(user, timedelta(days=2), timedelta(hours=5), closed_by="import"))
    gaps.insert_one(gap(user, timedelta(days=90), timedelta(hours=7)))
    found = examined(installation, operation.gaps_are_closed, user)
    assert found.passed
    assert found.numbers == {
        "users": 1,
        "gaps": 1,
        "hours_not_known": 7.0,
        "recent_gaps": 0,
        "recent_hours_not_known": 0,
    }
    gaps.insert_one(gap(user, timedelta(days=31), timedelta(days=2)))
    gaps.insert_one(gap(user, timedelta(days=1), timedelta(0)))
    found = examined(installation, operation.gaps_are_closed, user)
    assert (found.passed, found.severity) == (False, "WARN")
    assert (found.numbers["gaps"], found.numbers["hours_not_known"]) == (3, 55.0)
    assert (found.numbers["recent_gaps"], found.numbers["recent_hours_not_known"]) == (2, 24.0)
    assert "24.0 hours" in found.description
    assert "import it" in found.description


def test_tracks_that_wait_are_told_from_those_that_nobody_can_read(installation: Installation) -> None:
    user, db = installation.connect(), installation.store.db
    sync(installation, user)
    enrich(installation, user)
    found = examined(installation, operation.tracks_are_enriched, user)
    assert (found.passed, found.numbers["plays"], found.numbers["share"]) == (True, 50, 1.0)
    tracks = sorted(db["listening_history"].distinct("track.spotify_id"))
    counts = [db["listening_history"].count_documents({"track.spotify_id": track}) for track in tracks]
    db["tracks"].update_one({"spotify_id": tracks[0]}, {"$set": {"enriched_at": None, "unavailable_at": NOW}})
    db["listening_history"].update_many({"track.spotify_id": tracks[1]}, {"$set": {"track.spotify_id": "local:x"}})
    found = examined(installation, operation.tracks_are_enriched, user)
    assert found.passed
    assert (found.numbers["unavailable"], found.numbers["made_up"]) == (counts[0], counts[1])
    db["tracks"].delete_one({"spotify_id": tracks[2]})
    db["tracks"].update_many({"spotify_id": {"$in": tracks[3:20]}}, {"$set": {"enriched_at": None}})
    found = examined(installation, operation.tracks_are_enriched, user)
    waiting = sum(counts[2:20])
    assert (found.passed, found.severity, found.numbers["waiting"]) == (False, "WARN", waiting)
    assert f"{waiting / 50:.1%} still wait" in found.description
    assert found.rows[0]["user"] == user.partition_key


def test_short_plays_do_not_count_for_the_coverage(installation: Installation) -> None:
    user = installation.connect()
    sync(installation, user)
    installation.store.db["listening_history"].update_many({}, {"$set": {"ms_played": 29_999}})
    assert examined(installation, operation.tracks_are_enriched, user).numbers["plays"] == 0


def test_an_active_user_who_is_not_synced_is_found(installation: Installation) -> None:
    late, paused = installation.connect(0), installation.connect(1)
    late = set_user(installation, late, last_synced_at=NOW - timedelta(minutes=60))
    paused = set_user(installation, paused, last_synced_at=NOW - timedelta(days=60), status="paused")
    found = examined(installation, operation.users_are_synced, late, paused)
    assert (found.passed, found.numbers) == (True, {"active_users": 1, "stale_users": 0, "most_hours": 1.0})
    installation.clock.advance(timedelta(minutes=1))
    found = examined(installation, operation.users_are_synced, late, paused)
    assert (found.passed, found.severity, found.numbers["stale_users"]) == (False, "WARN", 1)
    assert "1 of 1 active users were not synced for more than 1 h." in found.description
    assert found.rows == [{"user": late.partition_key, "last_synced_at": "2025-06-15 11:00 UTC", "hours": 1.0}]
    patient = installation.with_settings(sync_interval_minutes=60)
    assert examined(patient, operation.users_are_synced, late).passed, "four intervals have not passed"
    never = set_user(installation, late, last_synced_at=None, created_at=NOW - timedelta(days=1))
    assert examined(patient, operation.users_are_synced, never).rows[0]["last_synced_at"] == "never"


def test_a_consent_that_ends_soon_or_is_gone_is_found(installation: Installation) -> None:
    users = [installation.connect(number) for number in range(2)]
    unknown = set_user(installation, users[1], authorized_at=None)
    found = examined(installation, operation.consents_last, users[0], unknown)
    assert (found.passed, found.numbers) == (True, {"users": 2, "ending": 0, "unknown": 1})
    ending = set_user(installation, users[0], authorized_at=NOW - CONSENT_LIFE + timedelta(days=30))
    gone = set_user(installation, unknown, status="needs_reauth")
    found = examined(installation, operation.consents_last, ending, gone)
    assert (found.passed, found.severity, found.numbers["ending"]) == (False, "WARN", 2)
    assert [(row["user"], row["days_left"]) for row in found.rows] == [
        (gone.partition_key, 0),
        (ending.partition_key, 30.0),
    ]
    assert "echostats connect" in found.description


def logs(family: str, status: int, count: int, ago: timedelta = timedelta(hours=1)) -> list[dict[str, object]]:
    return [ApiLog(family=family, status_code=status, timestamp=NOW - ago).to_bson() for _ in range(count)]


def test_errors_of_spotify_are_counted_by_family_and_limits_are_not_errors(installation: Installation) -> None:
    api_logs = installation.store.db["api_logs"]
    api_logs.insert_many(
        [
            *logs("tracks", 200, 18),
            *logs("tracks", 502, 2),
            *logs("tracks", 429, 30),
            *logs("artists", 403, 9),
            *logs("token", 500, 99, timedelta(hours=25)),
            *logs("albums", 404, 20),
        ]
    )
    found = examined(installation, operation.spotify_answers)
    assert found.passed, "2 of 50, 0 of 20, and 9 are too few"
    assert found.numbers == {"families": 3, "calls": 79, "errors": 11, "too_many": 30, "not_found": 20}
    api_logs.insert_many([*logs("artists", 0, 1), *logs("tracks", 401, 1)])
    found = examined(installation, operation.spotify_answers)
    assert (found.passed, found.severity) == (False, "WARN")
    assert found.description.startswith("10 of 10 calls to artists failed in the last 24 hours")
    assert [(row["family"], row["error_rate"]) for row in found.rows] == [
        ("artists", 1.0),
        ("tracks", 0.0588),
        ("albums", 0.0),
    ]


def test_no_calls_at_all_are_no_errors(installation: Installation) -> None:
    assert examined(installation, operation.spotify_answers).numbers["calls"] == 0


@pytest.mark.parametrize("expiry", [None, 60])
def test_an_index_that_is_missing_or_expires_otherwise_is_found(installation: Installation, expiry: int | None) -> None:
    found = examined(installation, operation.indexes_are_as_declared)
    assert found.passed, found.rows
    assert found.numbers["declared"] > 40
    api_logs = installation.store.db["api_logs"]
    api_logs.drop_index("expire_after_30_days")
    if expiry:
        api_logs.create_index("timestamp", expireAfterSeconds=expiry)
    installation.store.db["tracks"].drop_index("spotify_id_1")
    found = examined(installation, operation.indexes_are_as_declared)
    assert (found.passed, found.severity, found.numbers["lacking"]) == (False, "WARN", 2)
    assert {(row["collection"], row["index"]): row["problem"] for row in found.rows} == {
        ("api_logs", "timestamp_1" if expiry else "expire_after_30_days"): (
            "has {'expireAfterSeconds': 60}" if expiry else "missing"
        ),
        ("tracks", "spotify_id_1"): "missing",
    }
    assert "echostats indexes --repair" in found.description
