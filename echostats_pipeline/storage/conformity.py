"""Reads documents that other programs have written, and finds values that do not fit the models."""

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from echostats_pipeline.errors import StorageError
from echostats_pipeline.model.base import Document as Model
from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.model.users import User
from echostats_pipeline.storage.database import Db, Document

Stored = TypeVar("Stored", bound=Model)

CHECKED = ("spotify_tokens", "listening_history", "tracks", "artists", "albums", "playlists", "sync_jobs", "api_logs")
"""Collections that EchoStats writes and this package reads; EchoStats' rollups and snapshots are replaced."""
BSON_TYPES: Mapping[Any, list[str]] = {
    str: ["string"],
    int: ["int", "long"],
    float: ["double", "int", "long"],
    bool: ["bool"],
    datetime: ["date"],
    dict: ["object"],
}


@dataclass(frozen=True)
class Misfit:
    """A value that does not fit its field.

    Attributes:
        collection: Name of the collection.
        document: The document's ``_id``.
        field: The field, with dots.
        reason: What is wrong. The value itself is left out, because it may be personal.
    """

    collection: str
    document: str
    field: str
    reason: str

    @property
    def text(self) -> str:
        """The misfit in words."""
        return f"{self.collection} {self.document}: {self.field} ({self.reason})"


def stored_as(model: type[Stored], collection: str, document: Document) -> Stored:
    """Read a stored document as a model; fields that other programs have added are ignored.

    Raises:
        StorageError: a value does not fit its field; the message names document and field.
    """
    try:
        return model.stored(document)
    except ValidationError as error:
        described = "; ".join(misfit.text for misfit in _misfits_of(error, collection, document))
        raise StorageError(f"A document cannot be read: {described}. `echostats doctor` lists all of them.") from None


def sound_part(model: type[Stored], document: Document, needed: Mapping[str, Any]) -> Stored:
    """Read what fits of a stored document; every other field has its default.

    Args:
        model: The model.
        document: The document as it is stored.
        needed: Values of the fields without a default, for when they are absent or do not fit.
    """
    try:
        return model.stored(document)
    except ValidationError as error:
        wrong = {str(each["loc"][0]) for each in error.errors()}
        sound = {name: value for name, value in document.items() if name not in wrong}
        return model.stored({**needed, **sound})


def misfits(db: Db, most: int) -> Iterator[Misfit]:
    """Values in the collections shared with EchoStats that do not fit the models, at most `most` per collection."""
    for document in db["users"].find():
        try:
            User.stored({"partition_key": "to-come", **document})  # users who are not adopted yet have no key
        except ValidationError as error:
            yield from _misfits_of(error, "users", document)
    for name in CHECKED:
        model = COLLECTIONS[name].document
        # The server checks all documents, and only those that do not fit are transferred.
        found = db[name].find({"$nor": [{"$jsonSchema": json_schema(model)}]}).limit(most)
        for document in found:
            try:
                model.stored(document)
            except ValidationError as error:
                yield from _misfits_of(error, name, document)
            else:
                yield Misfit(name, str(document["_id"]), "a number", "not of the field's type")


def json_schema(model: type[BaseModel]) -> Document:
    """The schema by which the server finds documents that do not fit a model; other fields are allowed."""
    properties = {info.alias or name: _kind(info.annotation) for name, info in model.model_fields.items()}
    required = [info.alias or name for name, info in model.model_fields.items() if info.is_required()]
    return {
        "bsonType": "object",
        "properties": {name: kind for name, kind in properties.items() if kind and name != "_id"},
        **({"required": required} if required else {}),
    }


def _kind(annotation: Any) -> Document:
    if hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        (some,) = (each for each in arguments if each is not type(None))
        return {"anyOf": [{"bsonType": "null"}, _kind(some)]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is list:
        return {"bsonType": "array", "items": _kind(arguments[0])}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return json_schema(annotation)
    known = BSON_TYPES.get(origin or annotation)
    return {"bsonType": known} if known else {}


def _misfits_of(error: ValidationError, collection: str, document: Document) -> Iterator[Misfit]:
    for each in error.errors(include_input=False, include_url=False, include_context=False):
        field = ".".join(map(str, each["loc"]))
        yield Misfit(collection, str(document.get("_id", "")), field, each["type"].replace("_", " "))
