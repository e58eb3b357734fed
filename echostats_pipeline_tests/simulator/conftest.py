"""One world and one served simulator per test process. Their clock stands still."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from echostats_pipeline.simulator.clock import Clock
from echostats_pipeline.simulator.people import SimulatedUser
from echostats_pipeline.simulator.running import RunningSimulator, running_simulator
from echostats_pipeline.simulator.world import World

NOW = datetime(2025, 6, 15, 12, 0, tzinfo=UTC)
REDIRECT_URI = "http://127.0.0.1:8888/callback"
SCOPE = (
    "user-read-recently-played user-library-read user-top-read playlist-read-private user-read-private user-read-email"
)

Get = Callable[..., requests.Response]


@pytest.fixture(scope="session")
def world() -> World:
    return World(seed=7)


@pytest.fixture(scope="session")
def user(world: World) -> SimulatedUser:
    return world.users[0]


@pytest.fixture(scope="session")
def simulator(world: World) -> Iterator[RunningSimulator]:
    """Shared by all tests, so no test moves its clock."""
    with running_simulator(world, clock=Clock(frozen_at=NOW)) as running:
        yield running


@pytest.fixture(scope="session")
def access_token(simulator: RunningSimulator, user: SimulatedUser) -> str:
    return connect(simulator, user.id)["access_token"]


@pytest.fixture(scope="session")
def get(simulator: RunningSimulator, access_token: str) -> Get:
    """GET below /v1 as the first user."""

    def send(path: str, **params: object) -> requests.Response:
        headers = {"Authorization": f"Bearer {access_token}"}
        return requests.get(f"{simulator.base_url}/v1{path}", params=params, headers=headers, timeout=10)

    return send


@pytest.fixture
def own_simulator(world: World) -> Iterator[RunningSimulator]:
    """A simulator for one test, which may use every switch."""
    with running_simulator(world, clock=Clock(frozen_at=NOW)) as running:
        yield running


@pytest.fixture
def own_get(own_simulator: RunningSimulator, user: SimulatedUser) -> Get:
    """GET below /v1 of `own_simulator` as the first user."""
    return getter(own_simulator, user.id)


def getter(simulator: RunningSimulator, user_id: str, scope: str = SCOPE) -> Get:
    """GET below /v1 as a user, with a token that is renewed whenever the clock has moved."""
    session = requests.Session()
    token: dict[datetime, str] = {}

    def send(path: str, **params: object) -> requests.Response:
        now = simulator.clock.now()
        if now not in token:
            code = simulator.consent(user_id, client_id="client", redirect_uri=REDIRECT_URI, scope=scope)
            grant = simulator.tokens.redeem(code, "client", REDIRECT_URI, None)
            token[now] = simulator.tokens.access_token(grant)
        headers = {"Authorization": f"Bearer {token[now]}"}
        with session:
            return session.get(f"{simulator.base_url}/v1{path}", params=params, headers=headers, timeout=10)

    return send


def connect(simulator: RunningSimulator, user_id: str, scope: str = SCOPE) -> dict[str, Any]:
    """The token response of a consent, client secret flow."""
    code = simulator.consent(user_id, client_id="client", redirect_uri=REDIRECT_URI, scope=scope)
    response = exchange(simulator, grant_type="authorization_code", code=code, redirect_uri=REDIRECT_URI)
    response.raise_for_status()
    return response.json()


def exchange(
    simulator: RunningSimulator, auth: tuple[str, str] | None = ("client", "secret"), **form: str
) -> requests.Response:
    return requests.post(f"{simulator.base_url}/api/token", data=form, auth=auth, timeout=10)
