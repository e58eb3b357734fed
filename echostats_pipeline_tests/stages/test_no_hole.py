"""A reader with a separate connection polls while 5,000 days are rebuilt: no day is ever missing or incomplete."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from pymongo import MongoClient

from echostats_pipeline.local.mongod import EmbeddedServer
from echostats_pipeline.model.plays import Play
from echostats_pipeline.model.users import User
from echostats_pipeline.stages.statistics import rebuild_rollups, rebuild_snapshots
from echostats_pipeline.storage.database import AWARE, Db, Document
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, Counted
from echostats_pipeline_tests.stages.statistics_oracle import KEYS

DAYS = 5_000
ALL, LONG = 0, 30_000
"""The numbers that count for a day: of both plays, or of the longer one."""
PLAYS = {ALL: 2, LONG: 1}


@pytest.fixture
def user(store: Store) -> User:
    """A user with two plays on each of 5,000 days."""
    user = store.users.connect({"spotify_id": "ann"}, authorized_at=NOW, simulated=False)
    track = {"spotify_id": "t", "name": "T", "artist_name": "A", "album_name": "B", "duration_ms": 200_000}
    reported = [
        {"user_id": user.user_id, "track": track, "played_at": NOW - timedelta(days=day, hours=hours), "ms_played": ms}
        for day in range(DAYS)
        for hours, ms in ((0, 40_000), (2, 20_000))
    ]
    store.db["listening_history"].insert_many([Play.model_validate(play).to_bson() for play in reported])
    return user


@dataclass
class Seen:
    """What a reader saw.

    Attributes:
        fewest: By collection the lowest number of documents: counted, by distinct keys, and read.
        broken: Documents equal neither to the ones before nor to the ones after.
        totals: Numbers of plays of days and periods.
        polls: Number of looks.
    """

    fewest: dict[str, int] = field(default_factory=dict)
    broken: list[Document] = field(default_factory=list)
    totals: set[int] = field(default_factory=set)
    polls: int = 0

    def poll(self, db: Db, user_id: str) -> None:
        """Read everything once."""
        for name, key in KEYS.items():
            of_user = {"user_id": user_id}
            found = list(db[name].find(of_user))
            counts = (db[name].count_documents(of_user), len(db[name].distinct(key, of_user)), len(found))
            self.fewest[name] = min(*counts, self.fewest.get(name, counts[0]))
            for document in found:
                plays = whole_plays(document)
                if plays is None:
                    self.broken.append(document)
                else:
                    self.totals.add(plays)
        self.polls += 1


def whole_plays(document: Document) -> int | None:
    """Number of plays of a document; None if its parts disagree."""
    if "date" in document:
        parts = [document["hourly"], document["track_plays"]]
        counts = {sum(part["count"] for part in of) for of in parts} | {sum(document["artist_plays"].values())}
        counts |= {document["total_plays"], sum(document["album_plays"].values())}
        time = sum(bucket["ms"] for bucket in document["hourly"]) == document["total_ms"] == 60_000
    else:
        counts = {sum(bucket["count"] for bucket in document["hourly_distribution"]), document["total_tracks_played"]}
        counts |= {sum(bucket["count"] for bucket in document["daily_distribution"])}
        counts |= {sum(top["play_count"] for top in document["top_tracks"])}
        time = sum(top["total_ms"] for top in document["top_artists"]) == document["total_ms_played"]
    return counts.pop() if time and len(counts) == 1 else None


@contextmanager
def polling(server: EmbeddedServer, db: Db, user: User) -> Iterator[Seen]:
    """Read all the time until the block has ended, and once more after that."""
    seen, ended = Seen(), threading.Event()

    def read() -> None:
        with MongoClient[Document](server.uri, tz_aware=True) as client:
            own = client.get_database(db.name, codec_options=AWARE)
            while not ended.is_set():
                seen.poll(own, user.user_id)
            seen.poll(own, user.user_id)

    with ThreadPoolExecutor(1) as executor:
        reading = executor.submit(read)
        try:
            yield seen
        finally:
            ended.set()
        reading.result()


def rebuild(store: Store, user: User, min_play_ms: int) -> int:
    days = {(NOW - timedelta(days=day)).date() for day in range(DAYS)}
    rebuilt = rebuild_rollups(store, user, days, min_play_ms=min_play_ms, progress=Counted())
    rebuild_snapshots(store, user, NOW)
    return rebuilt.written


@pytest.mark.scale
def test_no_reader_ever_finds_a_day_missing_or_in_pieces(
    mongo_server: EmbeddedServer, db: Db, store: Store, user: User
) -> None:
    assert rebuild(store, user, LONG) == DAYS
    before = {name: db[name].count_documents({}) for name in KEYS}
    assert before["daily_rollups"] == DAYS
    with polling(mongo_server, db, user) as seen:
        assert rebuild(store, user, ALL) == DAYS, "every day changes"
    assert seen.fewest == before
    assert seen.broken == []
    assert seen.polls > 2
    days = {plays * DAYS for plays in PLAYS.values()}
    assert set(PLAYS.values()) | days <= seen.totals
