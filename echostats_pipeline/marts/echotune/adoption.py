"""Gives a user whom an application has added first the id that the pipeline computes, with all their documents."""

from collections.abc import Callable
from typing import Any

from bson import ObjectId
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from echostats_pipeline.marts.echotune.database import OWNED, user_object_id
from echostats_pipeline.marts.writing import SOURCE
from echostats_pipeline.model.users import User
from echostats_pipeline.storage.database import Document


def adopt_user(user: User, collection: Callable[[str], Collection[Document]]) -> None:
    """Move the document that an application has made for a user, and all that refers to it, to the pipeline's id.

    The application's document is renamed first, because Spotify's id and the address are unique; so a process that dies
    in between loses nothing, and the next one goes on. It need not fit the validator: it is moved as it is.

    Args:
        user: The user.
        collection: Returns a collection of EchoTune's by its name without the prefix.
    """
    owner, moving = user_object_id(user.user_id), f"moving:{user.spotify_id}"
    users = collection("users")
    theirs = users.find_one({"spotifyId": {"$in": [user.spotify_id, moving]}, "_id": {"$ne": owner}})
    if theirs is None:
        return
    if theirs["spotifyId"] != moving:
        renamed = {"$set": {"spotifyId": moving}, "$rename": {"email": "movingEmail"}}
        users.update_one({"_id": theirs["_id"]}, renamed, bypass_document_validation=True)
    address = theirs.pop("movingEmail", theirs.get("email", ...))
    old = theirs.pop("_id")
    moved = {**theirs, "spotifyId": user.spotify_id, **({} if address is ... else {"email": address})}
    # After an interruption the document is there already, or what an earlier document of the user has become.
    users.update_one({"_id": owner}, {"$set": moved}, upsert=True, bypass_document_validation=True)
    for name in OWNED:
        _move(collection(name), old, owner)
    users.delete_one({"_id": old})


def _move(collection: Collection[Document], old: Any, owner: ObjectId) -> None:
    """Give all documents of an id to another. One of the pipeline in the same unique place makes room."""
    try:
        collection.update_many({"userId": old}, {"$set": {"userId": owner}}, bypass_document_validation=True)
    except DuplicateKeyError as error:
        place = (error.details or {})["keyValue"]
        if not collection.delete_one({**place, "source": SOURCE}).deleted_count:
            raise
        _move(collection, old, owner)
