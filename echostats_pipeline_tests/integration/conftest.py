"""State folders for `echostats up`, with and without connected users."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from echostats_pipeline.cli.simulated import simulated_spotify
from echostats_pipeline.local import mongod
from echostats_pipeline.local.database import open_store
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.database import Document
from echostats_pipeline_tests.integration.consent import connect
from echostats_pipeline_tests.integration.processes import environment, processes_of


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
