import base64
import re
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from echostats_pipeline.errors import ConsentNotGiven, ReauthorizationNeeded, SpotifyResponseError
from echostats_pipeline.spotify.oauth import (
    SCOPES,
    SpotifyApp,
    TokenGrant,
    authorize_url,
    challenge,
    code_from_redirect,
    exchange_code,
    new_verifier,
    refresh,
)
from echostats_pipeline_tests.spotify.fake_transport import Script, answer

REDIRECT = "http://127.0.0.1:8888/callback"
PKCE = SpotifyApp(client_id="id1", redirect_uri=REDIRECT)
SECRET = SpotifyApp(client_id="id1", redirect_uri=REDIRECT, client_secret=SecretStr("canary-secret"))
GRANT = {
    "access_token": "BQ-canary",
    "token_type": "Bearer",
    "expires_in": 3600,
    "refresh_token": "AQ-canary",
    "scope": "user-read-recently-played user-library-read",
}


def test_the_challenge_is_that_of_rfc_7636() -> None:
    assert challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_verifiers_are_fresh_and_of_the_allowed_form() -> None:
    verifiers = {new_verifier() for _ in range(50)}
    assert len(verifiers) == 50
    assert all(re.fullmatch(r"[A-Za-z0-9_.~-]{43,128}", verifier) for verifier in verifiers)


@given(state=st.text(min_size=1))
def test_an_authorize_url_carries_every_parameter_intact(state: str) -> None:
    url = urlsplit(authorize_url(SECRET, state=state))
    assert f"{url.scheme}://{url.netloc}{url.path}" == "https://accounts.spotify.com/authorize"
    assert parse_qs(url.query) == {
        "client_id": ["id1"],
        "response_type": ["code"],
        "redirect_uri": [REDIRECT],
        "scope": [" ".join(SCOPES)],
        "state": [state],
    }


def test_an_authorize_url_for_pkce_adds_the_challenge() -> None:
    query = parse_qs(urlsplit(authorize_url(PKCE, state="s", code_challenge="c")).query)
    assert (query["code_challenge_method"], query["code_challenge"]) == (["S256"], ["c"])


@given(code=st.text(min_size=1), state=st.text(min_size=1))
def test_the_code_of_this_attempt_is_found(code: str, state: str) -> None:
    address = f" {REDIRECT}?{urlencode({'code': code, 'state': state})}#_=_\n"
    assert code_from_redirect(PKCE, address, state=state) == code
    assert code_from_redirect(PKCE, f"/callback?{urlencode({'state': state, 'code': code})}", state=state) == code


REFUSALS = [
    (f"{REDIRECT}?error=access_denied&state=s", "did not grant access: .* choose Agree"),
    (f"{REDIRECT}?error=access_denied", "did not grant access: .* choose Agree"),
    (f"{REDIRECT}?error=server_error&state=s", "in a few minutes"),
    (f"{REDIRECT}?error=temporarily_unavailable&state=s", "in a few minutes"),
    (f"{REDIRECT}?error=invalid_scope&state=s", "Update echostats_pipeline"),
    (f"{REDIRECT}?error=unauthorized_client&state=s", "developer.spotify.com/dashboard"),
    (f"{REDIRECT}?error=invalid_redirect_uri&state=s", f"address {REDIRECT} of this app. Add exactly"),
    ("INVALID_CLIENT: Invalid redirect URI", "Add exactly this address"),
    ("INVALID_CLIENT: Insecure redirect URI", "Add exactly this address"),
    (f"{REDIRECT}?error=something%0Anew&state=s", "\\(something new\\)"),
    (f"{REDIRECT}?code=canary&state=another", "another attempt"),
    (f"{REDIRECT}?code=canary", "another attempt"),
    (f"{REDIRECT}?code=canary&state=s&state=s", "another attempt"),
    (f"{REDIRECT}?code=canary&code=canary&state=s", "holds no code"),
    (f"{REDIRECT}?state=s", "holds no code"),
    (f"{REDIRECT}?code=&state=s", "holds no code"),
    ("https://accounts.spotify.com/en/login?continue=https%3A%2F%2Faccounts.spotify.com%2Fauthorize", "holds no code"),
    ("https://[broken", "holds no code"),
    ("canary", "holds no code"),
    ("", "holds no code"),
]


