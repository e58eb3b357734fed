"""The declared indexes, made to exist and repaired."""

from typing import Any

import pytest
from bson import SON

from echostats_pipeline.errors import IndexConflictError, StorageError
from echostats_pipeline.model.collections import COLLECTIONS, Collection, Index
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.indexes import REPAIR_COMMAND, ensure_indexes, repair_indexes

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
        ("daily_rollups", [("user_id", 1), ("date", 1)], {}),
        ("daily_rollups", [("user_id", 1), ("date", -1)], {"unique": True}),
        ("api_logs", [("timestamp", 1)], {}),
        ("api_logs", [("timestamp", 1)], {"expireAfterSeconds": 60}),
        ("analytics_snapshots", [("user_id", 1), ("period", 1)], {"sparse": True}),
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
    repaired = repair_indexes(db)
    assert [entry.partition(".")[0] for entry in repaired] == [collection]
    assert existing(db, collection) == declared(COLLECTIONS[collection])
    assert list(db[collection].find()) == [document]


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
    db["daily_rollups"].create_index([("user_id", 1), ("date", 1)])
    before = existing(db, "daily_rollups")
    db["daily_rollups"].insert_many([{"user_id": "u", "date": "2025-01-01"} for _ in range(2)])
    with pytest.raises(StorageError):
        repair_indexes(db)
    assert db["daily_rollups"].count_documents({}) == 2
    assert existing(db, "daily_rollups").items() >= before.items()


def test_the_name_of_an_index_is_the_one_mongodb_gives(db: Db) -> None:
    index = Index((("user_id", 1), ("track.spotify_id", 1), ("played_at", -1)))
    assert db["any"].create_index(list(index.keys)) == index.name
