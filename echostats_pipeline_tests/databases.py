"""Databases for tests. Creating indexes costs ten times as much as emptying, so one database with indexes is kept."""

import hashlib
import secrets
from collections.abc import Iterator
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure

from echostats_pipeline.storage.database import AWARE, Db, Document
from echostats_pipeline.storage.indexes import ensure_indexes

PASSWORD = secrets.token_hex(16)
"""Of users whom `limited_uri` makes in this process."""
USER_EXISTS = 51003


def new_database(client: MongoClient[Document], prefix: str) -> Db:
    """A database with a new name, and so without collections."""
    return client.get_database(f"{prefix}_{secrets.token_hex(6)}", codec_options=AWARE)


class KeptDatabase:
    """A database with all indexes, emptied for each test that requests it.

    A test may change indexes and validators. A database that is not as it was made is dropped, and the next test gets a
    new one.
    """

    def __init__(self, client: MongoClient[Document], prefix: str) -> None:
        self._client, self._prefix = client, prefix
        self._db: Db | None = None
        self._made: dict[str, Any] = {}

    def empty(self) -> Db:
        """The database without a document, with only the declared indexes."""
        if self._db is not None and not self._emptied(self._db):
            self.drop()
        if self._db is None:
            self._db = new_database(self._client, self._prefix)
            ensure_indexes(self._db)
            self._made = structure(self._db)
        return self._db

    def drop(self) -> None:
        """Remove the database."""
        if self._db is not None:
            self._client.drop_database(self._db.name)
            self._db = None

    def _emptied(self, db: Db) -> bool:
        """Whether deleting documents and new collections was enough to restore the database."""
        new = set(db.list_collection_names()) - self._made.keys()
        if "system.views" in new:  # only the server may drop it
            return False
        for name in new:
            db.drop_collection(name)
        for name in with_documents(db, list(self._made)):
            db[name].delete_many({})
        return structure(db) == self._made


def limited_uri(client: MongoClient[Document], *databases: str) -> str:
    """The address of a server for a user who may read and write these databases, and who has no other right."""
    name = hashlib.sha256(" ".join(sorted(databases)).encode()).hexdigest()[:24]
    roles = [{"role": "readWrite", "db": database} for database in databases]
    try:
        client.admin.command("createUser", name, pwd=PASSWORD, roles=roles)
    except OperationFailure as error:
        if error.code != USER_EXISTS:
            raise
    host, port = client.address or ("", 0)
    return f"mongodb://{name}:{PASSWORD}@{host}:{port}/?authSource=admin"


def structure(db: Db) -> dict[str, Any]:
    """Every collection with its options, including the validator, and its indexes."""
    options = {found["name"]: found["options"] for found in db.list_collections()}
    found = of_each(db, list(options), [{"$indexStats": {}}, {"$project": {"spec": 1}}])
    indexes: dict[str, dict[str, Document]] = {name: {} for name in options}
    for each in found:
        indexes[each["in"]][each["spec"]["name"]] = each["spec"]
    return {name: (options[name], indexes[name]) for name in options}


def with_documents(db: Db, collections: list[str]) -> list[str]:
    """The collections with documents."""
    return [found["in"] for found in of_each(db, collections, [{"$limit": 1}, {"$project": {"_id": 1}}])]


def of_each(db: Db, collections: list[str], stages: list[Document]) -> Iterator[Document]:
    """What some stages find in each of the collections, which is `in`: one request, for each of thousands of tests."""
    if not collections:
        return
    first, *others = ((name, [*stages, {"$addFields": {"in": name}}]) for name in collections)
    unions = [{"$unionWith": {"coll": name, "pipeline": pipeline}} for name, pipeline in others]
    yield from db[first[0]].aggregate([*first[1], *unions])
