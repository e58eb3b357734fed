"""What tests of stages share."""

import secrets
from collections.abc import Iterator

import pytest
from pymongo import MongoClient

from echostats_pipeline.storage.database import AWARE, Document
from echostats_pipeline.storage.indexes import ensure_indexes
from echostats_pipeline.storage.store import Store


@pytest.fixture
def scratch(mongo_client: MongoClient[Document]) -> Iterator[Store]:
    """A second database, to build in from scratch what the first one keeps up."""
    name = f"scratch_{secrets.token_hex(6)}"
    db = mongo_client.get_database(name, codec_options=AWARE)
    ensure_indexes(db)
    yield Store.of(db)
    mongo_client.drop_database(name)
