"""The pipeline never reads a growing collection completely, and reads a user's day without their other days."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pytest

from echostats_pipeline.accounts.removal import remove_user
from echostats_pipeline.model.plays import Play, TrackSnapshot
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.automation.run_ends import dead_runs
from echostats_pipeline.orchestration.automation.sensors import (
    incomplete_catalog,
    stale_rollups,
    stale_snapshots,
    user_roster,
)
from echostats_pipeline.orchestration.instance.metrics import exposition, measured
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.simulator.clock import Clock
from echostats_pipeline.simulator.exports import write_extended_export
from echostats_pipeline.simulator.running import RunningSimulator, running_simulator
from echostats_pipeline.simulator.world import World
from echostats_pipeline.storage.audit import AuditStore
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, Pipeline
from echostats_pipeline_tests.integration.operation_profiler import Operation, profiled
from echostats_pipeline_tests.orchestration.automation.test_sensors import tick

pytestmark = pytest.mark.xdist_group("scans")
TODAY = NOW.date()
DAYS_IMPORTED = (120, 30, 20)
SMALL = {
    "users": "one document per user",
    "spotify_tokens": "one document per user",
    "user_leases": "at most two documents per user",
    "library_readings": "three documents per user",
    "top_items": "six documents per user",
    "spotify_limits": "one document per family of endpoints",
    "refused_endpoints": "one document per route",
    "unread_playlists": "playlists that wait for their contents, none once a library is read through",
    "unfinished_merges": "empty but while plays change",
    "incidents": "a few a month, looked through when a user is removed or has been",
    "genre_lists": "one document",
    "change_marks": "what waits for a rebuild, for a minute or two",
    "mart_states": "one document per user and mart",
    "scrobble_targets": "one document per user and service",
}
"""Collections that do not grow with time, and why: reading one completely is as good as any index."""
CATALOGUE = {"tracks", "artists", "albums", "artist_tags", "item_neighbours"}
"""Collections that a job may read completely if it needs all of it. To count plays of artists, it reads all tracks; for
statistics of more than half of a collection, reading all of it costs less than a look-up for each document.
Neighbours of songs are deleted as a whole when a user who shares their plays is removed.
"""


@pytest.fixture(scope="module")
def spotify_server() -> Iterator[RunningSimulator]:
    """Three people; other tests have two."""
    world = World(seed=1, user_count=len(DAYS_IMPORTED), track_count=400, epoch=date(2025, 1, 1))
    with running_simulator(world, clock=Clock(frozen_at=NOW)) as running:
        yield running


@pytest.fixture
def new_settings(new_settings: Callable[..., dict[str, str]]) -> Callable[..., dict[str, str]]:
    """Limits that no test reaches: the clock stands still, so a wait would never end."""
    return partial(new_settings, SPOTIFY_BURST_CALLS="100000", SPOTIFY_DAILY_CALLS="100000")


def run(pipeline: Pipeline, job: str, *users: User, days: int = 0) -> None:
    tags = range_tags(TODAY - timedelta(days=days), TODAY, users[0].partition_key, users[-1].partition_key)
    assert pipeline.run(job, tags=tags).success


def import_export(pipeline: Pipeline, user: User, days: int, folder: Path) -> None:
    world, person = pipeline.installation.simulator.world, pipeline.installation.person(user)
    end, export = NOW - timedelta(hours=12), folder / f"{user.partition_key}.zip"
    write_extended_export(world, person, end - timedelta(days=days), end, export)
    config = {"ops": {"streaming_history_import": {"config": {"paths": [str(export)]}}}}
    assert pipeline.run("history_import", partition_key=user.partition_key, run_config=config).success


def do_everything(pipeline: Pipeline, users: list[User], folder: Path) -> None:
    """Do all work of the pipeline, and again when nothing is left to do."""
    for user, days in zip(users, DAYS_IMPORTED, strict=True):
        run(pipeline, "user_sync", user)
        import_export(pipeline, user, days, folder)
        assert pipeline.run("library_sync", partition_key=user.partition_key).success
    run(pipeline, "rollup_build", *users, days=10)
    for _ in range(2):
        assert pipeline.run("catalog_enrichment").success
    for user in users:
        assert pipeline.run("snapshot_build", partition_key=user.partition_key).success
    pipeline.run("audit")  # fails if the simulated accounts have faults; it only matters that all was read
    for sensor in (user_roster, stale_rollups, stale_snapshots, incomplete_catalog, dead_runs):
        tick(pipeline, sensor)
    installation = pipeline.installation
    exposition(measured(pipeline.store, pipeline.instance, installation.settings, installation.now()))
    for command in (["doctor", "--json"], ["users"]):
        echostats = Path(sys.executable).with_name("echostats")
        subprocess.run([echostats, *command], env=dict(installation.environ), capture_output=True, check=False)


def test_what_grows_is_read_with_an_index(pipeline: Pipeline, tmp_path: Path) -> None:
    users = [pipeline.connect(number) for number in range(len(DAYS_IMPORTED))]
    db = pipeline.store.db
    with profiled(db) as operations:
        do_everything(pipeline, users, tmp_path)
    assert pipeline.store.users.plays_stored(users[0].user_id) > 3_000
    touched = {operation.collection for operation in operations}
    assert {"listening_history", "daily_rollups", "api_logs", "sync_jobs", "recently_played", "imports"} <= touched
    assert [each for each in operations if each.scans and not may_scan(each)] == []

    with profiled(db) as operations:
        remove_user(pipeline.store, users[-1], NOW)
    assert [each for each in operations if each.scans and not may_scan(each)] == []


def test_a_day_is_read_without_the_other_days(store: Store) -> None:
    """Without a hint, the server keeps its first plan, from when all plays of the user were on that day."""
    history, audit = store.db["listening_history"], AuditStore(store.db)
    day = (NOW - timedelta(days=1), NOW + timedelta(seconds=1))

    def read() -> None:
        store.plays.read("u", *day)
        list(audit.plays("u", day))
        audit.equal_plays("u", day)

    history.insert_many(plays("u", 0, 26))
    for _ in range(3):
        read()
    history.insert_many(plays("u", 26, 5_000))
    history.insert_many(plays("v", 0, 2_000))
    with profiled(store.db) as operations:
        read()
    in_a_day = history.count_documents({"user_id": "u", "played_at": {"$gte": day[0]}})
    assert in_a_day == 289
    assert sum(each.examined for each in operations) <= 4 * in_a_day


def plays(user_id: str, first: int, last: int) -> list[Document]:
    """Plays of some hundred tracks; each ends five minutes before the play with the number before."""
    return [
        Play(
            user_id=user_id,
            track=TrackSnapshot(spotify_id=f"{number % 300:022d}"),
            played_at=NOW - timedelta(minutes=5) * number,
            import_key=str(number),
        ).to_bson()
        for number in range(first, last)
    ]


def may_scan(operation: Operation) -> bool:
    wants_all = operation.asked == "{}" or operation.asked.startswith("[{'$project'")
    # At its start, a command looks for nulls of earlier versions: 0.03 s for 50,000 tracks.
    mends = operation.asked.startswith("{'audio_features.") and "'$type': 'null'" in operation.asked
    # A person who runs the doctor wants every document checked: 2.5 s for 331,520 plays.
    examines = "$jsonSchema" in operation.asked
    return examines or operation.collection in SMALL or (operation.collection in CATALOGUE and (wants_all or mends))
