"""Each check of the doctor, passing and failing."""

import errno
import shutil
from collections import namedtuple
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pymongo.errors import AutoReconnect

from echostats_pipeline.accounts.connecting import token_cipher
from echostats_pipeline.accounts.consent import CONSENT_LIFE
from echostats_pipeline.errors import StorageError
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.operations import Incident
from echostats_pipeline.monitoring import health, machine
from echostats_pipeline.monitoring.health import GIB, HealthFinding, as_json, examined, worst
from echostats_pipeline.spotify.crypto import TokenCipher
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import KEY, NOW, Installation


def levels(findings: Any) -> list[str]:
    return [finding.level for finding in findings]


def test_a_database_that_answers_is_well(store: Store) -> None:
    found = list(health.database(store))
    assert found[0].level == "ok"
    assert "MongoDB" in found[0].text
    assert "free" in found[1].text


@pytest.mark.parametrize(("version", "level"), [("4.4.29", "problem"), ("5.0.0", "ok"), ("10.1.2", "ok")])
def test_a_server_that_is_too_old_is_a_problem(
    store: Store, version: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(store.db.client), "server_info", lambda _: {"version": version})
    assert next(iter(health.database(store))).level == level


@pytest.mark.parametrize(("gib", "level"), [(0.4, "problem"), (4, "warning"), (6, "ok")])
def test_little_room_is_told_in_time(gib: float, level: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, int(gib * GIB)))
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster.log").write_text("x" * 3000)
    (finding,) = machine.disk(tmp_path)
    assert finding.level == level
    assert "logs 3 KiB" in finding.text
    assert bool(finding.fix) is (level != "ok")


def test_a_missing_state_folder_is_named_and_not_made(tmp_path: Path) -> None:
    (finding,) = machine.disk(tmp_path / "home")
    assert (finding.level, str(tmp_path) in finding.text) == ("warning", True)
    assert not (tmp_path / "home").exists()


def test_indexes_missing_and_contradicting_are_told_apart(db: Db, store: Store) -> None:
    assert levels(health.indexes(store)) == ["ok"]
    db["tracks"].drop_index("name_1")
    db["api_logs"].drop_index("expire_after_30_days")
    db["api_logs"].create_index("timestamp", expireAfterSeconds=60)
    wrong, missing = health.indexes(store)
    assert (wrong.level, missing.level) == ("problem", "warning")
    assert "api_logs.timestamp_1" in wrong.text
    assert "echostats indexes --repair" in wrong.fix
    assert "tracks.name_1" in missing.text


def test_an_empty_database_lacks_indexes_and_has_none_that_contradict(db: Db) -> None:
    assert levels(health.indexes(Store.of(db))) == ["warning"]


def test_tokens_are_tried_with_the_keys_there_are(installation: Installation) -> None:
    store, present = installation.store, token_cipher(installation.settings)
    installation.connect()
    assert levels(health.encryption(store, present)) == ["ok"]
    (wrong,) = health.encryption(store, TokenCipher(SecretStr("ab" * 32)))
    assert wrong.level == "problem"
    assert "2 of 2" in wrong.text
    (former,) = health.encryption(store, TokenCipher(SecretStr("ab" * 32), [SecretStr(KEY)]))
    assert (former.level, former.fix) == ("warning", "echostats keys rotate")
    assert levels(health.encryption(store, None)) == ["problem"]
    store.db["spotify_tokens"].delete_many({})
    assert levels(health.encryption(store, None)) == ["ok"]


@pytest.mark.parametrize(
    ("fields", "level", "says"),
    [
        ({}, "ok", "consent for 182 days"),
        ({"last_synced_at": None}, "warning", "never synced"),
        ({"last_synced_at": NOW - timedelta(minutes=61)}, "warning", "synced 1 h ago"),
        ({"last_synced_at": NOW - timedelta(minutes=59)}, "ok", "synced 59 min ago"),
        ({"authorized_at": NOW - CONSENT_LIFE + timedelta(days=20)}, "warning", "20 days"),
        ({"authorized_at": NOW - CONSENT_LIFE + timedelta(days=2)}, "problem", "2 days"),
        ({"authorized_at": NOW - CONSENT_LIFE - timedelta(days=2)}, "problem", "0 days"),
        ({"authorized_at": None}, "ok", "unknown"),
        ({"status": "needs_reauth", "status_reason": "revoked"}, "problem", "revoked"),
        ({"status": "paused"}, "warning", "paused"),
    ],
)
def test_every_user_is_told_of(installation: Installation, fields: dict[str, Any], level: str, says: str) -> None:
    user, store = installation.connect(), installation.store
    store.db["users"].update_one({"_id": user.id}, {"$set": {"last_synced_at": NOW, **fields}})
    (finding,) = health.users(store, installation.settings, NOW)
    assert (finding.level, says in finding.text) == (level, True), finding.text
    assert user.partition_key in finding.text


