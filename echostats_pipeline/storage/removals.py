"""Users who were removed (collection ``removed_users``), and the deletion of what is theirs.

What a run that was under way writes after that would stay for ever, for nobody knows the user any more. So their id is
remembered: runs are refused that work for it, and whatever has slipped through is deleted by a sweep: when a step for
such a user ends, when somebody is removed or connects, and every night. Without removed users a sweep asks one thing
of an empty collection.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from echostats_pipeline.errors import UserRemovedError
from echostats_pipeline.model.base import Document as Model
from echostats_pipeline.model.collections import INSTALLED, Collection, Database
from echostats_pipeline.model.users import ID_DIGITS, RemovedUser, ending_of_key
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.installed import InstalledCollection
from echostats_pipeline.storage.owned import owned_by, owned_collections

GENRES = Collection("genre_distributions", Model, ())
"""EchoStats' own, which this pipeline neither reads nor writes."""


class RemovalStore:
    """Remembers removed users and deletes what is theirs."""

    def __init__(self, db: Db, databases: Iterable[Database] = INSTALLED) -> None:
        self._removed = db["removed_users"]
        genres = InstalledCollection(GENRES.name, GENRES, db[GENRES.name])
        self._theirs = {genres.label: genres, **owned_collections(db, databases)}

    def remember(self, user_id: str, at: datetime) -> None:
        """Remember that a user is removed; from now on nothing of theirs is to be kept."""
        removed = RemovedUser(user_id=user_id, removed_at=at)
        self._removed.update_one({"user_id": user_id}, {"$setOnInsert": removed.to_bson()}, upsert=True)

    def ids(self, among: Sequence[str] | None = None) -> list[str]:
        """Ids of removed users: of all, or of those among some."""
        query: Document = {} if among is None else {"user_id": {"$in": list(among)}}
        return [found["user_id"] for found in self._removed.find(query).sort("user_id")]

    def refuse(self, user_id: str) -> None:
        """Make sure that a user was not removed.

        Raises:
            UserRemovedError: they were.
        """
        if self.ids([user_id]):
            raise UserRemovedError

    def had_key(self, partition_key: str) -> bool:
        """Whether a partition key was that of a removed user."""
        ending = re.escape(partition_key[-ID_DIGITS:])
        known = self._removed.find_one({"user_id": {"$regex": f"{ending}$", "$options": "i"}})
        return known is not None and partition_key.endswith(ending_of_key(known["user_id"]))

    def leftovers(self) -> dict[str, int]:
        """How many documents of removed users there are, by collection; collections without any are left out."""
        ids = self.ids()
        if not ids:
            return {}
        counts = {
            label: each.stored.count_documents(_of_removed(each.declared, ids)) for label, each in self._theirs.items()
        }
        return {label: count for label, count in counts.items() if count}

    def sweep(self, among: Sequence[str] | None = None) -> dict[str, int]:
        """Delete whatever there is of removed users, or of those among some.

        Returns:
            How many documents of which collection; those that had none are left out.
        """
        ids = self.ids(among)
        if not ids:
            return {}
        counts = {
            label: each.stored.delete_many(_of_removed(each.declared, ids)).deleted_count
            for label, each in self._theirs.items()
        }
        return {label: count for label, count in counts.items() if count}


def keys_of_removed(keys: Iterable[str], removed_ids: Iterable[str]) -> list[str]:
    """Which of some partition keys were those of removed users."""
    endings = {ending_of_key(user_id) for user_id in removed_ids}
    return [key for key in keys if key[-ID_DIGITS - 1 :] in endings]


def _of_removed(collection: Collection, user_ids: list[str]) -> Document:
    """The query for documents of removed users; incidents of a run name the user, or several, by key alone."""
    owned = owned_by(collection, user_ids)
    if collection.name != "incidents":
        return owned
    endings = "|".join(re.escape(ending_of_key(user_id)) for user_id in user_ids)
    return {"$or": [owned, {"user_key": {"$regex": rf"({endings})(\.\.|$)"}}]}
