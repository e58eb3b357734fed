"""Fixtures that tests of stages share."""

from collections.abc import Iterator

import pytest
from pymongo import MongoClient

from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.databases import KeptDatabase


@pytest.fixture(scope="session")
def kept_scratch(mongo_client: MongoClient[Document]) -> Iterator[KeptDatabase]:
    kept = KeptDatabase(mongo_client, "scratch")
    yield kept
    kept.drop()


@pytest.fixture
def scratch(kept_scratch: KeptDatabase) -> Store:
    """A second database, in which a test rebuilds from scratch what the first one updates."""
    return Store.of(kept_scratch.empty())
