"""Documents that other programs have written, read as ours; and those whose values our models do not take."""

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
"""Collections that EchoStats writes and this package reads; rollups and snapshots of EchoStats' are replaced."""
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
    """A value that is not what its field holds.

    Attributes:
        collection: Where.
        document: Its ``_id``.
        field: Which field, dotted.
        reason: What is wrong, without the value: it may be personal.
    """

    collection: str
    document: str
    field: str
    reason: str

    @property
    def text(self) -> str:
        """As a person would say it."""
        return f"{self.collection} {self.document}: {self.field} ({self.reason})"


def stored_as(model: type[Stored], collection: str, document: Document) -> Stored:
    """A stored document as ours; fields that others have added are left aside.

    Raises:
        StorageError: a value is not what its field holds; document and field are named.
    """
    try:
        return model.stored(document)
    except ValidationError as error:
        told = "; ".join(misfit.text for misfit in _told(error, collection, document))
        raise StorageError(f"A document cannot be read: {told}. `echostats doctor` lists all of them.") from None


def misfits(db: Db, most: int) -> Iterator[Misfit]:
    """Values in the collections shared with EchoStats that our models do not take, at most so many a collection."""
    for document in db["users"].find():
        try:
            User.stored({"partition_key": "to-come", **document})  # those whom nothing has adopted yet have none
        except ValidationError as error:
            yield from _told(error, "users", document)
    for name in CHECKED:
        model = COLLECTIONS[name].document
        # The server looks at all, and only what does not fit travels.
        found = db[name].find({"$nor": [{"$jsonSchema": json_schema(model)}]}).limit(most)
        for document in found:
            try:
                model.stored(document)
            except ValidationError as error:
                yield from _told(error, name, document)
            else:
                yield Misfit(name, str(document["_id"]), "a number", "of another type than the field's")


def json_schema(model: type[BaseModel]) -> Document:
    """What the server has to know to find documents that do not fit a model; other fields may be there."""
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


def _told(error: ValidationError, collection: str, document: Document) -> Iterator[Misfit]:
    for each in error.errors(include_input=False, include_url=False, include_context=False):
        field = ".".join(map(str, each["loc"]))
        yield Misfit(collection, str(document.get("_id", "")), field, each["type"].replace("_", " "))
