"""What is a user's own, in whatever collections there are: counted and read. `storage.removals` deletes it."""

from collections.abc import Iterator

from bson import ObjectId

from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.model.users import User
from echostats_pipeline.storage.database import Db, Document

OWNED = (*(name for name, each in COLLECTIONS.items() if each.owned_by_user and name != "users"), "users")
"""Collections with documents of users; ``users`` is the last, so that an interrupted removal can be repeated."""
IN_ORDER = {"listening_history": "played_at"}
"""By what field a collection is read, where an index gives that order; the others come as they are stored."""


def owned_by(name: str, user_ids: list[str]) -> Document:
    """The query for the documents of some users in a collection."""
    if name == "users":
        return {"_id": {"$in": [ObjectId(user_id) for user_id in user_ids]}}
    return {"user_id": {"$in": user_ids} if len(user_ids) != 1 else user_ids[0]}


class OwnedStore:
    """Every collection of `OWNED`, for reading."""

    def __init__(self, db: Db) -> None:
        self._db = db

    def counts(self, user: User) -> dict[str, int]:
        """How many documents of each collection are this user's own; collections without any are left out."""
        counts = {name: self._db[name].count_documents(owned_by(name, [user.user_id])) for name in OWNED}
        return {name: count for name, count in counts.items() if count}

    def documents(self, user: User, name: str) -> Iterator[Document]:
        """A user's documents of one collection as they are stored, but for its secrets.

        Of a collection with secrets only the fields are read that are known to be none.
        """
        collection = COLLECTIONS[name]
        known = [info.alias or field for field, info in collection.document.model_fields.items()]
        fields = dict.fromkeys((field for field in known if field not in collection.secrets), 1)
        found = self._db[name].find(owned_by(name, [user.user_id]), fields if collection.secrets else None)
        if order := IN_ORDER.get(name):
            found = found.sort(order, 1).allow_disk_use(True)
        yield from found
