"""`echostats restore` on a real server: what it refuses, what it replaces, and what it leaves to be built again."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from echostats_pipeline.backup.manifest import Moved, StoredCollection
from echostats_pipeline.backup.restoring import Place, keep_removed, settings_of, settle, with_tokens
from echostats_pipeline.errors import BackupError, StorageError
from echostats_pipeline.local.database import open_store
from echostats_pipeline.model.operations import Source
from echostats_pipeline.settings import load_settings
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.restores import RestoreStore
from echostats_pipeline_tests.backup.conftest import BESIDE_A_REGEX, PLAYS, Filled, interrupt_restore, lapse
from echostats_pipeline_tests.cli.conftest import Echostats, refused
from echostats_pipeline_tests.conftest import KEY, NOW

OTHER_KEY = "ab" * 32
MOVED: tuple[Source, ...] = ("catalog", "track_credits")


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


def read_from_backup(*moved: Moved) -> Any:
    """A manifest with what the end of a restore looks at."""
    return type("Read", (), {"made_at": NOW, "moved": moved})()


def test_what_changed_meanwhile_is_built_again(filled: Filled) -> None:
    store, user_id = filled.store, filled.user.user_id
    store.marks.follow_consumers()
    store.db["change_marks"].delete_many({"date": {"$ne": ""}})
    store.jobs.close_all(NOW, "")
    with pytest.MonkeyPatch.context() as patch:
        made: list[Any] = []
        patch.setattr(store.files, "delete_incomplete", lambda: made.append(1))
        settle(store, read_from_backup())
        assert store.db["change_marks"].count_documents({"date": {"$ne": ""}}) == 0
        moved = [Moved(user_id=each, source=source) for each in (user_id, "gone") for source in MOVED]
        settle(store, read_from_backup(*moved))
    assert store.marks.pending("analytics_snapshots") == {user_id: ["all"]}
    days = {each["played_at"].astimezone().date() for each in store.db["listening_history"].find()}
    assert abs(len(store.marks.pending_days(user_id)) - len(days)) <= 1


def test_what_was_under_way_is_failed_and_its_snapshots_are_built_again(filled: Filled) -> None:
    store, user_id = filled.store, filled.user.user_id
    store.marks.follow_consumers()
    store.db["change_marks"].delete_many({"date": {"$ne": ""}})
    imports = [{"user_id": user_id, "status": "running", "dagster_run_id": run} for run in ("a run", None)]
    store.db["imports"].insert_many(imports)
    settle(store, read_from_backup())
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
