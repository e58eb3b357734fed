"""Ids of documents in marts: computed from what a document is about, so that each build gives it the same id."""

import hashlib
from collections.abc import Callable

from bson import ObjectId

ID_BYTES = 12


def object_id(*natural_key: object) -> ObjectId:
    """The id of the document that the key describes: the first 12 bytes of its SHA-1."""
    text = "|".join(map(str, natural_key))
    return ObjectId(hashlib.sha1(text.encode(), usedforsecurity=False).digest()[:ID_BYTES])


def id_maker(*beginning: object) -> Callable[[str], ObjectId]:
    """Make a function that computes the ids of many documents whose keys begin alike."""
    begun = hashlib.sha1("".join(f"{part}|" for part in beginning).encode(), usedforsecurity=False)

    def make(rest: str) -> ObjectId:
        digest = begun.copy()
        digest.update(rest.encode())
        return ObjectId(digest.digest()[:ID_BYTES])

    return make
