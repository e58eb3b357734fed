"""`echostats backup` on a real server: what is restored is what was there, whatever is killed."""

import os
import signal
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from dagster import DagsterRun, DagsterRunStatus
from dagster._core.execution.backfill import BulkActionStatus
from dagster._serdes import deserialize_value, serialize_value

from echostats_pipeline.backup import moment
from echostats_pipeline.backup.archive import new_archive
from echostats_pipeline.backup.dumping import Secrets, dump, sources
from echostats_pipeline.backup.manifest import Moved
from echostats_pipeline.backup.moment import pause
from echostats_pipeline.backup.runs import count_runs
from echostats_pipeline.cli import backup
from echostats_pipeline.errors import BackupError
from echostats_pipeline.model.operations import LeaseScope
from echostats_pipeline.orchestration.instance.identity import KEY as KEY_OF_INSTANCE
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.leases import Lease
from echostats_pipeline_tests.backup.conftest import NOT_COMPARED, Filled, content, lapse
from echostats_pipeline_tests.backup.dying import NEVER, dying_commands
from echostats_pipeline_tests.cli.conftest import Echostats, refused
from echostats_pipeline_tests.conftest import NOW, Counted


def test_everything_is_restored_under_other_names(filled: Filled, echostats: Echostats, tmp_path: Path) -> None:
    before = content(filled.store.db)
    made = echostats("backup", "a.zip", **filled.changes)
    assert made.returncode == 0, made.stderr
    assert "read back and compared. No run changed anything meanwhile." in made.stdout
    assert "It holds the encryption key" in made.stdout
    assert content(filled.store.db) == before, "a backup changes nothing"
    assert filled.store.db["user_leases"].count_documents({}) == 0
    checked = echostats("restore", "--check", "a.zip", **filled.changes)
    assert "a.zip is whole" in checked.stdout
    ended = echostats("restore", "a.zip", **{**filled.changes, **filled.there})
    assert ended.returncode == 0, ended.stderr
    assert filled.there["MONGO_DB"] in ended.stdout
    assert filled.store.db.name not in ended.stdout
    after = content(filled.restored("MONGO_DB"))
    changed = {"sync_jobs", "change_marks"}  # a run was under way
    assert {name: after[name] for name in before if name not in changed} == {
        name: before[name] for name in before if name not in changed
    }
    (job,) = filled.restored("MONGO_DB")["sync_jobs"].find()
    assert (job["status"], job["dagster_run_id"]) == ("failed", "a run")
    assert "backed up" in job["error_message"]
    mart, mart_there = (filled.store.db.client[name] for name in (filled.names[0], filled.names[2]))
    assert {name.replace("a_", "b_", 1): value for name, value in content(mart).items()} == content(mart_there)
    assert mart_there["b_listening_history"].count_documents({"before": "the validator"}) == 1


@pytest.mark.kill
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_killed_at_any_command_a_restore_ends_equal_and_a_backup_leaves_no_file(
    filled: Filled, echostats: Echostats, tmp_path: Path
) -> None:
    path, killed = tmp_path / "a.zip", tmp_path / "killed.zip"
    there = {**filled.changes, **filled.there}
    environ = {**filled.installation.environ, **there}
    assert echostats("backup", str(path), **filled.changes).returncode == 0
    assert echostats("restore", str(path), **there).returncode == 0

    def restored() -> tuple[dict[str, Any], ...]:
        marked = (*NOT_COMPARED, "change_marks")  # those of a restore are others each time
        return content(filled.restored("MONGO_DB"), without=marked), content(filled.restored("ECHOSTATS_ECHOTUNE_DB"))

    clean = restored()
    for name in filled.names[1:]:
        filled.store.db.client.drop_database(name)
    with dying_commands(environ) as attempt:
        for number in (30, 131):
            assert not attempt(number, "restore", str(path))
            lapse(filled.restored("MONGO_DB"))
        assert attempt(NEVER, "restore", str(path))
        assert restored() == clean
        assert not attempt(70, "backup", str(killed))
    assert not killed.exists()


def test_a_backup_waits_for_runs_and_runs_wait_for_it(filled: Filled, echostats: Echostats, tmp_path: Path) -> None:
    store, run = filled.store, Lease(filled.user.user_id, "history", "a run")
    store.leases.take(run)
    ended = echostats("backup", "--wait", "0", "a.zip", **filled.changes)
    assert ended.returncode == 1
    assert "Waiting for run a run" in ended.stderr
    assert "Run a run still changes data" in ended.stderr
    assert list(tmp_path.glob("*.zip")) + list(tmp_path.glob(".*")) == []
    store.leases.release(run)
    with pause(store, 0, lambda run: None) as still:
        assert not store.leases.take(run)
        still.keep()
        store.db["user_leases"].delete_many({})  # it stood still, and they expired
        held = replace(run, dagster_run_id=store.leases.holder(run))
        assert held.dagster_run_id == ""
    assert store.leases.take(run)


