"""An installation to back up and restore, and what is there afterwards."""

import io
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo import MongoClient

from echostats_pipeline.backup.dumping import fingerprint
from echostats_pipeline.local.mongod import EmbeddedServer
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import load_settings
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.files import FileKey
from echostats_pipeline.storage.indexes import ensure_indexes
from echostats_pipeline.storage.installed import databases_of
from echostats_pipeline.storage.restores import RESTORES, RestoreStore
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.sync_jobs import JobKey
from echostats_pipeline.storage.validators import ensure_validators
from echostats_pipeline_tests.cli.conftest import echostats
from echostats_pipeline_tests.conftest import KEY, NOW, Installation
from echostats_pipeline_tests.databases import structure

PLAYS = 2_300
BESIDE_A_REGEX = {"name": {"$regex": "^a", "$ne": "ab"}}
NOT_COMPARED = ("user_leases", "unfinished_restores")
__all__ = ["echostats"]


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


def lapse(db: Db) -> None:
    """Let half a minute pass for the process that restores."""
    db[RESTORES].update_one({}, {"$set": {"renewed_at": NOW - timedelta(days=9)}})


def interrupt_restore(db: Db) -> None:
    """Leave a restore that was ended with Ctrl-C after its first collection."""
    stack = ExitStack()
    own = stack.enter_context(RestoreStore(db).own("of another", "z.zip", NOW))
    own.note("a collection")
    stack.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
