"""Starting, stopping, and the clock over HTTP."""

import socket
import threading
from datetime import timedelta

import pytest
import requests

from echostats_pipeline.errors import EchostatsError, NotFoundError
from echostats_pipeline.simulator.clock import Clock
from echostats_pipeline.simulator.running import LOOPBACK, RunningSimulator, running_simulator
from echostats_pipeline.simulator.world import World
from echostats_pipeline_tests.simulator.conftest import NOW, REDIRECT_URI, connect, exchange


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as listener:
        return listener.getsockname()[1]


def test_it_binds_a_given_port_and_leaves_nothing_behind(world: World) -> None:
    port, threads = free_port(), threading.active_count()
    for _ in range(2):
        with running_simulator(world, port=port) as running:
            assert running.base_url == f"http://{LOOPBACK}:{port}"
            assert requests.get(f"{running.base_url}/simulator/clock", timeout=10).status_code == 200
    assert threading.active_count() == threads
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://{LOOPBACK}:{port}/", timeout=10)


def test_a_busy_port_is_named_in_the_error(simulator: RunningSimulator, world: World) -> None:
    port = int(simulator.base_url.rpartition(":")[2])
    with pytest.raises(EchostatsError, match=f"{LOOPBACK}:{port}.*another port"), running_simulator(world, port=port):
        pass


def test_tokens_outlive_a_restart(world: World) -> None:
    with running_simulator(world) as running:
        tokens = connect(running, world.users[0].id)
    with running_simulator(World(seed=world.seed)) as running:
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert requests.get(f"{running.base_url}/v1/me", headers=headers, timeout=10).status_code == 200
        refreshed = exchange(running, grant_type="refresh_token", refresh_token=tokens["refresh_token"])
        assert refreshed.status_code == 200


def test_a_token_of_a_user_who_is_gone_is_invalid(world: World) -> None:
    with running_simulator(world) as running:
        tokens = connect(running, world.users[2].id)
    with running_simulator(World(seed=world.seed, user_count=1)) as running:
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        response = requests.get(f"{running.base_url}/v1/me", headers=headers, timeout=10)
    assert (response.status_code, response.json()["error"]["message"]) == (401, "Invalid access token")


def test_moving_the_clock_expires_tokens_and_brings_new_plays(world: World) -> None:
    with running_simulator(world, clock=Clock(frozen_at=NOW)) as running:
        clock_url, me_url = f"{running.base_url}/simulator/clock", f"{running.base_url}/v1/me"
        assert requests.get(clock_url, timeout=10).json() == {"now": "2025-06-15T12:00:00.000Z"}
        headers = {"Authorization": f"Bearer {connect(running, world.users[0].id)['access_token']}"}
        before = requests.get(f"{me_url}/player/recently-played", headers=headers, timeout=10).json()["items"][0]
        moved = requests.post(clock_url, json={"advance_seconds": 86_400}, timeout=10)
        assert moved.json() == {"now": "2025-06-16T12:00:00.000Z"}
        expired = requests.get(me_url, headers=headers, timeout=10)
        assert expired.status_code == 401
        assert expired.json() == {"error": {"status": 401, "message": "The access token expired"}}
        headers = {"Authorization": f"Bearer {connect(running, world.users[0].id)['access_token']}"}
        after = requests.get(f"{me_url}/player/recently-played", headers=headers, timeout=10).json()["items"][0]
        assert after["played_at"] > before["played_at"]


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"advance_seconds": "x"}', '{"advance_seconds": 1e300}'])
def test_a_clock_order_that_cannot_be_read_changes_nothing(simulator: RunningSimulator, body: str) -> None:
    response = requests.post(f"{simulator.base_url}/simulator/clock", data=body, timeout=10)
    assert response.status_code == 400
    assert simulator.clock.now() == NOW


def test_half_a_year_after_consent_only_the_user_can_help(world: World) -> None:
    with running_simulator(world, clock=Clock(frozen_at=NOW)) as running:
        refresh_token = connect(running, world.users[0].id)["refresh_token"]
        running.clock.advance(timedelta(days=190))
        response = exchange(running, grant_type="refresh_token", refresh_token=refresh_token)
    assert response.status_code == 400
    assert response.json() == {"error": "invalid_grant", "error_description": "Refresh token expired"}


def test_nobody_unknown_can_consent(simulator: RunningSimulator) -> None:
    with pytest.raises(NotFoundError):
        simulator.consent("nobody", client_id="client", redirect_uri=REDIRECT_URI, scope="")
