"""`echostats backup` and `restore` on a real server: what is restored is what was there, whatever is killed."""

import io
import os
import secrets
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from bson import ObjectId
from dagster import DagsterRun, DagsterRunStatus
from dagster._core.execution.backfill import BulkActionStatus
from dagster._serdes import deserialize_value, serialize_value
from pymongo import MongoClient

from echostats_pipeline.backup import moment
from echostats_pipeline.backup.archive import new_archive
from echostats_pipeline.backup.dumping import Secrets, dump, fingerprint, sources
from echostats_pipeline.backup.manifest import Moved, StoredCollection
from echostats_pipeline.backup.moment import pause
from echostats_pipeline.backup.restoring import Place, keep_removed, settings_of, settle, with_tokens
from echostats_pipeline.backup.runs import count_runs
from echostats_pipeline.cli import backup
from echostats_pipeline.errors import BackupError, StorageError
from echostats_pipeline.local.database import open_store
from echostats_pipeline.local.mongod import EmbeddedServer
from echostats_pipeline.model.operations import LeaseScope
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.instance.identity import KEY as KEY_OF_INSTANCE
from echostats_pipeline.settings import load_settings
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.files import FileKey
from echostats_pipeline.storage.indexes import ensure_indexes
from echostats_pipeline.storage.installed import databases_of
from echostats_pipeline.storage.leases import Lease
from echostats_pipeline.storage.restores import RESTORES, RestoreStore
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.sync_jobs import JobKey
from echostats_pipeline.storage.validators import ensure_validators
from echostats_pipeline_tests.backup.dying import NEVER, dying_commands
from echostats_pipeline_tests.cli.conftest import Echostats, echostats, refused
from echostats_pipeline_tests.conftest import KEY, NOW, Counted, Installation
from echostats_pipeline_tests.databases import structure

OTHER_KEY = "ab" * 32
PLAYS = 2_300
BESIDE_A_REGEX = {"name": {"$regex": "^a", "$ne": "ab"}}
__all__ = ["echostats"]


NOT_COMPARED = ("user_leases", "unfinished_restores")


def content(db: Db, *, without: tuple[str, ...] = NOT_COMPARED) -> dict[str, Any]:
    """The documents of each collection, its options and its indexes."""
    return {
        name: (fingerprint(db[name]), options, indexes)
        for name, (options, indexes) in structure(db).items()
        if name not in without
    }


@dataclass(frozen=True)
class Filled:
    """An installation with documents of all kinds, its mart and its state folder.

    Attributes:
        names: Names of all databases that the test uses; they are dropped after it.
        changes: Settings of the installation beside those of the fixture.
        there: Settings of the place of a restore, where everything has other names.
    """

    installation: Installation
    user: User
    names: list[str]
    changes: dict[str, str]
    there: dict[str, str]

    @property
    def store(self) -> Store:
        return self.installation.store

    def restored(self, name: str) -> Db:
        """A database that a restore has written."""
        return self.store.db.client.get_database(self.there[name])


@pytest.fixture
def filled(
    installation: Installation, mongo_server: EmbeddedServer, mongo_client: MongoClient[Document]
) -> Iterator[Filled]:
    store, user = installation.store, installation.connect()
    names = [f"test_{secrets.token_hex(6)}" for _ in range(3)]
    changes = {
        "ECHOSTATS_MARTS": "echotune",
        "ECHOSTATS_ECHOTUNE_DB": names[0],
        "ECHOSTATS_ECHOTUNE_PREFIX": "a_",
        "ENCRYPTION_KEY": KEY,
    }
    there = {
        "MONGO_URI": mongo_server.uri,  # to insert what does not fit a validator takes more than readWrite
        "MONGO_DB": names[1],
        "ECHOSTATS_MARTS": "",
        "ECHOSTATS_ECHOTUNE_DB": names[2],
        "ECHOSTATS_ECHOTUNE_PREFIX": "b_",
    }
    plays = [
        {"user_id": user.user_id, "track": {"spotify_id": f"t{n % 7}"}, "played_at": NOW - timedelta(hours=n)}
        for n in range(PLAYS)
    ]
    store.db["listening_history"].insert_many(plays)
    # The server deletes it as soon as there is an index, wherever it is restored.
    store.db["api_logs"].insert_one({"timestamp": NOW - timedelta(days=4000), "family": "recently-played"})
    store.db["of_echostats"].insert_one({"_id": {"a": 1, "b": ObjectId()}, "whole": 2**40, "real": 0.1, "none": None})
    store.db.create_collection("of_another", validator=BESIDE_A_REGEX, capped=True, size=4096).insert_one({"name": "a"})
    store.files.put(FileKey(user.user_id, "report", "report.html"), "1", io.BytesIO(b"x" * 300_000))
    store.jobs.open(JobKey(user.user_id, "a run"), "periodic", NOW, "an instance")
    store.marks.mark(user.user_id, "listening_history", ["2025-06-14"])
    settings = load_settings({**installation.environ, **changes}, env_file=None)
    mart = databases_of(settings)[1]
    ensure_indexes(store.db, (mart,))
    chats = mongo_client[names[0]]["a_listening_history"]
    chats.insert_one({"before": "the validator"})
    ensure_validators(store.db, (mart,))
    yield Filled(installation, user, names, changes, there)
    for name in names:
        mongo_client.drop_database(name)


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


