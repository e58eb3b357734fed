"""The schema of the database, as Markdown: every collection, its fields, its indexes, and what writes it."""

import inspect
from collections.abc import Iterable
from pathlib import Path

import dagster as dg

from echostats_pipeline.marts.echotune.database import database
from echostats_pipeline.marts.playlist_generator.database import database as playlist_generator_database
from echostats_pipeline.marts.spotify_analytics.database import database as analytics_database
from echostats_pipeline.model.collections import (
    DESCENDING,
    ECHOSTATS_COLLECTIONS,
    EXTRA_COLLECTIONS,
    TEXT,
    Collection,
    Index,
)
from echostats_pipeline.orchestration.assets.schemas import columns_of
from echostats_pipeline.settings import Settings
from echostats_pipeline_tests.docs.purposes import PURPOSES
from echostats_pipeline_tests.docs.tables import table
from echostats_pipeline_tests.integration.test_documents import SEED


def echostats_schema() -> str:
    """The collections of the EchoStats schema; fields that come on top are marked."""
    return _sections(ECHOSTATS_COLLECTIONS)


def pipeline_schema() -> str:
    """The collections that the pipeline keeps beside them."""
    return _sections(EXTRA_COLLECTIONS)


def echotune_schema() -> str:
    """The collections of EchoTune's database."""
    return "\n\n".join(map(_mart_section, database(Settings(home=Path())).collections))


def playlist_generator_schema() -> str:
    """The collections of Playlist Generator's database."""
    return "\n\n".join(map(_mart_section, playlist_generator_database(Settings(home=Path())).collections))


def analytics_schema() -> str:
    """The collections of the database ``spotify_analytics``."""
    return "\n\n".join(map(_mart_section, analytics_database(Settings(home=Path())).collections))


def _mart_section(collection: Collection) -> str:
    fields = table(
        ("field", "type", "meaning"),
        [(f"`{column.name}`", _type(column), column.description or "") for column in columns_of(collection)],
    )
    indexes = table(("index on", "options"), [(_keys(index), _options(index)) for index in collection.indexes])
    holds = (inspect.getdoc(collection.document) or "").replace("``", "`")
    return "\n\n".join((f"### {collection.name}", holds, fields, indexes))


def _sections(collections: Iterable[Collection]) -> str:
    return "\n\n".join(_section(collection) for collection in collections)


def _section(collection: Collection) -> str:
    purpose = PURPOSES[collection.name]
    whose = "Each document belongs to one user." if collection.owned_by_user else "All users share it."
    cache = " It is a cache: it may be dropped at any time." if collection.is_cache else ""
    fields = table(
        ("field", "type", "meaning"),
        [
            (f"`{column.name}`{_mark(collection, column.name)}", _type(column), column.description or "")
            for column in columns_of(collection)
        ],
    )
    indexes = table(
        ("index on", "name", "options"),
        [(_keys(index), f"`{index.name}`", _options(index)) for index in collection.indexes],
    )
    return "\n\n".join(
        (
            f"### {collection.name}",
            f"{purpose.holds} {whose}{cache}",
            f"Written by {purpose.written_by}.",
            fields,
            indexes,
        )
    )


def _mark(collection: Collection, path: str) -> str:
    """A sign after the fields that EchoStats does not have."""
    seed = SEED.get(collection.name)
    if seed is None:
        return ""
    top = path.split(".", maxsplit=1)[0]
    return "" if top == "_id" or top in seed else " +"


def _type(column: dg.TableColumn) -> str:
    constraints = column.constraints
    said = [f"`{column.type}`{' or null' if constraints.nullable else ''}"]
    return "; ".join([*said, *(each.replace(" | ", ", ") for each in constraints.other)])


def _keys(index: Index) -> str:
    ways = {TEXT: " as text", DESCENDING: " descending"}
    return ", ".join(f"`{field}`{ways.get(way, '')}" for field, way in index.keys)


def _options(index: Index) -> str:
    days = (index.expire_after_seconds or 0) // (24 * 60 * 60)
    at_once = index.expire_after_seconds == 0
    words = [
        *(["unique"] if index.unique else []),
        *([f"removes documents after {days} {'day' if days == 1 else 'days'}"] if days else []),
        *(["removes documents at this instant"] if at_once else []),
        *(["sparse"] if index.sparse else []),
        *([f"only where {_filter(index)}"] if index.partial_filter else []),
    ]
    return ", ".join(words) or "none"


def _filter(index: Index) -> str:
    return ", ".join(f"`{field}` is a {kind['$type']}" for field, kind in (index.partial_filter or {}).items())