def test_a_backup_that_waits_long_lets_other_users_be_synced(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    store, waited = filled.store, list[str]()
    monkeypatch.setattr(moment, "HOLD_S", 0.0)
    import_ = Lease(filled.user.user_id, "library", "an import")
    assert store.leases.take(import_)

    def sleep(seconds: float) -> None:
        assert [each["dagster_run_id"] for each in store.db["user_leases"].find()] == ["an import"]
        store.leases.release(import_)

    with pause(store, 60, waited.append, sleep):
        for scope in get_args(LeaseScope):
            assert not store.leases.take(replace(import_, scope=scope))
        with pytest.raises(BackupError, match="Another backup still changes"), pause(store, -1, waited.append):
            pass
    assert waited == ["run an import", "another backup"]
    assert store.db["user_leases"].count_documents({}) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_service_manager_that_ends_a_backup_leaves_nothing_of_it(
    filled: Filled, echostats: Echostats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminated(*_: object) -> None:
        assert filled.store.db["user_leases"].count_documents({}) == len(get_args(LeaseScope))
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(backup, "dump_runs", terminated)
    ended = echostats("backup", "--with-runs", "a.zip", **filled.changes)
    assert (ended.returncode, ended.stderr.strip()) == (130, "Stopped.")
    assert list(tmp_path.glob("*.zip")) + list(tmp_path.glob(".*")) == []
    assert filled.store.db["user_leases"].count_documents({}) == 0


def test_a_change_beside_the_runs_is_noticed_though_its_reader_has_read_it_meanwhile(
    filled: Filled, tmp_path: Path
) -> None:
    store, user_id = filled.store, filled.user.user_id

    class Busy(Counted):
        def expect(self, items: int) -> None:
            store.marks.mark(user_id, "catalog")
            with store.marks.reading(user_id, "analytics_snapshots"):
                pass

    with new_archive(tmp_path / "a.zip") as target:
        still = pause(store, 0, lambda run: None)
        made = dump(store, sources(store, ()), target, still, Secrets(None, ""), lambda _: (), NOW, Busy())
    assert made.moved == (Moved(user_id=user_id, source="catalog"),)


def test_the_history_of_dagster_goes_along_if_asked(filled: Filled, echostats: Echostats, tmp_path: Path) -> None:
    history = StateFolder(tmp_path / "home").dagster_dir / "storage"
    history.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(history / "runs.db") as runs:
        runs.execute("PRAGMA journal_mode=WAL")
        runs.execute("CREATE TABLE runs (status, run_body)")
        runs.execute("CREATE TABLE bulk_actions (status, body)")
        runs.execute("CREATE TABLE kvs (key, value)")
        runs.execute("INSERT INTO kvs VALUES (?, 'x')", (KEY_OF_INSTANCE,))
        run = serialize_value(DagsterRun(job_name="sync", status=DagsterRunStatus.STARTED))
        for status in [each.value for each in DagsterRunStatus if each is not DagsterRunStatus.SUSPENDED]:
            runs.execute("INSERT INTO runs VALUES (?, ?)", (status, run.replace("STARTED", status)))
        runs.execute("INSERT INTO bulk_actions VALUES ('REQUESTED', ?)", (serialize_value(BulkActionStatus.REQUESTED),))
        runs.commit()
        assert echostats("backup", "--with-runs", "a.zip", **filled.changes).returncode == 0
    runs.close()
    environ = {**filled.changes, **filled.there}
    assert f"a history of {len(DagsterRunStatus) - 1} runs" in refused(echostats("restore", "a.zip", **environ))
    for path in history.iterdir():
        path.unlink()
    (history / "stale.db").touch()
    assert echostats("restore", "a.zip", **environ).returncode == 0
    assert [path.name for path in history.iterdir()] == ["runs.db"]
    assert count_runs(history) == len(DagsterRunStatus) - 1
    with sqlite3.connect(history / "runs.db") as runs:
        for status, body in runs.execute("SELECT status, run_body FROM runs"):
            restored = deserialize_value(body, DagsterRun)
            assert restored.status.value == status
            assert restored.is_finished
        (backfill,) = runs.execute("SELECT status, body FROM bulk_actions").fetchall()
        assert backfill == ("CANCELED", serialize_value(BulkActionStatus.CANCELED))
        assert runs.execute("SELECT * FROM kvs").fetchall() == []
    runs.close()


def test_a_database_that_is_down_leaves_no_file(echostats: Echostats, tmp_path: Path) -> None:
    ended = echostats("backup", "a.zip", MONGO_URI="mongodb://127.0.0.1:1/")
    assert "does not answer" in refused(ended)
    assert list(tmp_path.glob("*.zip")) + list(tmp_path.glob(".*")) == []
    assert "There is no database" in refused(echostats("backup", "a.zip", MONGO_URI="", ENCRYPTION_KEY=""))