def test_what_is_there_is_replaced_only_if_asked_and_closed_while_a_restore_has_not_ended(
    filled: Filled, echostats: Echostats
) -> None:
    environ = {**filled.changes, **filled.there}
    view: Document = {"viewOn": "listening_history", "pipeline": [{"$match": BESIDE_A_REGEX}]}
    filled.store.db.create_collection("a_view", **view)
    filled.store.db.create_collection("measured", timeseries={"timeField": "at"})
    assert "since they hold time series: measured." in echostats("backup", "a.zip", **filled.changes).stderr
    there = filled.restored("MONGO_DB")
    there["rules"].insert_one({"user_id": "x"})
    said = refused(echostats("restore", "a.zip", **environ))
    assert "rules 1" in said
    assert "an empty database in MONGO_DB, or" in said
    assert there.list_collection_names() == ["rules"]
    there["sync_jobs"].insert_one({"dagster_run_id": "r", "status": "running", "user_id": "x"})
    assert "Runs work on this database now" in refused(echostats("restore", "--overwrite", "a.zip", **environ))
    there["sync_jobs"].delete_many({})
    restores = there["unfinished_restores"]
    interrupt_restore(there)
    for command in (("users",), ("backup", "c.zip"), ("restore", "a.zip")):
        assert "The restore of z.zip into this database has not ended" in refused(echostats(*command, **environ))
    with (
        pytest.raises(StorageError, match="has not ended"),
        open_store(load_settings({**filled.installation.environ, **environ}, env_file=None), indexes=True),
    ):
        pass
    assert echostats("restore", "--overwrite", "a.zip", **environ).returncode == 0
    assert there["rules"].count_documents({}) == restores.count_documents({}) == 0
    assert there["listening_history"].count_documents({}) == PLAYS
    assert next(there.list_collections(filter={"name": "a_view"}))["options"] == view


def test_the_key_goes_with_the_data_or_is_refused(filled: Filled, echostats: Echostats, tmp_path: Path) -> None:
    echostats("backup", "a.zip", **filled.changes)
    echostats("backup", "--without-keys", "b.zip", **filled.changes)
    assert KEY not in str(echostats("restore", "--check", "a.zip"))
    environ = {**filled.changes, **filled.there, "ENCRYPTION_KEY": OTHER_KEY}
    for name, said in (("a.zip", "which is in its keys.json"), ("b.zip", "The backup holds no key")):
        assert said in refused(echostats("restore", name, **environ))
    assert filled.restored("MONGO_DB").list_collection_names() == []
    ended = echostats("restore", "--without-keys", "b.zip", **environ)
    assert ended.returncode == 0
    assert "2 tokens are encrypted with key" in ended.stdout


def test_where_data_is_in_the_way_the_setting_is_named_that_leads_there(filled: Filled) -> None:
    db, mart = filled.store.db, filled.store.db.client[filled.names[0]]
    stored = StoredCollection(entry="", size=0, sha256="", documents=0, name="")
    found = [Place("core", stored, "", db["rules"]), Place("echotune", stored, "", mart["a_users"])]
    assert settings_of(db, [f"{db.name}.rules"], found) == ["MONGO_DB"]
    assert settings_of(db, [f"{mart.name}.a_users"], found) == ["ECHOSTATS_ECHOTUNE_DB"]


def test_two_databases_of_a_backup_do_not_become_one(filled: Filled, echostats: Echostats) -> None:
    echostats("backup", "a.zip", **filled.changes)
    environ = {**filled.changes, **filled.there, "ECHOSTATS_ECHOTUNE_DB": filled.there["MONGO_DB"]}
    assert "MONGO_DB and ECHOSTATS_ECHOTUNE_DB are both" in refused(echostats("restore", "a.zip", **environ))


def test_the_key_of_another_database_with_tokens_is_noticed(filled: Filled) -> None:
    assert filled.store.db.name in with_tokens(filled.store.db.client["another"])
    assert filled.store.db.name not in with_tokens(filled.store.db)


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


