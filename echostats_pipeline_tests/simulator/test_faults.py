"""Faults of whole responses: which calls are affected, and what these calls get."""

from collections.abc import Callable
from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.simulator.behaviour import FAMILIES, FAULTS, Fault
from echostats_pipeline.simulator.faults import FaultDice
from echostats_pipeline.simulator.people import SimulatedUser
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline.simulator.world import World
from echostats_pipeline_tests.simulator.conftest import NOW, Get, exchange, getter

NAMES = st.sampled_from(list(FAULTS))
DISCONNECTED = 0


def status(send: Callable[[], requests.Response]) -> int:
    try:
        return send().status_code
    except requests.ConnectionError:
        return DISCONNECTED


@given(NAMES, st.integers(0, 99), st.floats(0, 1), st.sets(st.integers(1, 80)))
def test_a_seed_decides_which_calls_are_struck(name: str, seed: int, rate: float, calls: set[int]) -> None:
    faults = {name: Fault(rate=rate, calls=tuple(calls))}
    one, same = FaultDice(seed, faults), FaultDice(seed, faults)
    struck = [one.strike(name) for _ in range(80)]
    assert struck == [same.strike(name) for _ in range(80)]
    assert all(struck[number - 1] is not None for number in calls)
    if rate == 0:
        assert sum(variant is not None for variant in struck) == len(calls)


@given(NAMES, st.integers(0, 99), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_rate_strikes_the_same_calls_and_more(name: str, seed: int, one: float, two: float) -> None:
    low, high = (FaultDice(seed, {name: Fault(rate=rate)}) for rate in sorted((one, two)))
    struck = [(low.strike(name), high.strike(name)) for _ in range(50)]
    assert all(more is not None for fewer, more in struck if fewer is not None)


@given(NAMES, st.integers(0, 99))
def test_rates_of_one_and_zero_are_always_and_never_and_variants_take_turns(name: str, seed: int) -> None:
    always, never = FaultDice(seed, {name: Fault(rate=1)}), FaultDice(seed, {name: Fault()})
    kinds = FAULTS[name].variants
    assert [always.strike(name) for _ in range(2 * len(kinds))] == [*kinds, *kinds]
    assert {never.strike(name) for _ in range(50)} == {None}


@given(st.sampled_from(FAMILIES), st.sampled_from(FAMILIES))
def test_calls_of_other_families_are_neither_struck_nor_counted(struck: str, called: str) -> None:
    dice = FaultDice(1, {"slow": Fault(calls=(1,), families=(struck,))})
    assert (dice.strike("slow", called) is not None) == (struck == called)
    assert (dice.strike("slow", struck) is not None) == (struck != called)


def test_about_as_many_calls_are_struck_as_the_rate_says() -> None:
    dice = FaultDice(1, {"server-error": Fault(rate=0.1)})
    assert 150 < sum(dice.strike("server-error") is not None for _ in range(2000)) < 250


def test_numbers_begin_anew_when_a_behaviour_is_set(own_simulator: RunningSimulator, own_get: Get) -> None:
    own_get("/me")
    for _ in range(2):
        own_simulator.behave(faults={"server-error": Fault(calls=(2,), variants=("503-json",))})
        assert [own_get("/me").status_code for _ in range(3)] == [200, 503, 200]


@pytest.mark.parametrize("variant", FAULTS["server-error"].variants)
def test_servers_fail_in_every_status_and_form(own_simulator: RunningSimulator, own_get: Get, variant: str) -> None:
    own_simulator.behave(faults={"server-error": Fault(rate=1, variants=(variant,))})
    response = own_get("/me")
    code, form = int(variant[:3]), variant[4:]
    assert response.status_code == code
    if form == "json":
        assert response.json()["error"]["status"] == code
    else:
        assert response.text.startswith("<html>") if form == "html" else response.content == b""


def test_every_pair_of_status_and_form_occurs() -> None:
    forms = {f"{code}-{form}" for code in (500, 502, 503, 504) for form in ("json", "html", "empty")}
    assert set(FAULTS["server-error"].variants) == forms


@pytest.mark.parametrize("variant", FAULTS["rate-limit"].variants)
def test_too_many_requests_come_with_every_odd_retry_after(
    own_simulator: RunningSimulator, own_get: Get, variant: str
) -> None:
    own_simulator.behave(faults={"rate-limit": Fault(rate=1, variants=(variant,))})
    response = own_get("/me")
    retry_after = response.headers.get("Retry-After")
    assert response.status_code == 429
    match variant:
        case "missing":
            assert (retry_after, response.content) == (None, b"")
        case "http-date":
            assert parsedate_to_datetime(retry_after) - NOW == timedelta(seconds=2)
        case "zero":
            assert retry_after == "0"
        case "13749" | "86236":
            assert retry_after == variant
        case "text":
            assert response.text == "Too many requests"
        case _:
            assert (retry_after, response.json()["error"]["message"]) == ("2", "API rate limit exceeded")


@pytest.mark.parametrize(
    ("fault", "variant", "code", "body"),
    [
        ("unauthorized", "classic", 401, {"error": {"status": 401, "message": "The access token expired"}}),
        ("unauthorized", "2026", 401, {"error": {"status": 401, "message": "Missing/invalid/expired access token"}}),
        ("not-registered", "dashboard", 403, "User not registered in the Developer Dashboard"),
        (
            "not-registered",
            "settings",
            403,
            "Check settings on developer.spotify.com/dashboard, the user may not be registered.",
        ),
        ("premium-required", "text", 403, "Active premium subscription required for the owner of the app. When the"),
    ],
)
def test_refusals_are_in_spotifys_words(
    own_simulator: RunningSimulator, own_get: Get, fault: str, variant: str, code: int, body: object
) -> None:
    own_simulator.behave(faults={fault: Fault(rate=1, variants=(variant,))})
    response = own_get("/me")
    assert response.status_code == code
    if isinstance(body, str):
        assert response.text.startswith(body)
        assert response.headers["Content-Type"].startswith("text/plain")
    else:
        assert response.json() == body
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]


