import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.errors import (
    AccessTokenRejected,
    AppRefused,
    EndpointRefused,
    InsufficientScope,
    NotFoundOnSpotify,
    PremiumRequired,
    RateLimited,
    ReauthorizationNeeded,
    RequestRefused,
    SpotifyError,
    SpotifyResponseError,
    SpotifyUnavailable,
    UserNotRegistered,
)
from echostats_pipeline.spotify.responses import error_of, explanation, json_object
from echostats_pipeline.spotify.transport import Request, Response
from echostats_pipeline_tests.spotify.fake_transport import answer

REQUEST = Request("GET", "https://api.spotify.com/v1/me", purpose="reading the user's profile")
TOKEN_CALL = Request("POST", "https://accounts.spotify.com/api/token", form={"refresh_token": "AQ-canary-9"})

NOT_REGISTERED = "User not registered in the Developer Dashboard"
CHECK_SETTINGS = "Check settings on developer.spotify.com/dashboard, the user may not be registered."
OWNER = (
    "Active premium subscription required for the owner of the app. When the subscription status changes, "
    "it can take a few hours before requests are allowed again."
)
Meaning = type[SpotifyResponseError]
WEB_API_MESSAGES: list[tuple[int, str, Meaning]] = [
    (400, "Only valid bearer authentication supported", RequestRefused),
    (400, "Invalid limit", RequestRefused),
    (400, "invalid id", NotFoundOnSpotify),
    (400, "Invalid base62 id", NotFoundOnSpotify),
    (400, "Too many ids requested", RequestRefused),
    (401, "The access token expired", AccessTokenRejected),
    (401, "Invalid access token", AccessTokenRejected),
    (401, "No token provided", AccessTokenRejected),
    (401, "Missing/invalid/expired access token", AccessTokenRejected),
    (401, "Permissions missing", InsufficientScope),
    (403, "Insufficient client scope", InsufficientScope),
    (403, NOT_REGISTERED, UserNotRegistered),
    (403, CHECK_SETTINGS, UserNotRegistered),
    (403, CHECK_SETTINGS.replace("on dev", "on https://dev"), UserNotRegistered),
    (403, OWNER, PremiumRequired),
    (403, "Forbidden", EndpointRefused),
    (404, "Not Found", NotFoundOnSpotify),
    (404, "Resource not found", NotFoundOnSpotify),
    (404, "Non existing id", NotFoundOnSpotify),
    (429, "API rate limit exceeded", RateLimited),
    (429, "Too many requests", RateLimited),
    (500, "Internal server error", SpotifyUnavailable),
    (503, "Service unavailable", SpotifyUnavailable),
]
PERMANENT: dict[Meaning, str] = {
    AccessTokenRejected: "user",
    AppRefused: "app",
    EndpointRefused: "endpoint",
    InsufficientScope: "user",
    NotFoundOnSpotify: "endpoint",
    RequestRefused: "endpoint",
    UserNotRegistered: "user",
}
TRANSIENT: dict[Meaning, str] = {
    PremiumRequired: "app",
    RateLimited: "endpoint",
    SpotifyUnavailable: "endpoint",
    SpotifyResponseError: "endpoint",
}


def bodies(status: int, message: str) -> list[object]:
    """Every form in which a message may come."""
    error = {"status": status, "message": message}
    return [{"error": error}, {"error": error | {"reason": "ANY"}}, {"error": message}, message, f"  {message}\n"]


@pytest.mark.parametrize(("status", "message", "meaning"), WEB_API_MESSAGES)
def test_an_error_has_one_meaning_in_every_shape(status: int, message: str, meaning: Meaning) -> None:
    for body in [*bodies(status, message), *bodies(status, message.upper())]:
        assert type(error_of(REQUEST, answer(body, status))) is meaning, body
    error = error_of(REQUEST, answer(message, status))
    affects = (PERMANENT | TRANSIENT)[meaning]
    assert (error.permanent, error.affects) == (meaning in PERMANENT, affects)


@pytest.mark.parametrize(("status", "headers"), [
    (403, {"WWW-Authenticate": 'Bearer realm="spotify", error="insufficient_scope", error_description="x"'}),
    (401, {"www-authenticate": 'Bearer error="insufficient_scope"'}),
])  # fmt: skip
def test_a_missing_scope_is_told_by_the_challenge_too(status: int, headers: dict[str, str]) -> None:
    assert type(error_of(REQUEST, answer(b"", status, headers))) is InsufficientScope


@pytest.mark.parametrize("body", [{"error": {"status": 403}}, b"", {"error": {"status": 403, "message": None}}])
def test_a_refusal_without_words_is_about_the_endpoint(body: object) -> None:
    assert type(error_of(REQUEST, answer(body, 403))) is EndpointRefused


def test_a_page_that_forbids_says_nothing_about_the_endpoint() -> None:
    assert type(error_of(REQUEST, answer(b"\n<html>Forbidden", 403))) is RequestRefused


@pytest.mark.parametrize(
    ("status", "meaning"), [(302, RequestRefused), (418, RequestRefused), (101, SpotifyResponseError)]
)
def test_any_other_status_has_a_meaning(status: int, meaning: Meaning) -> None:
    assert type(error_of(REQUEST, answer(b"", status))) is meaning


