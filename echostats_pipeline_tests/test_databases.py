"""A test leaves nothing in the database of the next test: no document, and no index but those declared."""

from collections.abc import Callable

import pytest
from pymongo import MongoClient
from pymongo.errors import DuplicateKeyError

from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.indexes import index_problems
from echostats_pipeline_tests.databases import KeptDatabase, structure, with_documents


def test_documents_and_other_collections_are_gone_and_indexes_stay(kept_database: KeptDatabase) -> None:
    before = kept_database.empty()
    made = structure(before)
    for name in COLLECTIONS:
        before[name].insert_one({"user_id": "somebody", "spotify_id": "theirs"})
    before["of_nobody"].insert_one({"user_id": "somebody"})
    after = kept_database.empty()
    assert after.name == before.name
    assert structure(after) == made
    assert with_documents(after, list(COLLECTIONS)) == []
    assert index_problems(after) == []
    after["users"].insert_one({"spotify_id": "twice"})
    with pytest.raises(DuplicateKeyError):
        after["users"].insert_one({"spotify_id": "twice"})


@pytest.mark.parametrize(
    "change",
    [
        lambda db: db["users"].create_index("country"),
        lambda db: db["users"].drop_index("spotify_id_1"),
        lambda db: db["users"].drop_indexes(),
        lambda db: db.drop_collection("users"),
        lambda db: db.command("collMod", "users", validator={"country": "DE"}),
        lambda db: db.command("collMod", "api_logs", index={"name": "expire_after_30_days", "expireAfterSeconds": 1}),
    ],
    ids=["index", "no index", "no indexes", "no collection", "validator", "expiry"],
)
def test_a_database_of_other_indexes_or_validators_is_not_used_again(
    kept_database: KeptDatabase, mongo_client: MongoClient[Document], change: Callable[[Db], object]
) -> None:
    before = kept_database.empty()
    made = structure(before)
    change(before)
    after = kept_database.empty()
    assert after.name != before.name
    assert before.name not in mongo_client.list_database_names()
    assert structure(after) == made
