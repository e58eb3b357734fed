"""Reads single fields of Spotify's objects leniently: a missing field, null or another type becomes None.

Here: reading a field, and building a document from the known fields. Not here: the meaning of a field (`mapping`).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel

from echostats_pipeline.model.base import storable_text, to_utc
from echostats_pipeline.spotify.responses import JsonObject

T = TypeVar("T", bound=BaseModel)

_STAND_INS: Mapping[str, Any] = {"name": "", "artist_name": "", "album_name": "", "duration_ms": 0}
"""Values of required fields that Spotify does not send; these fields do not count as set."""


def build(model: type[T], **fields: Any) -> T:
    """Build the model from the known fields; the others keep their defaults and do not count as set."""
    known = {name: value for name, value in fields.items() if value is not None}
    stand_ins = {
        name: value
        for name, value in _STAND_INS.items()
        if name not in known and name in model.model_fields and model.model_fields[name].is_required()
    }
    document = model(**stand_ins, **known)
    document.model_fields_set.difference_update(stand_ins)
    return document


def text(parent: Mapping[str, Any], name: str) -> str | None:
    """A text that MongoDB can hold; None for anything else."""
    value = parent.get(name)
    return storable_text(value) if isinstance(value, str) else None


def texts(parent: Mapping[str, Any], name: str) -> list[str] | None:
    """The texts of a list; None if there is no list."""
    value = parent.get(name)
    return [storable_text(text) for text in value if isinstance(text, str)] if isinstance(value, list) else None


def whole(parent: Mapping[str, Any], name: str) -> int | None:
    """A whole number; None for anything else, including truth values."""
    value = parent.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def flag(parent: Mapping[str, Any], name: str) -> bool | None:
    """A truth value; None for anything else."""
    value = parent.get(name)
    return value if isinstance(value, bool) else None


def json_object(parent: Mapping[str, Any], name: str) -> JsonObject | None:
    """A JSON object; None for anything else."""
    value = parent.get(name)
    return value if isinstance(value, dict) else None


def json_objects(parent: Mapping[str, Any], name: str) -> list[JsonObject]:
    """The JSON objects of a list; empty if there is no list."""
    value = parent.get(name)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def instant(parent: Mapping[str, Any], name: str) -> datetime | None:
    """An RFC 3339 instant; None if it is missing, malformed or has no time zone."""
    try:
        return to_utc(datetime.fromisoformat(text(parent, name) or ""))
    except (ValueError, OverflowError):
        return None
