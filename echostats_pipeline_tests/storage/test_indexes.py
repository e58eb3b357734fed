"""The declared indexes: created and repaired."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import SON
from pymongo.collection import Collection as PymongoCollection

from echostats_pipeline.errors import IndexConflictError, StorageError
from echostats_pipeline.model.collections import COLLECTIONS, Collection, Index
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.indexes import REPAIR_COMMAND, ensure_indexes, index_problems, repair_indexes
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.fake_echostats import echostats_starts

EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
PRIMARY = {"key": (("_id", 1),)}


def declared(collection: Collection) -> dict[str, dict[str, Any]]:
    return {"_id_": PRIMARY} | {index.name: {"key": index.keys, **index.options} for index in collection.indexes}


def existing(db: Db, collection: str) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "key": tuple(index["key"]),
            **{
                option: value.to_dict() if isinstance(value, SON) else value
                for option, value in index.items()
                if option not in {"key", "v"}
            },
        }
        for name, index in db[collection].index_information().items()
    }


def test_every_collection_has_exactly_the_declared_indexes(db: Db) -> None:
    ensure_indexes(db)
    assert set(db.list_collection_names()) == set(COLLECTIONS)
    for name, collection in COLLECTIONS.items():
        assert existing(db, name) == declared(collection)


def test_ensuring_twice_changes_nothing(db: Db) -> None:
    ensure_indexes(db)
    before = {name: existing(db, name) for name in COLLECTIONS}
    ensure_indexes(db)
    assert repair_indexes(db) == []
    assert {name: existing(db, name) for name in COLLECTIONS} == before


def test_an_index_that_is_not_declared_is_left_alone(db: Db) -> None:
    db["users"].create_index("country", name="mine")
    ensure_indexes(db)
    repair_indexes(db)
    assert "mine" in existing(db, "users")


@pytest.mark.parametrize(
    ("collection", "keys", "options"),
    [
        ("daily_rollups", [("user_id", 1), ("date", 1)], {"name": "uniq_user_date"}),
        ("daily_rollups", [("user_id", 1), ("date", -1)], {"unique": True}),
        ("api_logs", [("timestamp", 1)], {"expireAfterSeconds": 60}),
        ("api_logs", [("timestamp", 1)], {"expireAfterSeconds": 60, "sparse": True}),
        ("listening_history", [("played_at", 1)], {"expireAfterSeconds": 60}),
        ("listening_history", [("user_id", 1), ("import_key", 1)], {"unique": True}),
    ],
)
def test_an_index_of_an_older_echostats_is_named_with_the_command_that_repairs_it(
    db: Db, collection: str, keys: list[tuple[str, int]], options: dict[str, Any]
) -> None:
    document = {"_id": 1, "user_id": "u", "date": "2025-01-01", "import_key": "k", "spotify_id": "s", "period": "week"}
    db[collection].insert_one(dict(document))
    db[collection].create_index(keys, **options)
    with pytest.raises(IndexConflictError) as conflict:
        ensure_indexes(db)
    assert f"{db.name}.{collection}" in str(conflict.value)
    assert REPAIR_COMMAND in str(conflict.value)
    (named,) = re.findall(rf"{db.name}\.(\S+?)\. ", str(conflict.value))
    assert repair_indexes(db) == [named]
    assert existing(db, collection) == declared(COLLECTIONS[collection])
    assert list(db[collection].find()) == [document]
    ensure_indexes(db)


@pytest.mark.parametrize(
    ("collection", "keys", "options"),
    [
        ("daily_rollups", [("user_id", 1), ("date", 1)], {}),
        ("api_logs", [("timestamp", 1)], {}),
        ("analytics_snapshots", [("user_id", 1), ("period", 1)], {"sparse": True}),
        ("spotify_tokens", [("user_id", 1)], {}),
        ("listening_history", [("user_id", 1), ("track.spotify_id", 1), ("played_at", 1)], {}),
        ("tracks", [("name", "text"), ("artists.name", "text")], {"name": "track_text_search"}),
        ("sync_jobs", [("created_at", 1)], {"expireAfterSeconds": 2592000, "name": "sync_job_ttl"}),
    ],
)
def test_an_index_of_echostats_that_ours_can_live_beside_is_left_alone(
    db: Db, collection: str, keys: list[tuple[str, Any]], options: dict[str, Any]
) -> None:
    name = db[collection].create_index(keys, **options)
    before = db[collection].index_information()[name]
    ensure_indexes(db)
    assert repair_indexes(db) == []
    assert db[collection].index_information()[name] == before
    assert db[collection].index_information().keys() == declared(COLLECTIONS[collection]).keys() | {name}


def test_an_index_with_the_keys_and_options_of_a_declared_one_is_that_one_whatever_its_name(db: Db) -> None:
    db["playlists"].create_index([("user_id", 1), ("spotify_id", 1)], unique=True, name="theirs")
    db["listening_history"].create_index([("user_id", 1), ("played_at", -1)], name="newest")
    ensure_indexes(db)
    assert "uniq_user_playlist" not in existing(db, "playlists")
    assert index_problems(db) == []
    assert Store.of(db).plays.count("u", EPOCH, EPOCH) == 0, "queries name the index as it is called here"


def as_earlier_versions_made(db: Db) -> None:
    for collection in COLLECTIONS.values():
        for index in collection.indexes:
            options = {name: index.options[name] for name in ("unique", "expireAfterSeconds") if name in index.options}
            if not index.own_name:
                options = index.options
            db[collection.name].create_index(list(index.keys), name=index.automatic_name, **options)


STARTS: dict[str, Callable[[Db], None]] = {
    "ours": ensure_indexes,
    "ours of an earlier version": as_earlier_versions_made,
    "EchoStats": echostats_starts,
    "EchoStats of a former version": lambda db: echostats_starts(db, former=True),
}


@pytest.mark.parametrize(
    "order",
    [
        ("ours", "EchoStats", "ours", "EchoStats"),
        ("EchoStats", "ours", "EchoStats", "ours"),
        ("ours of an earlier version", "ours", "EchoStats", "ours", "EchoStats"),
        ("EchoStats of a former version", "ours", "EchoStats", "ours", "EchoStats of a former version"),
    ],
)
def test_echostats_and_ours_start_on_one_database_in_any_order_twice(db: Db, order: tuple[str, ...]) -> None:
    for each in order:
        STARTS[each](db)
    assert index_problems(db) == []
    unique = {"listening_history": 2, "playlists": 1, "daily_rollups": 1, "analytics_snapshots": 1, "spotify_tokens": 1}
    for name, count in unique.items():
        found = db[name].index_information()
        assert sum(index.get("unique", False) for index in found.values()) == count
        assert not any("while_renamed" in index for index in found)
    after = {name: db[name].index_information() for name in COLLECTIONS}
    for each in order[-2:]:
        STARTS[each](db)
    assert {name: db[name].index_information() for name in COLLECTIONS} == after


def not_unique(db: Db, collections: Mapping[str, Collection]) -> list[str]:
    """Declared unique indexes that exist only as indexes that are not unique."""
    return [
        f"{name}.{index.name}"
        for name, collection in collections.items()
        for index in collection.indexes
        if index.own_name and index.unique
        if not any(
            tuple(known["key"]) == index.keys and known.get("unique") for known in db[name].index_information().values()
        )
    ]


def test_a_renaming_that_was_interrupted_is_finished(db: Db) -> None:
    keys = [("user_id", 1), ("period", 1)]
    db["analytics_snapshots"].create_index(keys, unique=True, sparse=True, name="uniq_user_period_while_renamed")
    ensure_indexes(db)
    assert existing(db, "analytics_snapshots") == declared(COLLECTIONS["analytics_snapshots"])


def test_what_earlier_versions_made_is_renamed_without_a_moment_in_which_anything_could_be_there_twice(db: Db) -> None:
    as_earlier_versions_made(db)
    changed = {name: each for name, each in COLLECTIONS.items() if any(i.own_name and i.unique for i in each.indexes)}
    asked, unguarded = 0, list[str]()

    with pytest.MonkeyPatch.context() as patch:
        for method in ("create_index", "drop_index"):
            original = getattr(PymongoCollection, method)

            def spied(self: Any, *arguments: Any, _original: Any = original, **options: Any) -> Any:
                nonlocal asked
                result = _original(self, *arguments, **options)
                asked += 1
                unguarded.extend(not_unique(db, changed))
                return result

            patch.setattr(PymongoCollection, method, spied)
        ensure_indexes(db)
    assert asked > len(changed)
    assert unguarded == []
    for name in COLLECTIONS:
        assert existing(db, name) == declared(COLLECTIONS[name])


def test_an_index_of_a_declared_name_on_other_keys_is_repaired_too(db: Db) -> None:
    db["users"].create_index("country", name="spotify_id_1")
    with pytest.raises(IndexConflictError, match=REPAIR_COMMAND):
        ensure_indexes(db)
    repair_indexes(db)
    assert existing(db, "users") == declared(COLLECTIONS["users"])


def test_duplicates_are_an_error_that_removes_nothing(db: Db) -> None:
    twins = [{"_id": number, "user_id": "u", "date": "2025-01-01"} for number in range(2)]
    db["daily_rollups"].insert_many(twins)
    for make in (ensure_indexes, repair_indexes):
        with pytest.raises(StorageError, match=r"daily_rollups.*'user_id', 'date'.*unique"):
            make(db)
    assert list(db["daily_rollups"].find()) == twins


def test_a_repair_that_meets_duplicates_leaves_the_old_index(db: Db) -> None:
    db["daily_rollups"].create_index([("user_id", 1), ("date", 1)], name="uniq_user_date")
    before = existing(db, "daily_rollups")
    db["daily_rollups"].insert_many([{"user_id": "u", "date": "2025-01-01"} for _ in range(2)])
    with pytest.raises(StorageError):
        repair_indexes(db)
    assert db["daily_rollups"].count_documents({}) == 2
    assert existing(db, "daily_rollups").items() >= before.items()


def test_the_name_of_an_index_is_the_one_mongodb_gives(db: Db) -> None:
    index = Index((("user_id", 1), ("track.spotify_id", 1), ("played_at", -1)))
    assert db["any"].create_index(list(index.keys)) == index.name


def test_an_index_of_an_earlier_version_that_must_be_no_more_is_dropped(db: Db) -> None:
    former = [("user_id", 1), ("file_name", 1), ("row_number", 1)]
    db["import_rejects"].create_index(former, unique=True)
    ensure_indexes(db)
    assert set(db["import_rejects"].index_information()) == {"_id_", "rows_of_files"}
