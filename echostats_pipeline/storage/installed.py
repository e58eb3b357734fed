"""Lists the collections of all installed databases on the server."""

from collections.abc import Iterable
from typing import NamedTuple

from pymongo.collection import Collection as MongoCollection

from echostats_pipeline.model.collections import INSTALLED, Collection, Database
from echostats_pipeline.storage.database import AWARE, Db, Document


class InstalledCollection(NamedTuple):
    """A declared collection and the stored one.

    Attributes:
        label: The collection's name, with its database unless that is the core.
    """

    label: str
    declared: Collection
    stored: MongoCollection[Document]


def installed(db: Db, databases: Iterable[Database] = INSTALLED) -> list[InstalledCollection]:
    """The collections of some databases on the server of the core database `db`."""
    return [
        InstalledCollection(database.label(collection.name), collection, at[collection.name])
        for database in databases
        for at in (db.client.get_database(database.name, codec_options=AWARE) if database.name else db,)
        for collection in database.collections
    ]
