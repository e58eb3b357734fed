"""A second database beside the core: only its declaration gives it indexes, export and removal of users."""

import secrets
from collections.abc import Iterator

import pytest
from bson import ObjectId

from echostats_pipeline.model.base import Document
from echostats_pipeline.model.collections import CORE, Collection, Database, by, declared
from echostats_pipeline.model.users import User
from echostats_pipeline.storage.indexes import ensure_indexes, index_problems, repair_indexes
from echostats_pipeline.storage.owned import OwnedStore
from echostats_pipeline.storage.removals import RemovalStore
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW


class Mood(Document):
    """A user's mood."""

    listener: str
    text: str = ""


@pytest.fixture
def second(store: Store) -> Iterator[Database]:
    """A database with a collection of the core's name, one of users, and one of an application."""
    name = f"second_{secrets.token_hex(6)}"
    yield Database(
        name,
        (
            Collection("tracks", Mood, (by("text", unique=True),), owned_by_user=False),
            Collection("moods", Mood, (by("listener"),), owner_field="listener"),
            Collection("chats", Mood, (by("listener"),), owner_field="listener", written_by="application"),
        ),
    )
    store.db.client.drop_database(name)


def test_its_collections_are_told_from_those_of_the_core(second: Database) -> None:
    labels = declared((CORE, second))
    assert {"tracks", f"{second.name}.tracks"} <= labels.keys()
    assert len(labels) == len(CORE.collections) + 3


def test_its_indexes_are_made_looked_for_and_repaired(store: Store, second: Database) -> None:
    databases = (CORE, second)
    missing = {problem.name for problem in index_problems(store.db, databases)}
    assert missing == {f"{second.name}.{name}" for name in ("tracks.text_1", "moods.listener_1", "chats.listener_1")}
    ensure_indexes(store.db, databases)
    assert index_problems(store.db, databases) == []
    moods = store.db.client[second.name]["moods"]
    moods.drop_index("listener_1")
    moods.create_index("text", name="listener_1")
    assert repair_indexes(store.db, databases) == [f"{second.name}.moods.listener_1"]
    assert index_problems(store.db, databases) == []


def test_what_is_a_users_in_it_is_read_and_removed_with_them(store: Store, second: Database) -> None:
    databases, at = (CORE, second), store.db.client[second.name]
    ann, bob = (User(_id=ObjectId(), spotify_id=name, partition_key=f"{name}-123456") for name in ("ann", "bob"))
    for name in ("moods", "chats", "tracks"):
        at[name].insert_many([{"listener": user.user_id, "text": f"{user.spotify_id} {name}"} for user in (ann, bob)])
    owned, removals = OwnedStore(store.db, databases), RemovalStore(store.db, databases)
    expected = {f"{second.name}.moods": 1, f"{second.name}.chats": 1}
    assert owned.counts(ann) == expected
    assert [each["text"] for each in owned.documents(ann, f"{second.name}.moods")] == ["ann moods"]
    removals.remember(ann.user_id, NOW)
    assert removals.leftovers() == expected
    assert removals.sweep() == expected
    assert owned.counts(ann) == {}
    assert owned.counts(bob) == expected
    assert at["tracks"].count_documents({}) == 2
