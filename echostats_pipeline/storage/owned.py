"""Counts and reads a user's own documents, in all collections of all databases. `storage.removals` deletes them."""

from collections.abc import Iterable, Iterator

from echostats_pipeline.model.collections import ONLY_CORE, Collection, Database
from echostats_pipeline.model.users import User
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.installed import InstalledCollection, installed

IN_ORDER = {"listening_history": "played_at"}
"""The sort field of a collection, if an index has that order. Other collections are read in the stored order."""


def owned_by(collection: Collection, user_ids: list[str]) -> Document:
    """The query for the documents of some users in a collection."""
    owners = [collection.owner_id(user_id) for user_id in user_ids]
    return {collection.owner_field: {"$in": owners} if len(owners) != 1 else owners[0]}


def owned_collections(db: Db, databases: Iterable[Database] = ONLY_CORE) -> dict[str, InstalledCollection]:
    """Collections with documents of users, by label; ``users`` is the last, so that a removal can be repeated."""
    found = [each for each in installed(db, databases) if each.declared.owned_by_user]
    return {each.label: each for each in sorted(found, key=lambda each: each.label == "users")}


class OwnedStore:
    """Read access to every collection with documents of users."""

    def __init__(self, db: Db, databases: Iterable[Database] = ONLY_CORE) -> None:
        self.collections = owned_collections(db, databases)

    def counts(self, user: User) -> dict[str, int]:
        """The number of this user's documents in each collection; collections without any are left out."""
        counts = {
            label: each.stored.count_documents(owned_by(each.declared, [user.user_id]))
            for label, each in self.collections.items()
        }
        return {label: count for label, count in counts.items() if count}

    def documents(self, user: User, label: str) -> Iterator[Document]:
        """A user's documents of one collection as they are stored, without secrets.

        Of a collection with secrets, only fields that are known to be harmless are read.
        """
        _, collection, stored = self.collections[label]
        known = [info.alias or field for field, info in collection.document.model_fields.items()]
        fields = dict.fromkeys((field for field in known if field not in collection.secrets), 1)
        found = stored.find(owned_by(collection, [user.user_id]), fields if collection.secrets else None)
        if order := IN_ORDER.get(label):
            found = found.sort(order, 1).allow_disk_use(True)
        yield from found
