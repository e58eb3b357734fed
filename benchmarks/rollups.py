"""Rebuilding all rollups of one user: how much slower than the database alone?

The floor is what no rebuild can do without: reading the plays, and writing the finished documents.

    python -m benchmarks.rollups
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import median

from bson import ObjectId
from pymongo import ReplaceOne

from benchmarks.history import FIRST, LAST, PLAYS, USER_ID, history
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings
from echostats_pipeline.stages.statistics import rebuild_rollups
from echostats_pipeline.storage.embedded import running
from echostats_pipeline.storage.home import StateFolder
from echostats_pipeline.storage.store import Store, open_store
from echostats_pipeline.transforms.days import DayWindow

GOAL = 2.0


class NoProgress:
    """Nobody watches a benchmark."""

    def expect(self, items: int) -> None:
        """Ignore it."""

    def advance(self, items: int) -> None:
        """Ignore it."""


def main() -> None:
    """Measure the rebuild and its floor in turn, and print both with their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(home=Path(folder))
        with running(StateFolder(settings.home)), open_store(settings, indexes=True) as store:
            measure(store, rounds)


def measure(store: Store, rounds: int) -> None:
    """Fill the database, then time the floor and two rebuilds, `rounds` times in turn."""
    store.db["listening_history"].insert_many(history(), ordered=False)
    user = User.model_validate(
        {"_id": ObjectId(USER_ID), "spotify_id": "b", "partition_key": "benchmark", "timezone": "Europe/Berlin"}
    )
    days = list(DayWindow(FIRST.date(), LAST.date() + timedelta(days=1)).dates())
    rollups, finished = store.db["daily_rollups"], store.db["finished"]
    finished.create_index([("user_id", 1), ("date", 1)], unique=True)

    def rebuild() -> None:
        rebuild_rollups(store, user, days, min_play_ms=30_000, progress=NoProgress())

    rebuild()
    documents = list(rollups.find({}, {"_id": 0}))

    def scan() -> None:
        for _ in store.db["listening_history"].find({"user_id": USER_ID}):
            pass

    def upsert() -> None:
        finished.bulk_write(
            [
                ReplaceOne({"user_id": USER_ID, "date": document["date"]}, document, upsert=True)
                for document in documents
            ],
            ordered=False,
        )

    scans, upserts, rebuilds, repeats = [], [], [], []
    for _ in range(rounds):
        finished.delete_many({})
        scans.append(timed(scan))
        upserts.append(timed(upsert))
        rollups.delete_many({})
        rebuilds.append(timed(rebuild))
        repeats.append(timed(rebuild))
    floor = median(scans) + median(upserts)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10)
    print(f"{len(documents):,} days of {PLAYS:,} plays, median of {rounds} rounds, peak memory {peak_mb:,} MiB")
    print(f"floor: raw scan {median(scans):.2f} s + bulk upsert of the finished documents {median(upserts):.2f} s")
    print(f"full rebuild:       {median(rebuilds):.2f} s = {median(rebuilds) / floor:.2f} x floor (goal {GOAL})")
    print(f"nothing has changed: {median(repeats):.2f} s = {median(repeats) / median(scans):.2f} x raw scan")


def timed(work: Callable[[], None]) -> float:
    """Seconds `work` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
