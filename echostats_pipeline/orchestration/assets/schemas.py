"""Columns of a collection in the Dagster UI, derived from the documents that `model.collections` declares."""

import types
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, Union, get_args, get_origin

import dagster as dg
from bson import ObjectId
from pydantic import BaseModel

from echostats_pipeline.model.collections import COLLECTIONS, Collection
from echostats_pipeline.model.glossary import meaning

BSON_TYPES: Mapping[Any, str] = {
    str: "string",
    int: "int",
    float: "double",
    bool: "bool",
    bytes: "binData",
    datetime: "date",
    ObjectId: "objectId",
    dict: "object",
    Any: "any",
}


def collection_metadata(name: str, *, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the metadata of an asset that writes a collection: the collection's name and columns.

    Args:
        name: The collection. A setting says in which database it is.
        only: The top-level fields that the asset writes; all of them if empty.
    """
    columns = [column for column in columns_of(COLLECTIONS[name]) if not only or column.name.split(".")[0] in only]
    return {"dagster/table_name": name, "dagster/column_schema": dg.TableSchema(columns)}


def columns_of(collection: Collection) -> Iterator[dg.TableColumn]:
    """Return every field. Nested fields have dotted names as in queries (``track.spotify_id``), also within arrays."""
    unique = [{field for field, _ in index.keys} for index in collection.indexes if index.unique]
    for name, kind, nullable, description in _fields(collection.document):
        together = [" and ".join(sorted(fields - {name})) for fields in unique if name in fields and len(fields) > 1]
        yield dg.TableColumn(
            name,
            bson_type(kind),
            description=description,
            constraints=dg.TableColumnConstraints(
                nullable=nullable and name not in collection.never_null,
                unique=name == "_id" or {name} in unique,
                other=[
                    *(["or absent"] if nullable and name in collection.never_null else []),
                    *(f"unique with {others}" for others in together),
                    *_choices(kind),
                ],
            ),
        )


def bson_type(kind: Any) -> str:
    """Return MongoDB's name for the values of a type; ``array<…>`` for lists."""
    kind = _without_metadata(kind)
    origin = get_origin(kind)
    if origin is list:
        return f"array<{bson_type(get_args(kind)[0])}>"
    if origin is Literal:
        return BSON_TYPES[type(get_args(kind)[0])]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "object"
    return BSON_TYPES[origin or kind]


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any, bool, str]]:
    for name, field in model.model_fields.items():
        path = prefix + (field.alias or name)
        kind, nullable = _without_none(field.annotation)
        yield path, kind, nullable and name != "id", meaning(model, name)
        inner = get_args(kind)[0] if get_origin(kind) is list else kind
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _fields(inner, f"{path}.")


def _without_none(kind: Any) -> tuple[Any, bool]:
    """Return the type without None, and whether None is allowed."""
    if get_origin(kind) not in (Union, types.UnionType):
        return kind, False
    (some,) = (each for each in get_args(kind) if each is not type(None))
    return some, True


def _without_metadata(kind: Any) -> Any:
    return get_args(kind)[0] if hasattr(kind, "__metadata__") else kind


def _choices(kind: Any) -> list[str]:
    return [" | ".join(map(str, get_args(kind)))] if get_origin(kind) is Literal else []
