"""A store with the core and EchoTune's database, and a second one to build from nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from echostats_pipeline.marts.echotune.build import EchoTuneMart
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.indexes import ensure_indexes
from echostats_pipeline.storage.installed import databases_of
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.validators import ensure_validators
from echostats_pipeline_tests.databases import KeptDatabase, limited_uri, new_database
from echostats_pipeline_tests.marts.echotune.mart_oracle import COLLECTIONS


@dataclass(frozen=True)
class Installed:
    """A core database and a database of EchoTune on the same server."""

    store: Store
    settings: Settings

    def environ(self) -> dict[str, str]:
        """The settings of an installation with both databases."""
        core, mart = self.store.db, self.settings.echotune_db
        uri = limited_uri(core.client, core.name, mart)
        return {"ECHOSTATS_MARTS": "echotune", "ECHOSTATS_ECHOTUNE_DB": mart, "MONGO_URI": uri}

    def mart(self, now: datetime, run_id: str = "a run") -> EchoTuneMart:
        return EchoTuneMart(self.store, self.settings, now, run_id)

    def update(self, user: User, now: datetime, **how: Any) -> dict[str, int]:
        return dict(self.mart(now).update(user, **how).written)

    def collection(self, name: str) -> Collection[Document]:
        return self.store.db.client[self.settings.echotune_db].get_collection(
            self.settings.echotune_prefix + name, codec_options=self.store.db.codec_options
        )

    def empty(self) -> None:
        for name in COLLECTIONS:
            self.collection(name).delete_many({})


def installed_beside(core: Store, name: str) -> Installed:
    settings = Settings(home=Path(), marts=("echotune",), echotune_db=name, mongo_db=core.db.name)
    databases = databases_of(settings)
    ensure_indexes(core.db, databases[1:])
    ensure_validators(core.db, databases[1:])
    return Installed(Store.of(core.db, databases), settings)


@pytest.fixture(scope="session")
def mart_names(mongo_client: MongoClient[Document]) -> Iterator[tuple[str, str]]:
    names = [new_database(mongo_client, "mart").name for _ in range(2)]
    yield names[0], names[1]
    for name in names:
        mongo_client.drop_database(name)


@pytest.fixture
def echotune(store: Store, mart_names: tuple[str, str]) -> Installed:
    installed = installed_beside(store, mart_names[0])
    installed.empty()
    return installed


@pytest.fixture(scope="session")
def kept_scratch(mongo_client: MongoClient[Document]) -> Iterator[KeptDatabase]:
    kept = KeptDatabase(mongo_client, "scratch")
    yield kept
    kept.drop()


@pytest.fixture
def scratch_echotune(kept_scratch: KeptDatabase, mart_names: tuple[str, str]) -> Installed:
    installed = installed_beside(Store.of(kept_scratch.empty()), mart_names[1])
    installed.empty()
    return installed