def test_a_connection_closes_without_an_answer_and_the_next_one_works(
    own_simulator: RunningSimulator, own_get: Get, capfd: pytest.CaptureFixture[str]
) -> None:
    own_simulator.behave(faults={"disconnect": Fault(calls=(1, 3))})
    assert [status(lambda: own_get("/me")) for _ in range(4)] == [DISCONNECTED, 200, DISCONNECTED, 200]
    assert capfd.readouterr().err == "", "the server takes it for nothing unusual"


def test_a_slow_answer_is_a_right_one(own_simulator: RunningSimulator, own_get: Get) -> None:
    before = own_get("/me").json()
    own_simulator.behave(faults={"slow": Fault(rate=1)}, slow_seconds=0.01)
    assert own_get("/me").json() == before


def test_a_slow_answer_meets_an_impatient_client(own_simulator: RunningSimulator, user: SimulatedUser) -> None:
    own_simulator.behave(faults={"slow": Fault(calls=(1,))}, slow_seconds=1)
    code = own_simulator.consent(user.id, client_id="client", redirect_uri="https://x", scope="")
    token = own_simulator.tokens.access_token(own_simulator.tokens.redeem(code, "client", "https://x", None))
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{own_simulator.base_url}/v1/me", headers={"Authorization": f"Bearer {token}"}, timeout=0.2)


def test_a_truncated_body_is_a_success_that_cannot_be_read(own_simulator: RunningSimulator, own_get: Get) -> None:
    whole = own_get("/me").content
    own_simulator.behave(faults={"truncated-json": Fault(calls=(1,))})
    response = own_get("/me")
    assert response.status_code == 200
    assert response.content == whole[: len(whole) // 2]
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        response.json()
    assert own_get("/me").content == whole


def test_an_unfinished_token_call_loses_no_token(own_simulator: RunningSimulator, user: SimulatedUser) -> None:
    own_simulator.behave(faults={"token-error": Fault(calls=(2,), variants=("502-html",))}, rotation="always")
    code = own_simulator.consent(user.id, client_id="client", redirect_uri="https://x", scope="")
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": "https://x"}
    refresh = {"grant_type": "refresh_token", "refresh_token": exchange(own_simulator, **form).json()["refresh_token"]}
    assert [exchange(own_simulator, **refresh).status_code for _ in range(2)] == [502, 200]


def test_a_user_outside_the_allow_list_signs_in_and_is_refused(own_simulator: RunningSimulator, world: World) -> None:
    first, second = (getter(own_simulator, person.id) for person in world.users[:2])
    own_simulator.behave(allowed_users=frozenset({world.users[1].id}))
    refused = first("/me")
    assert (refused.status_code, refused.text) == (
        403,
        "Check settings on https://developer.spotify.com/dashboard, the user may not be registered.",
    )
    assert second("/me").status_code == 200


def test_without_premium_of_the_owner_every_call_fails(own_simulator: RunningSimulator, own_get: Get) -> None:
    own_simulator.behave(premium_owner=False)
    for path in ("/me", "/me/tracks", "/me/player/recently-played"):
        assert own_get(path).status_code == 403
        assert own_get(path).json()["error"]["message"].startswith("Active premium subscription required")
