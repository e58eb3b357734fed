"""Documents as lines of plain JSON, for readers that know nothing of MongoDB.

An instant is ISO 8601 in UTC with milliseconds (``2025-06-15T12:00:00.000Z``), an ObjectId its 24 hexadecimal digits, a
decimal text, bytes base64. Names of fields are as stored, with ``.`` and ``$``. What JSON has no word for (NaN,
infinity) is null. Any other type of BSON is what MongoDB's relaxed Extended JSON makes of it.
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
    """An aware instant in UTC, with milliseconds and ``Z``."""
    return f"{instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def plain(value: Any) -> Any:
    """A value that JSON does not know, as one that it does."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, ObjectId | Decimal128):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return extended(value, RELAXED_JSON_OPTIONS)


_encode = json.JSONEncoder(default=plain, ensure_ascii=False, allow_nan=False, check_circular=False).encode


def json_line(document: Document) -> bytes:
    """A document as one line of JSON in UTF-8, with its newline."""
    try:
        line = _encode(document)
    except ValueError:
        line = _encode(_finite(document))
    return f"{line}\n".encode()


def _finite(value: Any) -> Any:
    """The same with null for what is no number; looked for only where there is one, which is next to never."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