def lapse(db: Db) -> None:
    """Let half a minute pass for the process that restores."""
    db[RESTORES].update_one({}, {"$set": {"renewed_at": NOW - timedelta(days=9)}})


def interrupt_restore(db: Db) -> None:
    """Leave a restore that was ended with Ctrl-C after its first collection."""
    stack = ExitStack()
    own = stack.enter_context(RestoreStore(db).own("of another", "z.zip", NOW))
    own.note("a collection")
    stack.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)


def test_of_two_restores_only_one_goes_on(filled: Filled) -> None:
    db = filled.store.db
    restores, stack = RestoreStore(db), ExitStack()
    first = stack.enter_context(restores.own("x", "a.zip", NOW))
    first.note("one")
    alive = restores.own("x", "a.zip", NOW, lambda seconds: first.keep())
    with pytest.raises(BackupError, match=r"a\.zip into this database is under way"), alive:
        pass
    lapse(db)  # the first one stands still
    with restores.own("x", "a.zip", NOW) as second:
        assert second.restored == {"one"}
        with pytest.raises(BackupError, match="another one has taken its place"):
            first.note("two")
    for begin in (first.keep, stack.close):
        with pytest.raises(BackupError, match="another one has taken its place"):
            begin()
    assert restores.unfinished() is None


def test_a_restore_of_another_backup_begins_anew_and_opens_the_database_only_at_its_end(filled: Filled) -> None:
    restores = RestoreStore(filled.store.db)
    interrupt_restore(filled.store.db)
    with restores.own("another", "b.zip", NOW) as own:
        assert own.restored == set()
        with pytest.raises(StorageError, match=r"The restore of b\.zip"):
            restores.refuse()
    restores.refuse()


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


def test_what_changed_meanwhile_is_built_again(filled: Filled) -> None:
    store, user_id = filled.store, filled.user.user_id
    store.marks.follow_consumers()
    store.db["change_marks"].delete_many({"date": {"$ne": ""}})
    store.jobs.close_all(NOW, "")
    with pytest.MonkeyPatch.context() as patch:
        made: list[Any] = []
        patch.setattr(store.files, "delete_incomplete", lambda: made.append(1))
        manifest: Any = type("Read", (), {"made_at": NOW, "moved": ()})()
        settle(store, manifest)
        assert store.db["change_marks"].count_documents({"date": {"$ne": ""}}) == 0
        manifest.moved = tuple(
            Moved(user_id=each, source=source) for each in (user_id, "gone") for source in ("catalog", "track_credits")
        )
        settle(store, manifest)
    assert store.marks.pending("analytics_snapshots") == {user_id: ["all"]}
    days = {each["played_at"].astimezone().date() for each in store.db["listening_history"].find()}
    assert abs(len(store.marks.pending_days(user_id)) - len(days)) <= 1


def test_what_was_under_way_is_failed_and_its_snapshots_are_built_again(filled: Filled) -> None:
    store, user_id = filled.store, filled.user.user_id
    store.marks.follow_consumers()
    store.db["change_marks"].delete_many({"date": {"$ne": ""}})
    imports = [{"user_id": user_id, "status": "running", "dagster_run_id": run} for run in ("a run", None)]
    store.db["imports"].insert_many(imports)
    manifest: Any = type("Read", (), {"made_at": NOW, "moved": ()})()
    settle(store, manifest)
    found = store.db["imports"].find(sort=[("dagster_run_id", -1)])
    assert [(each["status"], each.get("error_message", "")[:7]) for each in found] == [
        ("failed", "The run"),
        ("running", ""),
    ]
    assert store.marks.pending("analytics_snapshots") == {user_id: ["all"]}
    assert store.jobs.open_runs() == []


def test_users_who_were_removed_after_the_backup_do_not_come_back(filled: Filled) -> None:
    store, user_id = filled.store, filled.user.user_id
    store.removals.remember(user_id, NOW)
    interrupt_restore(store.db)
    store.db.drop_collection("removed_users")  # as the interrupted restore has done
    with RestoreStore(store.db).own("another", "b.zip", NOW) as own:
        assert own.removed == {user_id: NOW}
        assert keep_removed(store, own.removed) == 1
    assert store.users.all() == []
    assert store.db["listening_history"].count_documents({}) == 0
    assert store.removals.times() == {user_id: NOW}


def test_a_file_without_all_its_parts_is_deleted(filled: Filled) -> None:
    store = filled.store
    assert store.files.delete_incomplete() == 0
    store.db["stored.chunks"].delete_one({"n": 1})
    assert store.files.delete_incomplete() == 1
    assert store.db["stored.chunks"].count_documents({}) == 0


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
