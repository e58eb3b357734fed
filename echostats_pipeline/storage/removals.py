"""Deletes the documents of removed users, and remembers these users (collection ``removed_users``).

If a run in progress writes documents after a removal, these would stay for ever, because the user is no longer known.
So the id is remembered. Runs for it are refused, and a sweep deletes all documents that were still written: when a step
for a removed user ends, when a user is removed or connects, and every night. Without removed users a sweep costs one
query of an empty collection.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

from echostats_pipeline.errors import UserRemovedError
from echostats_pipeline.model.base import Document as Model
from echostats_pipeline.model.collections import ONLY_CORE, Collection, Database
from echostats_pipeline.model.users import ID_DIGITS, RemovedUser, ending_of_key
from echostats_pipeline.storage.database import AWARE, Db, Document
from echostats_pipeline.storage.installed import InstalledCollection
from echostats_pipeline.storage.owned import owned_by, owned_collections

GENRES = Collection("genre_distributions", Model, ())
"""EchoStats' own collection, which this pipeline neither reads nor writes."""


class RemovalStore:
    """Remembers removed users and deletes their documents."""

    def __init__(self, db: Db, databases: Sequence[Database] = ONLY_CORE) -> None:
        self._removed = db["removed_users"]
        genres = InstalledCollection(GENRES.name, GENRES, db[GENRES.name])
        self._theirs = {genres.label: genres, **owned_collections(db, databases)}
        client = db.client
        self._prunes = [
            (each.name, partial(each.prune, db, client.get_database(each.name, codec_options=AWARE)))
            for each in databases
            if each.prune is not None
        ]
        self._outside = [each.forget for each in databases if each.forget is not None]

    def remember(self, user_id: str, at: datetime) -> None:
        """Remember that a user is removed; from now on none of the user's documents are kept."""
        removed = RemovedUser(user_id=user_id, removed_at=at)
        self._removed.update_one({"user_id": user_id}, {"$setOnInsert": removed.to_bson()}, upsert=True)

    def ids(self, among: Sequence[str] | None = None) -> list[str]:
        """Ids of removed users: all, or those in `among`."""
        query: Document = {} if among is None else {"user_id": {"$in": list(among)}}
        return [found["user_id"] for found in self._removed.find(query).sort("user_id")]

    def times(self) -> dict[str, datetime]:
        """When each removed user was removed, by id."""
        return {found["user_id"]: found["removed_at"] for found in self._removed.find()}

    def refuse(self, user_id: str) -> None:
        """Raise an error if the user was removed.

        Raises:
            UserRemovedError: the user was removed.
        """
        if self.ids([user_id]):
            raise UserRemovedError

    def had_key(self, partition_key: str) -> bool:
        """Whether a partition key belonged to a removed user."""
        ending = re.escape(partition_key[-ID_DIGITS:])
        known = self._removed.find_one({"user_id": {"$regex": f"{ending}$", "$options": "i"}})
        return known is not None and partition_key.endswith(ending_of_key(known["user_id"]))

    def leftovers(self) -> dict[str, int]:
        """The number of documents of removed users by collection; collections without any are left out."""
        ids = self.ids()
        if not ids:
            return {}
        counts = {
            label: each.stored.count_documents(_of_removed(each.declared, ids)) for label, each in self._theirs.items()
        }
        return {label: count for label, count in counts.items() if count}

    def sweep(self, among: Sequence[str] | None = None) -> dict[str, int]:
        """Delete all documents of removed users: of all, or of those in `among`, and what marts keep of them elsewhere.

        Returns:
            The number of deleted documents by collection; collections without any are left out.
        """
        ids = self.ids(among)
        if not ids:
            return {}
        counts = {
            label: each.stored.delete_many(_of_removed(each.declared, ids)).deleted_count
            for label, each in self._theirs.items()
        }
        for name, prune in self._prunes:
            counts[f"{name}, shared"] = prune()
        for forget in self._outside:
            for user_id in ids:
                forget(user_id)
        return {label: count for label, count in counts.items() if count}


def keys_of_removed(keys: Iterable[str], removed_ids: Iterable[str]) -> list[str]:
    """The partition keys among these that belonged to removed users."""
    endings = {ending_of_key(user_id) for user_id in removed_ids}
    return [key for key in keys if key[-ID_DIGITS - 1 :] in endings]


def _of_removed(collection: Collection, user_ids: list[str]) -> Document:
    """The query for documents of removed users. Incidents of a run name their users by partition key only."""
    owned = owned_by(collection, user_ids)
    if collection.name != "incidents":
        return owned
    endings = "|".join(re.escape(ending_of_key(user_id)) for user_id in user_ids)
    return {"$or": [owned, {"user_key": {"$regex": rf"({endings})(\.\.|$)"}}]}
