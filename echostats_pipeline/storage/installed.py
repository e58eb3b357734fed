"""Lists the collections of all installed databases on the server."""

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import NamedTuple

from pymongo.collection import Collection as MongoCollection

from echostats_pipeline.model.collections import CORE, ONLY_CORE, Collection, Database
from echostats_pipeline.model.operations import Reads
from echostats_pipeline.settings import Settings
from echostats_pipeline.storage.database import AWARE, Db, Document

MARTS: Mapping[str, str] = {
    "echotune": "echostats_pipeline.marts.echotune.database",
    "playlist_generator": "echostats_pipeline.marts.playlist_generator.database",
    "spotify_analytics": "echostats_pipeline.marts.spotify_analytics.database",
    "warehouse": "echostats_pipeline.marts.warehouse.database",
}
"""The module of each mart that can be installed. Its function ``database`` declares the mart's database.

A mart is imported only if the settings name it, and by this name: nothing in the core knows a mart.
"""


def databases_of(settings: Settings) -> tuple[Database, ...]:
    """The core database, and those of the marts that the settings name."""
    return (CORE, *(mart_database(mart, settings) for mart in settings.installed_marts))


def mart_database(mart: str, settings: Settings) -> Database:
    """The database of a mart, whether the settings install it or not."""
    declared: Database = import_module(MARTS[mart]).database(settings)
    return declared


def place_of(databases: Iterable[Database], consumers: Mapping[str, Reads]) -> str:
    """The names under which the database that reads for these consumers is installed; empty if it is not."""
    ours = next((each for each in databases if each.consumers is consumers), None)
    return "" if ours is None else ours.label(ours.collections[0].name)


class InstalledCollection(NamedTuple):
    """A declared collection and the stored one.

    Attributes:
        label: The collection's name, with its database unless that is the core.
    """

    label: str
    declared: Collection
    stored: MongoCollection[Document]


def installed(db: Db, databases: Iterable[Database] = ONLY_CORE) -> list[InstalledCollection]:
    """The collections of some databases on the server of the core database `db`."""
    return [
        InstalledCollection(database.label(collection.name), collection, at[collection.name])
        for database in databases
        for at in (db.client.get_database(database.name, codec_options=AWARE) if database.name else db,)
        for collection in database.collections
    ]
