"""A replica set that loses its primary in the middle of a run costs neither the run nor a play.

All runs use a user of MongoDB with readWrite on one database and nothing else.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from echostats_pipeline.backup.dumping import count, raw_batches
from echostats_pipeline.backup.moment import snapshot
from echostats_pipeline.local.database import open_store
from echostats_pipeline.orchestration.jobs import import_config
from echostats_pipeline.orchestration.runs import Step
from echostats_pipeline.settings import load_settings
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline.storage import database
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.backup.conftest import content
from echostats_pipeline_tests.cli.conftest import Echostats, echostats
from echostats_pipeline_tests.conftest import KEY, NOW, SETTINGS, Installation, Pipeline
from echostats_pipeline_tests.databases import limited_uri
from echostats_pipeline_tests.integration.replica_sets import DATABASE, ELECTION_MS, ReplicaSet, replica_set

__all__ = ["echostats"]

pytestmark = [pytest.mark.kill, pytest.mark.xdist_group("killed import")]

ROWS, TROUBLE_AT = 24_000, 4_000
FIRST = datetime(2015, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _commands_wait_less_than_an_election(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "SERVER_SELECTION_TIMEOUT_MS", ELECTION_MS // 4)


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
    with open_store(settings, indexes=True, patience_ms=database.RUN_SELECTION_TIMEOUT_MS) as store:
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


def killed_under_a_cursor(servers: ReplicaSet, store: Store) -> None:
    """Kill the primary between two pages of a read, which the driver cannot repeat."""
    read = store.db["listening_history"].find(batch_size=100)
    next(read)
    servers.kill_primary()
    list(read)


def test_a_backup_goes_from_a_standalone_server_into_a_replica_set_and_back(
    installation: Installation, servers: ReplicaSet, replicated: Pipeline, echostats: Echostats
) -> None:
    standalone, there = installation.store, replicated.store
    user = installation.connect()
    plays = [{"user_id": user.user_id, "played_at": FIRST + timedelta(minutes=n), "track": {}} for n in range(50)]
    standalone.db["listening_history"].insert_many(plays)
    before, place = content(standalone.db), {"MONGO_URI": servers.uri, "MONGO_DB": DATABASE}
    assert "No run changed anything meanwhile" in echostats("backup", "a.zip").stdout
    assert echostats("restore", "a.zip", **place).returncode == 0
    assert content(servers.root[DATABASE]) == before
    with snapshot(there, ["listening_history"]) as moment:
        late = there.db["listening_history"].insert_one({"user_id": user.user_id, "played_at": NOW, "track": {}})
        assert sum(map(count, raw_batches(there.db["listening_history"], moment))) == len(plays)
    there.db["listening_history"].delete_one({"_id": late.inserted_id})
    there.db.create_collection("fixed", capped=True, size=4096)  # is in no snapshot before version 8
    made = echostats("backup", "b.zip", **place)
    assert "as it was at one instant" in made.stdout
    assert "not as of that instant: fixed" in made.stderr
    there.db.drop_collection("fixed")
    assert "No run changed anything" in echostats("backup", "--pause", "c.zip", **place).stdout
    back = f"{standalone.db.name}_back"
    place = {"MONGO_URI": limited_uri(standalone.db.client, back), "MONGO_DB": back}
    assert echostats("restore", "b.zip", **place).returncode == 0
    standalone.db.client[back].drop_collection("fixed")
    assert content(standalone.db.client[back]) == before
    standalone.db.client.drop_database(back)
    there.db["listening_history"].delete_many({})  # other tests on these servers have plays of their own


@pytest.mark.parametrize(
    ("person", "trouble"),
    [(0, lambda servers, _: servers.step_down()), (1, killed_under_a_cursor)],
    ids=["step-down", "kill -9"],
)
def test_a_run_outlasts_the_loss_of_the_primary(
    replicated: Pipeline,
    servers: ReplicaSet,
    tmp_path: Path,
    person: int,
    trouble: Callable[[ReplicaSet, Store], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user, advance = replicated.connect(person), Step.advance
    struck: list[tuple[int, str]] = []

    def advance_into_trouble(step: Step, items: int) -> None:
        advance(step, items)
        if step.items >= TROUBLE_AT and not struck:
            struck.append((step.items, servers.primary()))
            trouble(servers, replicated.store)

    monkeypatch.setattr(Step, "advance", advance_into_trouble)
    path = export(tmp_path / "endsong_0.json")
    ended = replicated.run("history_import", partition_key=user.partition_key, run_config=import_config([path]))
    ((items, lost),) = struck
    assert items < ROWS
    assert ended.success
    assert servers.primary() != lost
    assert replicated.store.plays.count(user.user_id, FIRST, FIRST + timedelta(days=365)) == ROWS
    (job,) = replicated.store.jobs.of_run(ended.run_id)
    assert (job.status, job.items_processed) == ("completed", ROWS)
    for left in ("user_leases", "unfinished_merges"):
        assert list(replicated.store.db[left].find()) == []