def test_a_user_without_tokens_has_to_connect_again_and_nobody_at_all_is_a_warning(installation: Installation) -> None:
    assert levels(health.users(installation.store, installation.settings, NOW)) == ["warning"]
    installation.connect()
    installation.store.db["spotify_tokens"].delete_many({})
    assert levels(health.users(installation.store, installation.settings, NOW)) == ["problem"]


def test_calls_are_held_against_the_budget_and_waits_are_told(store: Store) -> None:
    assert levels(health.quota(store, 10, NOW)) == ["ok"]
    for _ in range(9):
        store.limits.record("tracks", NOW)
        store.limits.record("token", NOW)
    store.limits.postpone("artists", NOW + timedelta(hours=1), "Spotify says so")
    used, waits = health.quota(store, 10, NOW)
    assert (used.level, "tracks 9 of 10" in used.text, "token" in used.text) == ("warning", True, False)
    assert (waits.level, "artists waits until 2025-06-15 13:00 UTC: Spotify says so" in waits.text) == ("warning", True)
    store.limits.postpone("app", NOW + timedelta(hours=1), "all of it")
    assert "problem" in levels(health.quota(store, 10, NOW))


def test_open_incidents_and_nobody_to_tell_are_warnings(store: Store) -> None:
    assert levels(health.incidents(store, 1)) == ["ok"]
    assert levels(health.incidents(store, 0)) == ["warning", "ok"]
    store.incidents.see(Incident(key="k", kind="run", subject="s", cause="c", opened_at=NOW, last_seen_at=NOW))
    (finding,) = health.incidents(store, 1)
    assert (finding.level, "incidents: 1" in finding.text) == ("warning", True)


@pytest.mark.parametrize(("seconds", "level"), [(0, "ok"), (-60, "warning"), (300, "problem")])
def test_clocks_that_differ_are_told(store: Store, seconds: int, level: str) -> None:
    assert levels(health.clock(store, utc_now() + timedelta(seconds=seconds))) == [level, "ok"]


def test_a_zone_that_is_not_known_here_is_told(store: Store) -> None:
    store.db["users"].insert_one({"spotify_id": "a", "partition_key": "a", "timezone": "Mars/Olympus"})
    finding = list(health.clock(store, utc_now()))[1]
    assert (finding.level, "Mars/Olympus" in finding.text) == ("problem", True)


@pytest.mark.parametrize(
    ("number", "said", "fix"),
    [
        (errno.ENOSPC, "No space left on device", "Make room"),
        (errno.EROFS, "Read-only file system", "writable"),
        (errno.EACCES, "Permission denied", "writable"),
    ],
)
def test_a_disk_that_takes_nothing_is_a_problem_with_its_cause(
    number: int, said: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refuse)
    found = next(iter(machine.disk(tmp_path)))
    assert (found.level, said in found.text, fix in found.fix) == ("problem", True, True)


def test_a_library_of_another_version_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(levels(machine.versions())) == {"ok"}
    monkeypatch.setattr(machine.metadata, "version", lambda name: "1.12.0" if name == "dagster" else "4.20.0")
    monkeypatch.setattr(machine.metadata, "requires", lambda _: [f"{name}>=1.13" for name in machine.WATCHED])
    (wrong,) = (finding for finding in machine.versions() if finding.level != "ok")
    assert "dagster 1.12.0 does not fit >=1.13" in wrong.text


@pytest.mark.parametrize(
    "error", [StorageError("no database"), AutoReconnect("gone"), ZeroDivisionError("code=abcdefgh")]
)
def test_what_cannot_be_looked_at_is_a_finding(error: Exception) -> None:
    def look() -> health.HealthFindings:
        yield HealthFinding("area", "ok", "first")
        raise error

    first, broken = examined("area", look, "do this")
    assert (first.level, broken.level, broken.fix) == ("ok", "problem", "do this")
    assert "abcdefgh" not in broken.text


def test_the_worst_decides() -> None:
    ok, warning, problem = (HealthFinding("a", level, "t") for level in ("ok", "warning", "problem"))  # type: ignore[arg-type]
    assert [worst(found) for found in ([], [ok], [ok, warning], [problem, warning])] == [
        "ok",
        "ok",
        "warning",
        "problem",
    ]
    assert as_json([warning])["findings"] == [{"area": "a", "level": "warning", "text": "t", "fix": ""}]
