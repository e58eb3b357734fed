"""A replica set that loses its primary in the middle of a run costs neither the run nor a play.

All runs use a user of MongoDB with readWrite on one database and nothing else.
"""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from echostats_pipeline.local.database import open_store
from echostats_pipeline.orchestration.jobs import import_config
from echostats_pipeline.settings import load_settings
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline_tests.conftest import KEY, SETTINGS, Installation, Pipeline
from echostats_pipeline_tests.integration.replica_sets import DATABASE, ReplicaSet, replica_set

pytestmark = [pytest.mark.kill, pytest.mark.xdist_group("killed import")]

ROWS, TROUBLE_AT = 24_000, 4_000
FIRST = datetime(2015, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def servers() -> Iterator[ReplicaSet]:
    with replica_set() as running:
        yield running


@pytest.fixture
def replicated(
    servers: ReplicaSet, tmp_path: Path, spotify_server: RunningSimulator, instance: dg.DagsterInstance
) -> Iterator[Pipeline]:
    environ = {
        **dict.fromkeys(SETTINGS, ""),
        "ECHOSTATS_HOME": str(tmp_path / "home"),
        "MONGO_URI": servers.uri,
        "MONGO_DB": DATABASE,
        "ENCRYPTION_KEY": KEY,
        "ECHOSTATS_GENRES": "none",
        "SIMULATOR_URL": spotify_server.base_url,
    }
    settings = load_settings(environ, env_file=None)
    with open_store(settings, indexes=True) as store:
        yield Pipeline(Installation(environ, settings, store, spotify_server), instance)


def export(path: Path) -> Path:
    """An export whose plays are of different minutes."""
    rows = [
        {
            "ts": f"{FIRST + timedelta(minutes=7 * number):%Y-%m-%dT%H:%M:%SZ}",
            "ms_played": 100_000,
            "spotify_track_uri": f"spotify:track:{number % 300:022}",
            "master_metadata_track_name": f"Title {number % 300}",
            "master_metadata_album_artist_name": f"Artist {number % 40}",
        }
        for number in range(ROWS)
    ]
    path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize(
    ("person", "trouble"), [(0, ReplicaSet.step_down), (1, ReplicaSet.kill_primary)], ids=["step-down", "kill -9"]
)
def test_a_run_outlasts_the_loss_of_the_primary(
    replicated: Pipeline, servers: ReplicaSet, tmp_path: Path, person: int, trouble: Callable[[ReplicaSet], None]
) -> None:
    user, before, struck = replicated.connect(person), servers.primary(), threading.Event()
    path = export(tmp_path / "endsong_0.json")

    def strike() -> None:
        watched = servers.root[DATABASE]["listening_history"]
        while watched.count_documents({"user_id": user.user_id}) < TROUBLE_AT:
            struck.wait(0.02)
        trouble(servers)
        struck.set()

    trouble_maker = threading.Thread(target=strike, daemon=True)
    trouble_maker.start()
    ended = replicated.run("history_import", partition_key=user.partition_key, run_config=import_config([path]))
    trouble_maker.join(60)
    assert struck.is_set()
    assert ended.success
    assert servers.primary() != before
    assert replicated.store.plays.count(user.user_id, FIRST, FIRST + timedelta(days=365)) == ROWS
    (job,) = replicated.store.jobs.of_run(ended.run_id)
    assert (job.status, job.items_processed) == ("completed", ROWS)
    assert list(replicated.store.db["user_leases"].find()) == []
    assert list(replicated.store.db["unfinished_merges"].find()) == []
