"""Fixtures that tests of stages share."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pymongo import MongoClient

from echostats_pipeline.model.operations import FileImport
from echostats_pipeline.model.users import User
from echostats_pipeline.simulator.exports import ExportTruth, write_extended_export
from echostats_pipeline.simulator.world import World
from echostats_pipeline.stages.imports import import_export
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, Counted
from echostats_pipeline_tests.databases import KeptDatabase

START, END = NOW - timedelta(days=45), NOW - timedelta(days=1)
"""What the `export` covers."""


@pytest.fixture(scope="session")
def kept_scratch(mongo_client: MongoClient[Document]) -> Iterator[KeptDatabase]:
    kept = KeptDatabase(mongo_client, "scratch")
    yield kept
    kept.drop()


@pytest.fixture
def scratch(kept_scratch: KeptDatabase) -> Store:
    """A second database, in which a test rebuilds from scratch what the first one updates."""
    return Store.of(kept_scratch.empty())


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory, small_world: World) -> tuple[Path, ExportTruth]:
    path = tmp_path_factory.mktemp("exports") / "my_spotify_data.zip"
    return path, write_extended_export(small_world, small_world.users[0], START, END, path)


@pytest.fixture
def user(store: Store, small_world: World) -> User:
    return store.users.connect(
        {"spotify_id": small_world.users[0].id}, authorized_at=NOW, simulated=True, timezone="Europe/Berlin"
    )


@pytest.fixture
def read(store: Store, user: User) -> Callable[[Path], list[FileImport]]:
    return lambda path: import_export(store, user, [path], progress=Counted(), clock=lambda: NOW)
