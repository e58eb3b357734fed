"""Measures the rebuild of everything of one user, against the least work of any rebuild."""

from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import cast

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import InsertOne, ReplaceOne

from benchmarks.measuring import Taken, timed
from benchmarks.report import Row
from benchmarks.scene import NOW, SPAN, Listener, Scene, toggle
from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.play_columns import PLAY_COLUMNS
from echostats_pipeline.transforms.days import DayWindow

GOAL_REBUILD, GOAL_UNCHANGED = 1.25, 1.25
GOAL_SNAPSHOTS = {"1": 1.5, "10": 2.0}
CHANGED_DAYS = 2
"""Rollups that one more play may change: of its day, and of the next day if its session continues."""
PIECE_DAYS = 366
"""Number of finished documents that are held and written at a time."""
SCAN, UPSERT, READ = "raw scan of the plays", "bulk upsert of the finished rollups", "reading the rollups once"
PROJECTED, INSERT = "scan of the fields in use, an array a play", "insert of the encoded rollups"
"""Less work than `SCAN` and `UPSERT`, for the same result."""
FULL, UNCHANGED = "full rollup rebuild", "rebuild, nothing changed"
SCRATCH, ONE_PLAY = "five snapshots from scratch", "snapshots after one new play"


def measure(scene: Scene, listener: Listener, scale: str, rounds: int, say: Callable[[str], None]) -> list[Row]:
    """Measure rollups and snapshots, `rounds` times in turn with their floors."""
    ready_finished(scene)
    single: dict[str, list[Taken]] = defaultdict(list)
    unchanged_writes = 0

    def keep(name: str, taken: Taken) -> None:
        single[name].append(taken)
        say(f"    {name}: {taken}")

    def take(name: str, work: Callable[[], object]) -> None:
        keep(name, timed(scene.server_pid, work)[0])

    for number in range(rounds):
        say(f"scale {scale}: round {number + 1} of {rounds}")
        scene.clear(listener, rollups=True)
        take(SCAN, lambda: scan(scene, listener))
        take(PROJECTED, lambda: scan_projected(scene, listener))
        take(FULL, lambda: scene.rebuild(listener))
        keep(UPSERT, write_finished(scene, listener, upsert))
        keep(INSERT, write_finished(scene, listener, insert))
        scene.traffic.written.clear()
        take(UNCHANGED, lambda: scene.rebuild(listener))
        unchanged_writes += scene.traffic.written["daily_rollups"]
        take(READ, lambda: read_rollups(scene, listener))
        scene.clear(listener, rollups=False)
        take(SCRATCH, lambda: scene.snapshots(listener))
        change_last_day(scene, listener)
        take(ONE_PLAY, lambda: scene.snapshots(listener))
    weights = {name: scene.weight(name, listener) for name in ("listening_history", "daily_rollups")}
    rows = [
        Row.of_times(
            FULL,
            scale,
            single,
            measured=[FULL],
            floor=[SCAN, UPSERT],
            at_most=GOAL_REBUILD,
            goal=f"≤ {GOAL_REBUILD} x (scan + upsert)",
            counts={"stored": weights},
            notes=[f"{weight['documents']:,} of {name}, {weight['bytes']:,} bytes" for name, weight in weights.items()],
        ),
        Row.of_times(
            UNCHANGED,
            scale,
            single,
            measured=[UNCHANGED],
            floor=[SCAN],
            at_most=GOAL_UNCHANGED,
            goal=f"≤ {GOAL_UNCHANGED} x scan, 0 writes",
            met=unchanged_writes == 0,
            counts={"rollups_written": unchanged_writes},
            notes=[f"rollups written or removed: {unchanged_writes}"],
        ),
        Row.of_times(
            SCRATCH,
            scale,
            single,
            measured=[SCRATCH],
            floor=[READ],
            at_most=GOAL_SNAPSHOTS[scale],
            goal=f"≤ {GOAL_SNAPSHOTS[scale]} x reading the rollups",
        ),
    ]
    for work, floor in ((FULL, (PROJECTED, INSERT)), (UNCHANGED, (PROJECTED,))):
        rows.append(
            Row.of_times(
                f"{work}, tighter floor",
                scale,
                single,
                measured=[work],
                floor=floor,
                at_most=None,
                goal=f"x ({' + '.join(each.split()[0] for each in floor)})",
            )
        )
    return [*rows, one_new_play(scene, listener, scale, single, weights["daily_rollups"])]


