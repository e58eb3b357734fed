"""Adopts what EchoStats has set up: its users, and documents that this package reads differently.

EchoStats' API may add users at any time, so users are adopted whenever a run, a command or the sensor roster opens the
database. Fields are only added, because EchoStats continues to read these documents.
"""

from collections.abc import Iterable
from typing import Any

from pymongo.errors import DuplicateKeyError

from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User, partition_key
from echostats_pipeline.storage.change_marks import ChangeMarks
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.transforms.history.identity import stable_id

TRACES = ("_migrations", "genre_distributions")
"""Collections that only EchoStats creates."""
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
    """Give users that EchoStats has added the fields that this package needs, and mark all their days for a rebuild.

    Args:
        db: The database.
        simulated: Whether this installation uses the simulator. EchoStats' tokens do not show this: its users belong to
            the Spotify that is in use, and follow when that changes.

    Returns:
        The partition keys of the adopted users.
    """
    users, marks = db["users"], ChangeMarks(db)
    adopted = []
    for user in users.find(NOT_ADOPTED):
        user_id = str(user["_id"])
        key = partition_key(str(user.get("display_name") or ""), user_id)
        _name_tracks(db, user_id)
        # Marked first: an interrupted adoption is repeated.
        marks.mark(user_id, "listening_history", _dates(db, user_id))
        marks.mark(user_id, "users")
        mine = {"_id": user["_id"], **NOT_ADOPTED}
        fresh = User(spotify_id="", partition_key=key, simulated=simulated, adopted_at=utc_now()).to_bson()
        lacking = {name: value for name, value in fresh.items() if name not in user}
        try:
            users.update_one(mine, {"$set": lacking})
        except DuplicateKeyError:  # two ids with the same ending
            key = f"user-{user_id}"
            users.update_one(mine, {"$set": {**lacking, "partition_key": key}})
        adopted.append(key)
    moved: Document = {"adopted_at": {"$ne": None}, "simulated": not simulated}
    users.update_many({**moved, "status": "needs_reauth"}, {"$set": {"status": "active", "simulated": simulated}})
    users.update_many(moved, {"$set": {"simulated": simulated}})
    return adopted


def keep_one_of_each(db: Db) -> None:
    """Remove duplicates that EchoStats has stored for users who are not adopted yet: keys are unique from now on.

    Not all versions of EchoStats' own indexes prevented them. EchoStats reads one of the duplicates, and removes them,
    too.
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
    """Give plays without an id, which EchoStats imported from account data, the id made of their names."""
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
    """Every date that has a rollup or plays; a new user's days begin at midnight UTC."""
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
    """Collections and indexes that show that EchoStats itself uses this database."""
    collections = set(db.list_collection_names())
    found = [f"collection {name}" for name in TRACES if name in collections]
    return found + [f"index {name}" for collection, name in TRACE_INDEXES if name in db[collection].index_information()]


def mend_nulls(db: Db) -> int:
    """Remove nulls that earlier versions stored where EchoStats expects a number; return the number of tracks."""
    fields = ("audio_features.duration_ms", "audio_features.time_signature")
    return sum(
        db["tracks"].update_many({field: {"$type": "null"}}, {"$unset": {field: ""}}).modified_count for field in fields
    )
