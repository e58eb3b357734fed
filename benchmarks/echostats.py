"""Measures the full rebuild against the way in which EchoStats rebuilds its rollups, on the same server.

EchoStats groups the whole history five times: totals, hours, artists, tracks and albums by day, first two at a time and
then three. It joins the groups by day, deletes the rollups of these days and inserts the new ones. That is done here
without its object mapper, which takes more time. Its rollups have a part of the content of ours.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

from benchmarks.measuring import Taken, timed
from benchmarks.report import Row
from benchmarks.scene import Listener, Scene
from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.storage.database import Document

OURS, THEIRS = "full rollup rebuild", "rebuild as EchoStats does it"
GOAL = 0.25
DAY = {"$dateToString": {"format": "%Y-%m-%d", "date": "$played_at"}}
MS = {"$sum": {"$ifNull": ["$ms_played", {"$ifNull": ["$track.duration_ms", 0]}]}}
PLAYS = {"$sum": 1}
TOTALS: Document = {"_id": {"day": DAY}, "count": PLAYS, "ms": MS}
HOURS: Document = {"_id": {"day": DAY, "hour": {"$hour": "$played_at"}}, "count": PLAYS, "ms": MS}
ARTISTS: Document = {"_id": {"day": DAY, "name": "$track.artist_name"}, "count": PLAYS}
ALBUMS: Document = {"_id": {"day": DAY, "name": "$track.album_name"}, "count": PLAYS}
TRACKS: Document = {
    "_id": {
        "day": DAY,
        "spotify_id": "$track.spotify_id",
        "name": "$track.name",
        "artist_name": "$track.artist_name",
    },
    "count": PLAYS,
}


def measure(scene: Scene, listener: Listener, scale: str, rounds: int, say: Callable[[str], None]) -> Row:
    """Rebuild everything of a listener in both ways, `rounds` times in turn."""
    theirs = scene.store.db["their_rollups"]
    for index in COLLECTIONS["daily_rollups"].indexes:
        theirs.create_index(list(index.keys), **index.options)
    single: dict[str, list[Taken]] = defaultdict(list)
    days = 0
    for number in range(rounds):
        say(f"scale {scale}: {THEIRS}, {number + 1} of {rounds}")
        scene.clear(listener, rollups=True)
        single[OURS].append(timed(scene.server_pid, lambda: scene.rebuild(listener))[0])
        taken, days = timed(scene.server_pid, lambda: rebuild(scene, listener))
        single[THEIRS].append(taken)
    theirs.drop()
    return Row.of_times(
        f"{OURS}, against EchoStats",
        scale,
        single,
        measured=[OURS],
        floor=[THEIRS],
        at_most=GOAL,
        goal=f"≤ {GOAL} x EchoStats",
        notes=[f"{days:,} rollups"],
    )


def rebuild(scene: Scene, listener: Listener) -> int:
    """Rebuild all rollups as EchoStats does; return their number."""
    groups = [*_grouped(scene, listener, (TOTALS, HOURS)), *_grouped(scene, listener, (ARTISTS, ALBUMS, TRACKS))]
    totals, hours, artists, albums, tracks = map(_by_day, groups)
    rollups = [
        {
            "user_id": listener.user_id,
            "date": day,
            "day_of_week": date.fromisoformat(day).weekday(),
            "total_plays": total["count"],
            "total_ms": total["ms"],
            "hourly": sorted(hours[day], key=lambda each: int(each["hour"])),
            "artist_plays": {each.get("name", ""): each["count"] for each in artists[day]},
            "album_plays": {each.get("name", ""): each["count"] for each in albums[day]},
            "track_plays": tracks[day],
        }
        for day, (total,) in totals.items()
    ]
    stored = scene.store.db["their_rollups"]
    stored.delete_many({"user_id": listener.user_id, "date": {"$in": list(totals)}})
    stored.insert_many(rollups)
    return len(rollups)


def _grouped(scene: Scene, listener: Listener, groups: Iterable[Document]) -> Iterable[list[Document]]:
    """Group all plays in several ways at the same time."""
    plays = scene.store.db["listening_history"]

    def grouped(group: Document) -> list[Document]:
        match = {"$match": {"user_id": listener.user_id}}
        return list(plays.aggregate([match, {"$group": group}], allowDiskUse=True))

    with ThreadPoolExecutor(3) as pool:
        return list(pool.map(grouped, groups))


def _by_day(groups: Iterable[Document]) -> Mapping[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for group in groups:
        key = group.pop("_id")
        found[key.pop("day")].append({**key, **group})
    return found
