"""Writes MongoDB documents as lines of plain JSON, for readers without MongoDB.

An instant becomes ISO 8601 in UTC with milliseconds (``2025-06-15T12:00:00.000Z``), an ObjectId its 24 hexadecimal
digits, a decimal becomes text, and bytes become base64. Names of fields are as stored, with ``.`` and ``$``. Numbers
that JSON cannot express (NaN, infinity) become null. Other BSON types become MongoDB's relaxed Extended JSON.
"""

import base64
import json
import math
from datetime import UTC, datetime
from typing import Any

from bson import Decimal128, ObjectId
from bson.json_util import RELAXED_JSON_OPTIONS
from bson.json_util import default as extended

from echostats_pipeline.storage.database import Document


def iso(instant: datetime) -> str:
    """Return an aware datetime as ISO 8601 text in UTC, with milliseconds and ``Z``."""
    return f"{instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def plain(value: Any) -> Any:
    """Convert a value that JSON cannot express into one that it can."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, ObjectId | Decimal128):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return extended(value, RELAXED_JSON_OPTIONS)


_encode = json.JSONEncoder(default=plain, ensure_ascii=False, allow_nan=False, check_circular=False).encode


def json_line(document: Document) -> bytes:
    """Return a document as one line of JSON in UTF-8, with the newline."""
    try:
        line = _encode(document)
    except ValueError:
        line = _encode(_finite(document))
    return f"{line}\n".encode()


def _finite(value: Any) -> Any:
    """Return the value with null for NaN and infinity; only used for a document that contains one, which is rare."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