def one_new_play(
    scene: Scene, listener: Listener, scale: str, single: dict[str, list[Taken]], stored: dict[str, int]
) -> Row:
    """Measure how much the snapshots read again when one day has changed."""
    change_last_day(scene, listener)
    traffic = scene.traffic
    with traffic.reading():
        scene.snapshots(listener)
    rollups = traffic.documents["daily_rollups"]
    read = {
        name: {"documents": documents, "bytes": traffic.bytes[name]}
        for name, documents in sorted(traffic.documents.items())
    }
    return Row.of_times(
        ONE_PLAY,
        scale,
        single,
        measured=[ONE_PLAY],
        floor=[SCRATCH],
        at_most=1.0,
        goal=f"reads ≤ {CHANGED_DAYS} rollups again",
        met=rollups <= CHANGED_DAYS,
        counts={"read": read, "stored_rollups": stored},
        notes=[
            f"rollups read: {rollups:,} of {stored['documents']:,} documents",
            *(
                f"read of {name}: {each['documents']:,} documents, {each['bytes']:,} bytes"
                for name, each in read.items()
            ),
            f"read of everything: {sum(traffic.bytes.values()):,} bytes; all rollups have {stored['bytes']:,}",
        ],
    )


def ready_finished(scene: Scene) -> None:
    """A collection for the floor of writing, indexed as the rollups are."""
    for index in COLLECTIONS["daily_rollups"].indexes:
        scene.store.db["finished"].create_index(list(index.keys), **index.options)


def scan(scene: Scene, listener: Listener) -> None:
    """Read all plays completely."""
    for _ in scene.store.db["listening_history"].find({"user_id": listener.user_id}):
        pass


def scan_projected(scene: Scene, listener: Listener) -> None:
    """Read the fields of all plays that rollups are made of, in the cheapest form that was found."""
    projection = {"_id": 0, "row": list(PLAY_COLUMNS.values())}
    for _ in scene.store.db["listening_history"].find({"user_id": listener.user_id}, projection):
        pass


def read_rollups(scene: Scene, listener: Listener) -> None:
    """Read all rollups completely."""
    for _ in scene.store.db["daily_rollups"].find({"user_id": listener.user_id}):
        pass


def write_finished(scene: Scene, listener: Listener, write: Callable[[Scene, list[Document]], None]) -> Taken:
    """Write the existing rollups to an empty collection, year by year. Reading them is not timed."""
    scene.store.db["finished"].delete_many({})
    total = Taken()
    for piece in SPAN.pieces(PIECE_DAYS):
        documents = finished(scene, listener, piece)
        if documents:
            total += timed(scene.server_pid, partial(write, scene, documents))[0]
    return total


def finished(scene: Scene, listener: Listener, piece: DayWindow) -> list[Document]:
    """The rollups of some days."""
    within = {"$gte": piece.first.isoformat(), "$lte": piece.last.isoformat()}
    return list(scene.store.db["daily_rollups"].find({"user_id": listener.user_id, "date": within}, {"_id": 0}))


def upsert(scene: Scene, documents: list[Document]) -> None:
    """Write finished rollups by their unique key."""
    scene.store.db["finished"].bulk_write(
        [
            ReplaceOne({"user_id": document["user_id"], "date": document["date"]}, document, upsert=True)
            for document in documents
        ],
        ordered=False,
    )


def insert(scene: Scene, documents: list[Document]) -> None:
    """Insert finished rollups, encoded once."""
    encoded = [InsertOne[Document](cast("Document", RawBSONDocument(bson.encode(each)))) for each in documents]
    scene.store.db["finished"].bulk_write(encoded, ordered=False)


def change_last_day(scene: Scene, listener: Listener) -> None:
    """Add a play to the last day of the history, or remove it again, and rebuild that day."""
    toggle(scene, listener.play(NOW - timedelta(hours=9)))
    scene.rebuild(listener, DayWindow(NOW.date(), NOW.date()))
