"""Steps of merging through the database: a frame is part of an export, a list is a response of recently-played."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from pymongo import InsertOne
from pymongo.errors import BulkWriteError

from echostats_pipeline.model.catalog import Track
from echostats_pipeline.model.plays import RecentlyPlayedItem, RecentlyPlayedPage, TrackSnapshot
from echostats_pipeline.model.users import User
from echostats_pipeline.stages.ingestion import merge_pages
from echostats_pipeline.stages.merging import RowMerger
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.transforms.row_factories import NOW

Step = pl.DataFrame | Sequence[RecentlyPlayedItem]


def merge(store: Store, user: User, step: Step) -> None:
    """Merge rows of an export, or a response of recently-played that is stored until it is merged."""
    if isinstance(step, pl.DataFrame):
        list(RowMerger(store, user, lambda: NOW).merge(step))
        return
    known = [_catalogued(item.track) for item in step]
    store.catalog.put("tracks", known, missing=(), at=NOW)
    store.plays.fill_tracks(known)
    if not store.pages.unmerged(user.user_id):
        fetched_at = NOW + timedelta(seconds=store.db["recently_played"].count_documents({}))
        store.pages.keep(RecentlyPlayedPage(user_id=user.user_id, items=list(step), fetched_at=fetched_at))
    merge_pages(store, user, NOW)


def _catalogued(track: TrackSnapshot) -> Track:
    """A track as recently-played embeds it."""
    artists = [{"spotify_id": "x", "name": track.artist_name}] if track.artist_name else []
    album = {"spotify_id": "y", "name": track.album_name, "image_url": track.album_image_url}
    fields = {
        "name": track.name,
        "duration_ms": track.duration_ms,
        "enriched_at": NOW,
        "fetched_at": NOW,
        "updated_at": NOW,
    }
    return Track.model_validate({"spotify_id": track.spotify_id, "artists": artists, "album": album, **fields})


def forget(db: Db) -> None:
    """Empty the collections that merging writes."""
    for collection in (
        "listening_history",
        "unfinished_merges",
        "recently_played",
        "listening_gaps",
        "change_marks",
        "tracks",
    ):
        db[collection].delete_many({})


def facts(db: Db) -> set[tuple[str, str | datetime]]:
    """The facts that the sources have reported, wherever they are stored."""
    complete = {merge["merge_id"] for merge in db["unfinished_merges"].find({"complete": True})}
    parts = db["unfinished_merges"].find({"merge_id": {"$in": sorted(complete)}})
    reported: set[tuple[str, str | datetime]] = set()
    for play in (*db["listening_history"].find(), *(play for part in parts for play in part["plays"])):
        reported |= {("", key) for key in (play.get("import_key"), *play.get("also_imported", ())) if key}
        stamp = play.get("api_played_at") or (None if play.get("import_key") else play["played_at"])
        if stamp:
            reported.add((play["track"]["spotify_id"], stamp))
    return reported


class DiedError(BaseException):
    """The writing process has died."""


class WritesLeft:
    """Number of single writes that a process still makes."""

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self) -> None:
        if not self.left:
            raise DiedError
        self.left -= 1


class DyingCollection:
    """A collection whose writer may die before any single write, even in the middle of a batch."""

    def __init__(self, collection: Any, lives: WritesLeft) -> None:
        self.collection = collection
        self.lives = lives

    def __getattr__(self, name: str) -> Any:
        return getattr(self.collection, name)

    def bulk_write(self, writes: Sequence[Any], *, ordered: bool = True) -> None:
        failures = []
        for position, write in enumerate(writes):
            self.lives.spend()
            try:
                self.collection.bulk_write([write])
            except BulkWriteError as error:
                failures.append({**error.details["writeErrors"][0], "index": position})
                if ordered:
                    break
        if failures:
            raise BulkWriteError({"writeErrors": failures})

    def insert_one(self, document: Document) -> None:
        self.lives.spend()
        self.collection.insert_one(document)

    def insert_many(self, plays: Sequence[Document], *, ordered: bool = True) -> None:
        self.bulk_write([InsertOne(play) for play in plays], ordered=ordered)

    def delete_many(self, query: Document) -> None:
        for play in list(self.collection.find(query, {"_id": 1})):
            self.lives.spend()
            self.collection.delete_one(play)


def dying(db: Db, lives: int) -> Store:
    """The store of a process that dies after `lives` writes to plays."""
    store, left = Store.of(db), WritesLeft(lives)
    for name in ("_history", "_merges"):
        setattr(store.plays, name, DyingCollection(getattr(store.plays, name), left))
    return store
