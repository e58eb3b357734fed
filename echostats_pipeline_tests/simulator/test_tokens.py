"""Tokens: stateless, limited in time, and refused with Spotify's own messages."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.simulator.clock import Clock
from echostats_pipeline.simulator.tokens import Grant, OAuthError, TokenExpired, Tokens, refresh_deadline, s256

CONSENT = datetime(2025, 8, 31, 10, 0, tzinfo=UTC)
REDIRECT = "http://127.0.0.1:8888/callback"
VERIFIER = "v" * 43


@pytest.fixture
def clock() -> Clock:
    return Clock(frozen_at=CONSENT)


@pytest.fixture
def tokens(clock: Clock) -> Tokens:
    return Tokens(1, clock)


@pytest.fixture
def grant(tokens: Tokens) -> Grant:
    return tokens.redeem(tokens.authorize("ann", "client", REDIRECT, "a b"), "client", REDIRECT, None)


def test_tokens_survive_a_restart_with_the_same_seed_only(tokens: Tokens, clock: Clock, grant: Grant) -> None:
    access, refresh = tokens.access_token(grant), tokens.refresh_token(grant)
    assert Tokens(1, clock).accessed(access) == grant
    assert Tokens(1, clock).refreshed(refresh, "client") == grant
    assert Tokens(2, clock).accessed(access) is None


def test_two_tokens_of_one_grant_differ(tokens: Tokens, grant: Grant) -> None:
    assert tokens.access_token(grant) != tokens.access_token(grant)


def test_an_access_token_lives_one_hour(tokens: Tokens, clock: Clock, grant: Grant) -> None:
    access = tokens.access_token(grant)
    clock.advance(timedelta(seconds=3599))
    assert tokens.accessed(access) == grant
    clock.advance(timedelta(seconds=1))
    with pytest.raises(TokenExpired):
        tokens.accessed(access)


def test_a_refresh_token_dies_six_months_after_consent_and_refreshing_does_not_help(
    tokens: Tokens, clock: Clock, grant: Grant
) -> None:
    refresh = tokens.refresh_token(grant)
    clock.advance(datetime(2026, 2, 28, 9, 59, 59, tzinfo=UTC) - CONSENT)
    later = tokens.refresh_token(tokens.refreshed(refresh, "client"))
    clock.advance(timedelta(seconds=1))
    for token in (refresh, later):
        with pytest.raises(OAuthError, match="Refresh token expired") as caught:
            tokens.refreshed(token, "client")
        assert caught.value.code == "invalid_grant"


@pytest.mark.parametrize(
    ("authorized", "deadline"),
    [("2025-01-15", "2025-07-15"), ("2025-08-31", "2026-02-28"), ("2025-12-01", "2026-06-01")],
)
def test_six_months_are_calendar_months(authorized: str, deadline: str) -> None:
    assert refresh_deadline(datetime.fromisoformat(authorized)) == datetime.fromisoformat(deadline)


def test_removing_the_app_revokes_until_the_next_consent(tokens: Tokens, grant: Grant) -> None:
    refresh = tokens.refresh_token(grant)
    tokens.revoke("ann")
    with pytest.raises(OAuthError, match="Refresh token revoked"):
        tokens.refreshed(refresh, "client")
    again = tokens.redeem(tokens.authorize("ann", "client", REDIRECT, ""), "client", REDIRECT, None)
    assert tokens.refreshed(tokens.refresh_token(again), "client") == again


def test_a_code_is_good_once(tokens: Tokens) -> None:
    code = tokens.authorize("ann", "client", REDIRECT, "")
    tokens.redeem(code, "client", REDIRECT, None)
    with pytest.raises(OAuthError, match="Invalid authorization code"):
        tokens.redeem(code, "client", REDIRECT, None)


@pytest.mark.parametrize(
    ("client_id", "redirect", "verifier", "wait", "description"),
    [
        ("other", REDIRECT, VERIFIER, 0, "Invalid authorization code"),
        ("client", f"{REDIRECT}/", VERIFIER, 0, "Invalid redirect URI"),
        ("client", REDIRECT, "w" * 43, 0, "code_verifier was incorrect"),
        ("client", REDIRECT, None, 0, "code_verifier was incorrect"),
        ("client", REDIRECT, VERIFIER, 600, "Invalid authorization code"),
    ],
)
def test_a_code_is_bound_to_client_address_verifier_and_time(
    tokens: Tokens, clock: Clock, client_id: str, redirect: str, verifier: str | None, wait: int, description: str
) -> None:
    code = tokens.authorize("ann", "client", REDIRECT, "", s256(VERIFIER))
    clock.advance(timedelta(seconds=wait))
    with pytest.raises(OAuthError, match=description):
        tokens.redeem(code, client_id, redirect, verifier)


def test_the_challenge_is_that_of_rfc_7636() -> None:
    assert s256("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_one_kind_of_token_is_not_another(tokens: Tokens, grant: Grant) -> None:
    refresh = tokens.refresh_token(grant)
    assert tokens.accessed(refresh) is None
    assert tokens.accessed("BQ" + refresh[2:]) is None
    with pytest.raises(OAuthError, match="Invalid refresh token"):
        tokens.refreshed(tokens.access_token(grant), "client")
    with pytest.raises(OAuthError, match="Invalid refresh token"):
        tokens.refreshed(refresh, "another client")


@given(st.text())
def test_no_text_is_taken_for_a_token(text: str) -> None:
    tokens = Tokens(1, Clock(frozen_at=CONSENT))
    assert tokens.accessed(text) is None
    assert tokens.accessed(f"BQ{text}") is None


def test_a_clock_follows_real_time_unless_frozen() -> None:
    real = Clock()
    real.advance(timedelta(days=1))
    assert timedelta(hours=23) < real.now() - datetime.now(UTC) < timedelta(hours=25)
    frozen = Clock(frozen_at=CONSENT)
    assert frozen.now() == frozen.now() == CONSENT
