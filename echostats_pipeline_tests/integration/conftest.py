"""State folders for `echostats up`, and one running UI with a browser for all tests that only read it."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from echostats_pipeline.cli.simulated import simulated_spotify
from echostats_pipeline.local import mongod
from echostats_pipeline.local.database import open_store
from echostats_pipeline.local.mongod import EmbeddedServer
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.database import Document
from echostats_pipeline_tests.integration.browser_driver import OTHER_SITE, Browser, browser
from echostats_pipeline_tests.integration.consent import connect
from echostats_pipeline_tests.integration.processes import environment, processes_of
from echostats_pipeline_tests.integration.up_process import Shown, shown


@pytest.fixture(scope="session")
def ui(tmp_path_factory: pytest.TempPathFactory, mongo_server: EmbeddedServer) -> Iterator[Shown]:
    """The UI of one user with 60 imported days. A test that changes something there changes it back."""
    with shown(tmp_path_factory.mktemp("ui") / "home", days=60, people=1) as running:
        yield running


@pytest.fixture(scope="session")
def page(ui: Shown) -> Iterator[Browser]:
    """A browser on that UI. Every name of the other site resolves to this machine."""
    with browser(ui.url, f"--host-resolver-rules=MAP *{OTHER_SITE} 127.0.0.1") as opened:
        yield opened


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(environment(tmp_path / "home"), env_file=None)


@pytest.fixture
def prepared(settings: Settings, mongo_client: MongoClient[Document]) -> Iterator[tuple[User, list[Any]]]:
    """A state folder with one connected user and no running process; also who could connect."""
    home = StateFolder(settings.home).ensure()
    with (
        mongod.running(home),
        open_store(settings, indexes=True) as store,
        simulated_spotify(settings) as simulator,
    ):
        people = list(simulator.world.users)
        user = connect(settings, store, simulator.base_url, people[0].id, people[0].timezone)
        assert isinstance(simulator, RunningSimulator)
    assert processes_of(settings.home) == {}
    yield user, people
    assert mongo_client.admin.command("ping")["ok"], "another installation's server stays untouched"