@pytest.mark.parametrize(("status", "meaning"), [
    (401, RequestRefused), (403, RequestRefused), (404, RequestRefused), (429, RateLimited), (502, SpotifyUnavailable)
])  # fmt: skip
def test_an_error_of_reccobeats_is_not_spotifys(status: int, meaning: Meaning) -> None:
    request = Request("GET", "https://api.reccobeats.com/v1/audio-features", service="reccobeats")
    error = error_of(request, answer({"error": NOT_REGISTERED}, status))
    assert type(error) is meaning
    assert str(error).startswith(f"ReccoBeats answered {status} (")
    assert "Spotify" not in str(error)


@pytest.mark.parametrize("meaning", PERMANENT | TRANSIENT)
def test_every_meaning_says_what_to_do(meaning: Meaning) -> None:
    shapes = {AppRefused: (400, {"error": "invalid_client"}), SpotifyResponseError: (101, "")}
    shapes |= {kind: (status, message) for status, message, kind in reversed(WEB_API_MESSAGES)}
    status, body = shapes[meaning]
    what, _, following = str(error_of(REQUEST, answer(body, status))).partition(" while reading the user's profile. ")
    assert what.startswith(f"Spotify answered {status} (")
    assert len(following) > 30
    assert "{" not in following


@pytest.mark.parametrize(("status", "message", "meaning"), WEB_API_MESSAGES)
def test_a_web_api_error_keeps_spotifys_message(status: int, message: str, meaning: Meaning) -> None:
    error = error_of(REQUEST, answer({"error": {"status": status, "message": message}}, status))
    assert isinstance(error, SpotifyResponseError)
    assert (error.status_code, error.reason) == (status, "")
    for part in (message[:190], str(status), "GET /v1/me", "reading the user's profile"):
        assert part in str(error)


def test_an_exhausted_quota_is_told_by_its_reason() -> None:
    body = {"error": {"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"}}
    error = error_of(REQUEST, answer(body, 429, {"retry-after": "48925"}))
    assert isinstance(error, SpotifyResponseError)
    assert error.reason == "QUOTA_EXCEEDED"
    assert "Retry-After: 48925" in str(error)


@pytest.mark.parametrize(
    ("status", "text"), [(403, NOT_REGISTERED), (403, CHECK_SETTINGS), (403, OWNER), (429, "Too many requests")]
)
def test_a_plain_text_error_keeps_its_text(status: int, text: str) -> None:
    assert explanation(REQUEST, answer(text, status)) == (text, "")


@pytest.mark.parametrize("body", [b"", b"<!doctype html><p>Bad gateway", b'{"error":{"status":403}}', b"null", b"[1]"])
def test_an_error_without_words_still_says_what_where_and_next(body: bytes) -> None:
    message = str(error_of(REQUEST, answer(body, 502)))
    assert message == (
        "Spotify answered 502 (no reason given) to GET /v1/me while reading the user's profile. "
        "The problem is on Spotify's side; try again later."
    )


DESCRIPTIONS = ["Refresh token expired", "Refresh token revoked", "Invalid refresh token", "Invalid authorization code"]


@pytest.mark.parametrize("description", [*DESCRIPTIONS, "something new", None])
def test_invalid_grant_needs_a_new_consent_whatever_its_description(description: str | None) -> None:
    error = error_of(TOKEN_CALL, answer({"error": "invalid_grant", "error_description": description}, 400))
    assert isinstance(error, ReauthorizationNeeded)
    assert "connect the Spotify account again" in str(error)
    assert (description or "") in str(error)


@pytest.mark.parametrize("description", ["Invalid client", "Invalid client secret", None, "Refresh token revoked"])
def test_another_oauth_error_is_no_lost_consent(description: str | None) -> None:
    error = error_of(TOKEN_CALL, answer({"error": "invalid_client", "error_description": description}, 400))
    assert isinstance(error, AppRefused)
    assert (error.reason, error.permanent) == ("invalid_client", True)
    assert "SPOTIFY_CLIENT_SECRET" in str(error)


def test_a_failing_token_endpoint_does_not_cost_the_consent() -> None:
    assert isinstance(error_of(TOKEN_CALL, answer({"error": "invalid_grant"}, 503)), SpotifyUnavailable)
    assert isinstance(error_of(TOKEN_CALL, answer({"error": "invalid_client"}, 503)), SpotifyUnavailable)


def test_an_error_that_echoes_a_credential_does_not_pass_it_on() -> None:
    error = error_of(TOKEN_CALL, answer({"error": "bad", "error_description": "unknown AQ-canary-9 token"}, 400))
    assert "canary" not in str(error)


@given(body=st.binary(max_size=80), status=st.integers(100, 599))
def test_any_body_of_any_status_is_an_object_or_a_spotify_error(body: bytes, status: int) -> None:
    response = Response(status, {}, body)
    with contextlib.suppress(SpotifyError):
        assert isinstance(json_object(REQUEST, response), dict)
        assert response.ok
    assert str(error_of(REQUEST, response)).isprintable()


@pytest.mark.parametrize("body", [b"", b"access_token=canary", b'["canary"]', b"\xff"])
def test_a_success_without_an_object_is_an_error_that_quotes_nothing(body: bytes) -> None:
    with pytest.raises(SpotifyResponseError) as error:
        json_object(REQUEST, answer(body))
    assert "canary" not in str(error.value)
    assert error.value.__suppress_context__ or error.value.__context__ is None
