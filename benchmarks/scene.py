"""The database for all measurements: listeners with histories of several sizes, and their catalogue."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from bson import ObjectId
from pymongo import MongoClient

from benchmarks import catalogue
from benchmarks.filling import insert, insert_many
from benchmarks.history import FIRST, HEAVY, LAST, EvenDays, Size, api_play, history
from benchmarks.measuring import NoProgress
from benchmarks.traffic import Traffic
from echostats_pipeline.local.mongod import running
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.stages.statistics import RebuildResult, Snapshots, rebuild_rollups, rebuild_snapshots
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.database import AWARE, Document
from echostats_pipeline.storage.indexes import ensure_indexes
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import DayWindow

LIGHT = Size(plays=10_000, tracks=2_000)
EVEN = EvenDays(date(2018, 1, 2), plays=50)
"""The day that is changed, equal in all histories."""
NOW = datetime(2024, 12, 31, 22, tzinfo=UTC)
SPAN = DayWindow(FIRST.date(), LAST.date() + timedelta(days=1))
MIN_PLAY_MS = 30_000
SOURCES = ("users", "listening_history", "tracks", "artists", "albums")
"""Collections that exist before anything is built. Every other collection with a user's data is derived."""


@dataclass(frozen=True)
class Listener:
    """A user, and the size of their history."""

    user: User
    size: Size

    @property
    def user_id(self) -> str:
        """The user's id in documents."""
        return self.user.user_id

    def play(self, ended_at: datetime) -> Document:
        """One more play. Its half second is free in every history."""
        return api_play(self.user_id, 7, ended_at + timedelta(milliseconds=500))


@dataclass(frozen=True)
class Scene:
    """A separate server and the store on it, whose traffic is counted."""

    settings: Settings
    server_pid: int
    store: Store
    traffic: Traffic

    def add(self, size: Size, *, number: int) -> Listener:
        """Add a listener with a history."""
        user = User.model_validate(
            {
                "_id": ObjectId(f"{number:024x}"),
                "spotify_id": f"b{number}",
                "partition_key": f"benchmark{number}",
                "timezone": "Europe/Berlin",
            }
        )
        self.store.db["users"].insert_one({"_id": user.id, **user.to_bson()})
        filling = insert_many if size.plays >= HEAVY.plays else insert
        filling(self.store.db, "listening_history", history(number, size, user_id=user.user_id, even=EVEN))
        return Listener(user, size)

    def fill_catalogue(self, size: Size) -> None:
        """Fill the catalogue with the tracks of histories up to this size."""
        for name, documents in (
            ("tracks", catalogue.tracks),
            ("artists", catalogue.artists),
            ("albums", catalogue.albums),
        ):
            self.store.db[name].delete_many({})
            insert(self.store.db, name, documents(size))

    def clear(self, listener: Listener, *, rollups: bool) -> None:
        """Remove everything derived from the history; rollups only on request."""
        kept = {*SOURCES, *(() if rollups else ("daily_rollups",))}
        for name in sorted(set(self.store.db.list_collection_names()) - kept):
            self.store.db[name].delete_many({"user_id": listener.user_id})

    def rebuild(self, listener: Listener, window: DayWindow = SPAN) -> RebuildResult:
        """Rebuild rollups."""
        days = list(window.dates())
        return rebuild_rollups(self.store, listener.user, days, min_play_ms=MIN_PLAY_MS, progress=NoProgress())

    def snapshots(self, listener: Listener) -> Snapshots:
        """Rebuild all snapshots."""
        return rebuild_snapshots(self.store, listener.user, NOW)

    def weight(self, collection: str, listener: Listener) -> dict[str, int]:
        """Documents and bytes of a listener in a collection."""
        grouped = {"$group": {"_id": None, "documents": {"$sum": 1}, "bytes": {"$sum": {"$bsonSize": "$$ROOT"}}}}
        found = self.store.db[collection].aggregate([{"$match": {"user_id": listener.user_id}}, grouped])
        return next(({name: each[name] for name in ("documents", "bytes")} for each in found), {})


def toggle(scene: Scene, play: Document) -> None:
    """Add a play, or remove it if it exists."""
    plays = scene.store.db["listening_history"]
    same = {"user_id": play["user_id"], "played_at": play["played_at"]}
    if plays.delete_one(same).deleted_count == 0:
        plays.insert_one(dict(play))


@contextmanager
def scene(settings: Settings) -> Iterator[Scene]:
    """A server while the block runs, with an empty database that has all indexes."""
    traffic = Traffic()
    with running(StateFolder(settings.home)) as server:
        client: MongoClient[Document] = MongoClient(server.uri, event_listeners=[traffic])
        with client:
            db = client.get_database(settings.mongo_db, codec_options=AWARE)
            ensure_indexes(db)
            yield Scene(settings, server.pid, Store.of(db), traffic)


SIZES = {1: HEAVY, 10: HEAVY.times(10)}
"""Listeners by the scale they are measured at."""
