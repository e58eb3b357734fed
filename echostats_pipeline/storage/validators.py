"""Creates the validators of collections that other applications share, from the documents that `model` declares.

The server then refuses documents that do not fit, or notes them in its log. Fields that are not declared are allowed.
Required are only the fields that a document cannot do without, and within its parts only what the part names as
`REQUIRED_BY_SERVER`: applications leave out, or set to null, what they do not know.
"""

import types
from collections.abc import Collection as AnyOf
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, Union, get_args, get_origin

from bson import ObjectId
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from echostats_pipeline.model.collections import ONLY_CORE, Collection, Database
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.installed import installed

NAMES: Mapping[Any, str] = {
    str: "string",
    int: "number",  # programs in JavaScript write whole numbers as doubles
    float: "number",
    bool: "bool",
    datetime: "date",
    ObjectId: "objectId",
    dict: "object",
}
"""MongoDB's names for the types of values."""


def ensure_validators(db: Db, databases: Iterable[Database] = ONLY_CORE) -> None:
    """Create or correct the validator of every collection that declares one; a second call changes nothing."""
    for _, declared, stored in installed(db, databases):
        if declared.validation is None:
            continue
        wanted = validator(declared)
        options = stored.options()
        if not options and stored.name not in stored.database.list_collection_names(filter={"name": stored.name}):
            stored.database.create_collection(stored.name, check_exists=False, **wanted)
        elif {name: options.get(name) for name in wanted} != wanted:
            stored.database.command({"collMod": stored.name, **wanted})


def validator_problems(db: Db, databases: Iterable[Database] = ONLY_CORE) -> list[str]:
    """The collections, by label, whose validator is missing or another one."""
    return [
        label
        for label, declared, stored in installed(db, databases)
        if declared.validation is not None
        and (options := stored.options(), wanted := validator(declared))
        and {name: options.get(name) for name in wanted} != wanted
    ]


def validator(collection: Collection) -> Document:
    """The validator of a collection and its options, as ``collMod`` takes them."""
    return {
        "validator": {"$jsonSchema": _schema(collection.document, collection.never_null)},
        # An application may go on changing documents of its own that did not fit before the mart was installed.
        "validationLevel": "moderate",
        "validationAction": collection.validation,
    }


def _schema(model: type[BaseModel], never_null: AnyOf[str]) -> Document:
    fields = _fields(model)

    def may_be_null(name: str) -> bool:
        return name not in never_null and (
            not fields[name].is_required() or type(None) in get_args(fields[name].annotation)
        )

    return {
        "bsonType": "object",
        "required": [name for name, field in fields.items() if field.is_required()],
        "properties": {name: _of_field(field, nullable=may_be_null(name)) for name, field in fields.items()},
    }


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _of_field(field: FieldInfo, *, nullable: bool = True) -> Document:
    schema = _of_type(field.annotation) | _bounds(field.metadata)
    if not nullable:
        return schema
    if "enum" in schema:
        return {"enum": [*schema["enum"], None]}
    return {**schema, "bsonType": [schema["bsonType"], "null"]}


def _of_type(kind: Any) -> Document:
    if hasattr(kind, "__metadata__"):
        return _of_type(get_args(kind)[0]) | _bounds(kind.__metadata__)
    if get_origin(kind) in (Union, types.UnionType):
        return _of_type(next(each for each in get_args(kind) if each is not type(None)))
    if get_origin(kind) is Literal:
        return {"enum": list(get_args(kind))}
    if get_origin(kind) is list:
        return {"bsonType": "array", "items": _of_type(get_args(kind)[0])}
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        found = {"bsonType": "object", "properties": {name: _of_field(each) for name, each in _fields(kind).items()}}
        needed = list(getattr(kind, "REQUIRED_BY_SERVER", ()))
        return {**found, "required": needed} if needed else found
    return {"bsonType": NAMES[get_origin(kind) or kind]}


def _bounds(metadata: Iterable[Any]) -> Document:
    """The least and the greatest value that the annotations of a number allow."""
    found: Document = {}
    for each in metadata:
        found |= _bounds(each.metadata) if isinstance(each, FieldInfo) else {}
        found |= {name: getattr(each, of) for name, of in (("minimum", "ge"), ("maximum", "le")) if hasattr(each, of)}
    return found
