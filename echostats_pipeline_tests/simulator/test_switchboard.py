"""The switches over HTTP, and the rotation and revocation of tokens that they cause."""

from datetime import timedelta

import pytest
import requests

from echostats_pipeline.simulator.behaviour import Behaviour, Fault
from echostats_pipeline.simulator.clock import Clock
from echostats_pipeline.simulator.people import SimulatedUser
from echostats_pipeline.simulator.running import RunningSimulator, running_simulator
from echostats_pipeline.simulator.world import World
from echostats_pipeline_tests.simulator.conftest import NOW, Get, connect, exchange

REVOKED = {"error": "invalid_grant", "error_description": "Refresh token revoked"}


def post(simulator: RunningSimulator, path: str, body: object) -> requests.Response:
    return requests.post(f"{simulator.base_url}/simulator/{path}", json=body, timeout=10)


def behaviour_of(simulator: RunningSimulator) -> object:
    return requests.get(f"{simulator.base_url}/simulator/behaviour", timeout=10).json()


def refresh(simulator: RunningSimulator, token: str) -> requests.Response:
    return exchange(simulator, grant_type="refresh_token", refresh_token=token)


def test_a_behaviour_is_changed_while_the_simulator_runs(own_simulator: RunningSimulator, own_get: Get) -> None:
    assert behaviour_of(own_simulator) == Behaviour().as_json()
    changed = post(own_simulator, "behaviour", {"regime": "restricted_dev", "faults": {"server-error": [2]}})
    assert changed.json() == behaviour_of(own_simulator)
    assert own_simulator.behaviour == Behaviour(regime="restricted_dev", faults={"server-error": Fault(calls=(2,))})
    assert "country" not in own_get("/me").json()
    assert own_get("/me").status_code == 500
    post(own_simulator, "behaviour", Behaviour().as_json())
    assert "country" in own_get("/me").json()


@pytest.mark.parametrize("body", [[], {"regime": "free"}, {"faults": {"sever-error": 1}}])
def test_a_behaviour_that_cannot_be_changes_nothing(simulator: RunningSimulator, body: object) -> None:
    response = post(simulator, "behaviour", body)
    assert response.status_code == 400
    assert response.json()["error"]
    assert simulator.behaviour == Behaviour()


def test_a_body_that_is_not_json_changes_nothing(simulator: RunningSimulator) -> None:
    response = requests.post(f"{simulator.base_url}/simulator/behaviour", data="{", timeout=10)
    assert (response.status_code, response.json()) == (400, {"error": "a behaviour is a JSON object"})


def test_it_starts_with_the_behaviour_it_is_given(world: World, user: SimulatedUser) -> None:
    with running_simulator(world, behaviour=Behaviour(rotation="always", quota=5)) as running:
        assert (running.behaviour.rotation, running.behaviour.quota) == ("always", 5)
        assert "refresh_token" in refresh(running, connect(running, user.id)["refresh_token"]).json()


def test_a_rotated_refresh_token_is_revoked_at_once(own_simulator: RunningSimulator, user: SimulatedUser) -> None:
    own_simulator.behave(rotation="always")
    first = connect(own_simulator, user.id)["refresh_token"]
    second = refresh(own_simulator, first).json()["refresh_token"]
    assert second != first
    late = refresh(own_simulator, first)
    assert (late.status_code, late.json()) == (400, REVOKED)
    assert refresh(own_simulator, second).json()["refresh_token"] != second


def test_a_rotated_token_dies_six_months_after_consent_all_the_same(world: World, user: SimulatedUser) -> None:
    clock = Clock(frozen_at=NOW)
    with running_simulator(world, clock=clock, behaviour=Behaviour(rotation="always")) as running:
        token = connect(running, user.id)["refresh_token"]
        clock.advance(timedelta(days=182))
        token = refresh(running, token).json()["refresh_token"]
        clock.advance(timedelta(days=1))
        assert refresh(running, token).json()["error_description"] == "Refresh token expired"


def test_random_rotation_sometimes_keeps_the_token_and_is_the_same_for_a_seed(
    world: World, user: SimulatedUser
) -> None:
    kept = []
    for _ in range(2):
        with running_simulator(world, behaviour=Behaviour(rotation="random")) as running:
            token, history = connect(running, user.id)["refresh_token"], []
            for _ in range(12):
                answer = refresh(running, token).json()
                history.append("refresh_token" in answer)
                token = answer.get("refresh_token", token)
            kept.append(history)
    assert kept[0] == kept[1]
    assert set(kept[0]) == {True, False}


def test_a_user_removes_the_app(own_simulator: RunningSimulator, world: World) -> None:
    gone, stays = (connect(own_simulator, person.id)["refresh_token"] for person in world.users[:2])
    assert post(own_simulator, "revocations", {"user_id": world.users[0].id}).status_code == 200
    assert refresh(own_simulator, gone).json() == REVOKED
    assert refresh(own_simulator, stays).status_code == 200
    assert refresh(own_simulator, connect(own_simulator, world.users[0].id)["refresh_token"]).status_code == 200


@pytest.mark.parametrize(("body", "code"), [({"user_id": "nobody"}, 404), ({}, 400), ([], 400), ("x", 400)])
def test_a_revocation_of_nobody_is_refused(simulator: RunningSimulator, body: object, code: int) -> None:
    response = post(simulator, "revocations", body)
    assert response.status_code == code
    assert response.json()["error"]
