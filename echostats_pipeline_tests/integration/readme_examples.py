"""Data for the queries in the docs, some months of one user among others, and a runner for printed Python."""

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from bson import ObjectId

from echostats_pipeline.model.operations import ApiLog, SyncJob
from echostats_pipeline.model.plays import ListeningGap
from echostats_pipeline.model.statistics import TopItem, YearlyReview
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.simulator.exports import write_extended_export
from echostats_pipeline.storage.database import Db
from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline_tests.conftest import NOW, Installation, Pipeline

DAYS = 60
NEIGHBOURS = [f"{number:024x}" for number in range(1, 4)]
PAGE = 50
"""Plays on a page of the history in the docs."""
COPIED = ("listening_history", "daily_rollups", "analytics_snapshots", "calendar_snapshots")
EVENT = timedelta(minutes=15)
MARK = "== the next block =="


def furnish(pipeline: Pipeline, folder: Path) -> User:
    """Store a user with an import of `DAYS` days, a sync and statistics, and neighbours with the same plays."""
    user, db = pipeline.connect(), pipeline.store.db
    key, today = user.partition_key, NOW.date()
    end, export = NOW - timedelta(hours=12), folder / "my_spotify_data.zip"
    world, person = pipeline.installation.simulator.world, pipeline.installation.person(user)
    write_extended_export(world, person, end - timedelta(days=DAYS), end, export)
    config = {"ops": {"streaming_history_import": {"config": {"paths": [str(export)]}}}}
    assert pipeline.run("user_sync", tags=range_tags(today, today, key)).success
    assert pipeline.run("history_import", partition_key=key, run_config=config).success
    _make_ties(db, user)
    _make_silence(db, user)
    assert pipeline.run("rollup_build", tags=range_tags(today - timedelta(days=DAYS + 1), today, key)).success
    assert pipeline.run("snapshot_build", partition_key=key).success
    for name in COPIED:
        _copy_to_neighbours(db, name, user)
    _record(db, user)
    return user


def _copy_to_neighbours(db: Db, name: str, user: User) -> None:
    """Copy the user's data to the neighbours, and store it before the user's: any index finds the first document.

    The user's own order is also adverse: the month, which is written first, comes last.
    """
    stored = list(db[name].find({"user_id": user.user_id}))
    copies = [{**each, "_id": ObjectId(), "user_id": neighbour} for neighbour in NEIGHBOURS for each in stored]
    db[name].delete_many({"user_id": user.user_id})
    db[name].insert_many(copies + stored[::-1])
    db.command("planCacheClear", name)  # whose plans are from when there were nearly no documents


def _make_ties(db: Db, user: User) -> None:
    """Store two more plays that end in the same millisecond as the last one on the first page, before and after it."""
    last = db["listening_history"].find({"user_id": user.user_id}).sort("played_at", -1)[PAGE - 1]
    last.pop("import_key", None)
    for number in range(2):
        track = {**last["track"], "spotify_id": f"tie{number}".ljust(22, "0")}
        db["listening_history"].insert_one({**last, "_id": ObjectId(), "track": track})


def _make_silence(db: Db, user: User) -> None:
    """Remove the plays of two days, three weeks ago."""
    first = NOW.date() - timedelta(days=21)
    start, end = DayWindow(first, first + timedelta(days=1)).instants(ZoneInfo(user.timezone))
    db["listening_history"].delete_many({"user_id": user.user_id, "played_at": {"$gte": start, "$lt": end}})


def _record(db: Db, user: User) -> None:
    """Store the records of ten days of syncs, and reviews of years before the simulated world."""
    user_ids, events = [user.user_id, *NEIGHBOURS], [NOW - EVENT * number for number in range(1, 1_000)]
    db["sync_jobs"].insert_many(
        SyncJob(
            user_id=user_id,
            job_type="import" if number % 50 == 0 else "periodic",
            status="failed" if number % 90 == 0 else "completed",
            created_at=at,
            dagster_run_id=f"{user_id}-{number}",
        ).to_bson()
        for user_id in user_ids
        for number, at in enumerate(events, start=1)
    )
    db["api_logs"].insert_many(
        ApiLog(
            user_id=user_id,
            family="recently-played",
            status_code=429 if number % 40 == 0 else 200,
            latency_ms=120.5,
            timestamp=at,
        ).to_bson()
        for user_id in user_ids
        for number, at in enumerate(events, start=1)
    )
    gap = {"user_id": user.user_id, "from": NOW - timedelta(days=200), "to": NOW - timedelta(days=199)}
    known = {**gap, "from": NOW - timedelta(days=300), "closed_by": "streaming_history_import"}
    db["listening_gaps"].insert_many([ListeningGap.model_validate(each).to_bson() for each in (gap, known)])
    top = [
        TopItem(spotify_id="", name=name, play_count=3 - rank, total_ms=0, image_url="", rank=rank)
        for rank, name in enumerate(("Ann", "Bob", "Cy"), start=1)
    ]
    db["yearly_reviews"].insert_many(
        review.to_bson()
        for user_id in user_ids
        for review in (
            YearlyReview(user_id=user_id, year=2023, total_tracks_played=5),
            YearlyReview(user_id=user_id, year=2024, total_tracks_played=7, new_tracks=3, top_artists=top),
        )
    )


def run_printed(installation: Installation, codes: Sequence[str]) -> list[list[str]]:
    """Run blocks of Python one after the other in one process. Return the lines that each block printed."""
    commands = Path(sys.executable).parent
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", f'\nprint("{MARK}")\n'.join(codes)],
        env={**installation.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return [printed.strip("\n").splitlines() for printed in ran.stdout.split(f"{MARK}\n")]
