"""``echostats demo`` as a user runs it: interrupted, run again to its end, and run once more."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bson
import pytest

from echostats_pipeline.local import mongod
from echostats_pipeline.local.mongod import EmbeddedServer
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.database import Db, connected
from echostats_pipeline_tests.integration.processes import PATIENCE_S, POLL_S, eventually, processes_of, started

pytestmark = [
    pytest.mark.xdist_group("demo"),
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]

# The clock stands still, else the simulated users would listen between two runs.
AT_ONE_INSTANT = """
import sys
from datetime import datetime
from echostats_pipeline.cli import demo, main
from echostats_pipeline.orchestration.resources import clock
from echostats_pipeline.simulator.clock import Clock
now = datetime.fromisoformat(sys.argv.pop(1))
demo.utc_now = clock.utc_now = lambda: now
Clock.now = lambda self: now
main.main()
"""
APPENDED = {"sync_jobs", "api_logs", "imports", "spotify_tokens", "spotify_calls", "artist_albums"}
"""Collections to which every run adds documents; each run reads albums of some more artists."""
SORTED = {
    "listening_history": ["user_id", "played_at", "track.spotify_id"],
    "daily_rollups": ["user_id", "date"],
    "analytics_snapshots": ["user_id", "period"],
}


def digest(db: Db, collection: str) -> str:
    found = db[collection].find({}, {"_id": 0, "computed_at": 0}).sort(SORTED[collection])
    whole = hashlib.sha256()
    for document in found:
        whole.update(bson.encode(document))
    return whole.hexdigest()


def job_is_running(home: StateFolder) -> bool:
    if not (home.mongo_dir / "mongod.json").exists() and not any(home.mongo_dir.glob("*.json")):
        return False
    server: EmbeddedServer | None = mongod.status(home)
    if server is None:
        return False
    with connected(server.uri, "echostats") as db:
        return db["sync_jobs"].find_one({"status": "running", "items_total": {"$gt": 0}}) is not None


def held_in_a_job(home: StateFolder, process: subprocess.Popen[str]) -> bool:
    """Stop the process if it is in the middle of a job, and return True; otherwise let it continue."""
    if not job_is_running(home):
        return False
    process.send_signal(signal.SIGSTOP)
    time.sleep(POLL_S)  # for the data it had sent to the database by then
    if job_is_running(home):
        return True
    process.send_signal(signal.SIGCONT)
    return False


def interrupted(home: StateFolder, command: Sequence[str]) -> list[dict[str, Any]]:
    """Press Ctrl-C while a job runs. Return the jobs recorded then."""
    with started(home.path, *command) as process:
        eventually("running job", lambda: held_in_a_job(home, process), process)
        os.killpg(process.pid, signal.SIGINT)
        process.send_signal(signal.SIGCONT)
        assert process.wait(PATIENCE_S) == 130
        assert processes_of(home.path) == {}
    with mongod.running(home) as server, connected(server.uri, "echostats") as db:
        return list(db["sync_jobs"].find())


def completed(home: StateFolder, command: Sequence[str]) -> tuple[dict[str, int], dict[str, str], list[dict[str, Any]]]:
    """Let the demo run to its end. Return the number of documents, their content, and the jobs recorded then."""
    with started(home.path, *command) as process:
        assert process.wait(PATIENCE_S) == 0, said(home)
    assert processes_of(home.path) == {}
    with mongod.running(home) as server, connected(server.uri, "echostats") as db:
        counts = {name: db[name].count_documents({}) for name in COLLECTIONS if name not in APPENDED}
        return counts, {name: digest(db, name) for name in SORTED}, list(db["sync_jobs"].find())


def said(home: StateFolder) -> str:
    return (home.path.parent / "output.txt").read_text()


def test_interrupted_it_stops_run_again_it_completes_and_once_more_it_changes_nothing(
    tmp_path: Path, mongo_server: EmbeddedServer
) -> None:
    home, command = StateFolder(tmp_path / "home"), ("-c", AT_ONE_INSTANT, utc_now().isoformat(), "demo")
    before = {job["_id"]: job for job in interrupted(home, command)}
    (failed,) = [job for job in before.values() if job["status"] != "completed"]
    assert failed["status"] == "failed"
    assert failed["error_message"]
    assert "Stopped." in said(home)
    assert "Traceback" not in said(home)

    counts, digests, jobs = completed(home, command)
    assert {job["status"] for job in jobs if job["_id"] not in before} == {"completed"}
    assert [job for job in jobs if job["_id"] in before] == list(before.values())
    assert (counts["users"], counts["analytics_snapshots"]) == (3, 15)
    assert counts["listening_history"] > 10_000
    assert counts["daily_rollups"] > 1_000
    assert all(counts[name] for name in ("tracks", "artists", "albums", "playlists", "saved_tracks", "top_items"))
    assert counts["scrobble_targets"] == 1
    assert counts["sent_plays"] > 10
    assert "Top artists" in said(home)

    assert completed(home, command)[:2] == (counts, digests)
    assert "Traceback" not in said(home)
