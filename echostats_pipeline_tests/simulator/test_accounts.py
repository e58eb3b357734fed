"""Sign-in over HTTP: the consent page, both flows, refusals."""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from echostats_pipeline.simulator.people import SimulatedUser
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline.simulator.tokens import s256
from echostats_pipeline_tests.simulator.conftest import REDIRECT_URI, connect, exchange

VERIFIER = "a-verifier_of~at.least-43-characters-0123456789"


def authorize(simulator: RunningSimulator, **query: str) -> requests.Response:
    asked = {"client_id": "client", "response_type": "code", "redirect_uri": REDIRECT_URI, "state": "s t&a", **query}
    return requests.get(f"{simulator.base_url}/authorize", params=asked, allow_redirects=False, timeout=10)


def answer(response: requests.Response) -> dict[str, str]:
    assert response.status_code == 302
    assert response.headers["Location"].startswith(f"{REDIRECT_URI}?")
    return {name: values[0] for name, values in parse_qs(urlsplit(response.headers["Location"]).query).items()}


def test_the_page_offers_every_user_and_a_click_brings_a_code(simulator: RunningSimulator) -> None:
    page = authorize(simulator, scope="user-top-read <b>")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "<b>" not in page.text
    links = [unescape(link) for link in re.findall(r'href="([^"]*)"', page.text)]
    assert len(links) == len(simulator.world.users) + 1
    followed = requests.get(f"{simulator.base_url}/authorize{links[0]}", allow_redirects=False, timeout=10)
    assert answer(followed).keys() == {"code", "state"}
    refused = requests.get(f"{simulator.base_url}/authorize{links[-1]}", allow_redirects=False, timeout=10)
    assert answer(refused) == {"error": "access_denied", "state": "s t&a"}


def test_login_as_consents_at_once(simulator: RunningSimulator, user: SimulatedUser) -> None:
    consented = answer(authorize(simulator, login_as=user.id, scope="user-top-read"))
    assert consented["state"] == "s t&a"
    tokens = exchange(
        simulator, grant_type="authorization_code", code=consented["code"], redirect_uri=REDIRECT_URI
    ).json()
    assert tokens.keys() == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert (tokens["token_type"], tokens["expires_in"], tokens["scope"]) == ("Bearer", 3600, "user-top-read")


def test_login_as_somebody_unknown_is_not_found(simulator: RunningSimulator) -> None:
    assert authorize(simulator, login_as="nobody").status_code == 404


@pytest.mark.parametrize(
    ("redirect_uri", "accepted"),
    [
        ("http://127.0.0.1:1234/x", True),
        ("http://[::1]:1234/x", True),
        ("https://example.org/x", True),
        ("myapp://callback", True),
        ("http://localhost:1234/x", False),
        ("http://example.org/x", False),
        ("", False),
    ],
)
def test_redirect_addresses_follow_the_rules_of_2025(
    simulator: RunningSimulator, user: SimulatedUser, redirect_uri: str, accepted: bool
) -> None:
    response = authorize(simulator, redirect_uri=redirect_uri, login_as=user.id)
    assert response.status_code == (302 if accepted else 400)
    assert accepted or response.text == "INVALID_CLIENT: Invalid redirect URI"


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": "x", "code_challenge_method": "plain"}, "invalid_request"),
    ],
)
def test_flows_that_no_longer_exist_are_refused(simulator: RunningSimulator, query: dict[str, str], error: str) -> None:
    assert answer(authorize(simulator, **query))["error"] == error


def test_a_missing_client_id_is_refused(simulator: RunningSimulator) -> None:
    response = authorize(simulator, client_id="")
    assert (response.status_code, response.text) == (400, "INVALID_CLIENT: Invalid client")


def test_pkce_needs_no_secret_neither_at_the_exchange_nor_at_a_refresh(
    simulator: RunningSimulator, user: SimulatedUser
) -> None:
    challenge = {"code_challenge": s256(VERIFIER), "code_challenge_method": "S256"}
    code = answer(authorize(simulator, login_as=user.id, **challenge))["code"]
    form = {"grant_type": "authorization_code", "redirect_uri": REDIRECT_URI, "client_id": "client", "code": code}
    tokens = exchange(simulator, auth=None, **form, code_verifier=VERIFIER).json()
    refreshed = exchange(
        simulator,
        auth=None,
        grant_type="refresh_token",
        refresh_token=tokens["refresh_token"],
        client_id="client",
    ).json()
    assert refreshed["access_token"] != tokens["access_token"]
    assert "refresh_token" not in refreshed


def test_credentials_may_stand_in_the_body(simulator: RunningSimulator, user: SimulatedUser) -> None:
    refresh_token = connect(simulator, user.id)["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": "client"}
    assert exchange(simulator, auth=None, **form, client_secret="secret").status_code == 200
    refused = exchange(simulator, auth=None, **form)
    assert refused.json() == {"error": "invalid_client", "error_description": "Invalid client secret"}


@pytest.mark.parametrize(
    ("auth", "form", "body"),
    [
        (None, {}, {"error": "invalid_client"}),
        (("", "secret"), {}, {"error": "invalid_client", "error_description": "Invalid client"}),
        (("client", ""), {}, {"error": "invalid_client", "error_description": "Invalid client secret"}),
        (
            ("client", "secret"),
            {"grant_type": "authorization_code", "code": "garbled"},
            {"error": "invalid_grant", "error_description": "Invalid authorization code"},
        ),
        (
            ("client", "secret"),
            {"grant_type": "refresh_token", "refresh_token": "garbled"},
            {"error": "invalid_grant", "error_description": "Invalid refresh token"},
        ),
    ],
)
def test_the_token_endpoint_refuses_in_oauth_shape(
    simulator: RunningSimulator, auth: tuple[str, str] | None, form: dict[str, str], body: dict[str, str]
) -> None:
    response = exchange(simulator, auth=auth, **form)
    assert (response.status_code, response.json()) == (400, body)


def test_an_unknown_grant_type_is_refused(simulator: RunningSimulator) -> None:
    assert exchange(simulator, grant_type="password").json()["error"] == "unsupported_grant_type"


def test_a_garbled_basic_header_is_an_invalid_client(simulator: RunningSimulator) -> None:
    headers = {"Authorization": "Basic !!!"}
    response = requests.post(f"{simulator.base_url}/api/token", headers=headers, timeout=10)
    assert response.json() == {"error": "invalid_client", "error_description": "Invalid client"}
