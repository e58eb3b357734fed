"""Taking over what EchoStats has set up: its users, and what it left that this package reads otherwise.

EchoStats' API may add users at any time, so users are adopted whenever a run, a command or the roster opens the
database. Fields are only added, for EchoStats goes on reading these documents.
"""

from collections.abc import Iterable
from typing import Any

from pymongo.errors import DuplicateKeyError

from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User, partition_key
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.rebuilds import RebuildQueue
from echostats_pipeline.transforms.history.identity import stable_id

TRACES = ("_migrations", "genre_distributions")
"""Collections that only EchoStats makes."""
TRACE_INDEXES = (("sync_jobs", "sync_job_ttl"), ("artists", "artist_text_search"), ("tracks", "track_text_search"))
UNIQUE_HERE = {
    "spotify_tokens": ("user_id",),
    "listening_history": ("user_id", "track.spotify_id", "played_at"),
    "playlists": ("user_id", "spotify_id"),
    "daily_rollups": ("user_id", "date"),
    "analytics_snapshots": ("user_id", "period"),
}
NOT_ADOPTED: Document = {"partition_key": {"$exists": False}}


def adopt_users(db: Db, *, simulated: bool) -> list[str]:
    """Give the users whom EchoStats has added what this package needs of a user, and have all their days built.

    Args:
        db: Where.
        simulated: Whether this installation talks to the simulator. Tokens of EchoStats say nothing about it: its
            users belong to whichever Spotify is asked, and follow when that changes.

    Returns:
        The partition keys of the users who are new.
    """
    users, queue = db["users"], RebuildQueue(db)
    adopted = []
    for user in users.find(NOT_ADOPTED):
        user_id = str(user["_id"])
        key = partition_key(str(user.get("display_name") or ""), user_id)
        _name_tracks(db, user_id)
        # Marked first: an adoption that is interrupted is repeated.
        queue.mark(user_id, "daily_rollups", _dates(db, user_id))
        queue.mark(user_id, "analytics_snapshots")
        mine = {"_id": user["_id"], **NOT_ADOPTED}
        fresh = User(spotify_id="", partition_key=key, simulated=simulated, adopted_at=utc_now()).to_bson()
        lacking = {name: value for name, value in fresh.items() if name not in user}
        try:
            users.update_one(mine, {"$set": lacking})
        except DuplicateKeyError:  # ids that end alike
            key = f"user-{user_id}"
            users.update_one(mine, {"$set": {**lacking, "partition_key": key}})
        adopted.append(key)
    moved: Document = {"adopted_at": {"$ne": None}, "simulated": not simulated}
    users.update_many({**moved, "status": "needs_reauth"}, {"$set": {"status": "active", "simulated": simulated}})
    users.update_many(moved, {"$set": {"simulated": simulated}})
    return adopted


def keep_one_of_each(db: Db) -> None:
    """Of what EchoStats has stored twice of users who are not adopted yet, keep one: it is unique from now on.

    EchoStats' own indexes did not see to that in all of its versions; it reads one of them, and removes doubles itself.
    """
    ids = [str(user["_id"]) for user in db["users"].find(NOT_ADOPTED, {"_id": 1})]
    for name, key in UNIQUE_HERE.items() if ids else ():
        doubles: list[Document] = [
            {"$match": {"user_id": {"$in": ids}}},
            {"$sort": {"ms_played": -1, "expires_at": -1, "fetched_at": -1, "_id": -1}},
            {"$group": {"_id": [f"${field}" for field in key], "ids": {"$push": "$_id"}}},
            {"$match": {"ids.1": {"$exists": True}}},
        ]
        for each in db[name].aggregate(doubles, allowDiskUse=True):
            db[name].delete_many({"_id": {"$in": each["ids"][1:]}})


def _name_tracks(db: Db, user_id: str) -> None:
    """Give plays that EchoStats has imported from account data, without an id, the one made of their names."""
    history = db["listening_history"]
    nameless = {"user_id": user_id, "track.spotify_id": ""}
    names: list[Document] = [
        {"$match": nameless},
        {"$group": {"_id": {"artist_name": "$track.artist_name", "name": "$track.name"}}},
    ]
    for each in history.aggregate(names):
        artist, title = (str(each["_id"].get(name) or "") for name in ("artist_name", "name"))
        of_track = {**nameless, **{f"track.{name}": value for name, value in each["_id"].items()}}
        history.update_many(of_track, {"$set": {"track.spotify_id": stable_id("unresolved", artist, title)}})


def _dates(db: Db, user_id: str) -> set[str]:
    """Every date that has a rollup or plays; a user's days begin at midnight UTC until they say otherwise."""
    of_user = {"user_id": user_id}
    day = {"$dateToString": {"date": "$played_at", "format": "%Y-%m-%d"}}
    plays: list[Document] = [
        {"$match": {**of_user, "played_at": {"$type": "date"}}},
        {"$group": {"_id": day}},
    ]
    rollups: Iterable[Any] = db["daily_rollups"].distinct("date", of_user)
    known = {each for each in rollups if isinstance(each, str)}
    return known | {each["_id"] for each in db["listening_history"].aggregate(plays)}


def echostats_traces(db: Db) -> list[str]:
    """What tells that EchoStats itself uses this database."""
    collections = set(db.list_collection_names())
    found = [f"collection {name}" for name in TRACES if name in collections]
    return found + [f"index {name}" for collection, name in TRACE_INDEXES if name in db[collection].index_information()]


def mend_nulls(db: Db) -> int:
    """Take away nulls that earlier versions stored where EchoStats reads a number; returns in how many tracks."""
    fields = ("audio_features.duration_ms", "audio_features.time_signature")
    return sum(
        db["tracks"].update_many({field: {"$type": "null"}}, {"$unset": {field: ""}}).modified_count for field in fields
    )