@pytest.mark.parametrize(("address", "advice"), REFUSALS)
def test_an_attempt_without_a_code_says_what_to_do(address: str, advice: str) -> None:
    with pytest.raises(ConsentNotGiven, match=advice) as error:
        code_from_redirect(PKCE, address, state="s")
    assert error.value.permanent
    assert str(error.value).isprintable()
    assert "canary" not in str(error.value)


@given(address=st.text(), state=st.text(min_size=1))
def test_any_address_is_a_code_or_an_advice(address: str, state: str) -> None:
    with pytest.raises(ConsentNotGiven):
        code_from_redirect(PKCE, address, state=state)


def test_a_code_is_exchanged_with_basic_authentication_when_there_is_a_secret() -> None:
    script = Script(answer(GRANT))
    grant = exchange_code(script, SECRET, code="c1", user_id="u1")
    request = script.asked[0]
    assert (request.method, request.url) == ("POST", "https://accounts.spotify.com/api/token")
    assert request.form == {"grant_type": "authorization_code", "code": "c1", "redirect_uri": REDIRECT}
    assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")) == b"id1:canary-secret"
    assert request.user_id == "u1"
    assert grant.access_token.get_secret_value() == "BQ-canary"
    assert grant.refresh_token == SecretStr("AQ-canary")
    assert (grant.expires_in, grant.scope) == (3600, GRANT["scope"])


def test_a_code_is_exchanged_with_the_verifier_when_there_is_no_secret() -> None:
    script = Script(answer(GRANT))
    exchange_code(script, PKCE, code="c1", verifier="v1")
    assert script.asked[0].form["client_id"] == "id1"
    assert script.asked[0].form["code_verifier"] == "v1"
    assert script.asked[0].headers == {}


@pytest.mark.parametrize(("app", "extra"), [(SECRET, {}), (PKCE, {"client_id": "id1"})])
def test_a_refresh_names_the_app_in_the_way_of_its_flow(app: SpotifyApp, extra: dict[str, str]) -> None:
    script = Script(answer(GRANT))
    refresh(script, app, refresh_token="r1")
    assert script.asked[0].form == {"grant_type": "refresh_token", "refresh_token": "r1", **extra}
    assert bool(script.asked[0].headers) is (app is SECRET)


@pytest.mark.parametrize("absent", [{"refresh_token": None}, {"refresh_token": ""}, {}])
def test_a_grant_without_a_refresh_token_is_usable(absent: dict[str, str | None]) -> None:
    body = {"access_token": "BQ", "expires_in": 3600, "scope": None, "something_new": 1} | absent
    grant = refresh(Script(answer(body)), PKCE, refresh_token="r1")
    assert (grant.refresh_token, grant.scope) == (None, "")


def test_a_lost_consent_is_told_apart() -> None:
    body = {"error": "invalid_grant", "error_description": "Refresh token revoked"}
    with pytest.raises(ReauthorizationNeeded):
        refresh(Script(answer(body, 400)), PKCE, refresh_token="r1")


@pytest.mark.parametrize(
    "wrong",
    [{"access_token": None}, {"access_token": ""}, {"access_token": "a\nb"}, {"expires_in": 0}, {"expires_in": "soon"}],
)
def test_an_unusable_grant_names_the_field_and_shows_no_token(wrong: dict[str, object]) -> None:
    with pytest.raises(SpotifyResponseError) as error:
        refresh(Script(answer(GRANT | wrong)), PKCE, refresh_token="r1")
    assert next(iter(wrong)) in str(error.value)
    assert "canary" not in str(error.value)
    assert error.value.__suppress_context__


def test_no_token_or_secret_shows_in_a_repr() -> None:
    with pytest.raises(ValidationError) as error:
        TokenGrant.model_validate(GRANT | {"refresh_token": ["AQ-canary"], "scope": 5})
    assert "canary" not in repr(TokenGrant.model_validate(GRANT)) + repr(SECRET) + str(error.value)
