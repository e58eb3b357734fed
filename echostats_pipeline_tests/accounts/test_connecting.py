"""Users' tokens: used while valid, renewed once when they expire, dropped when the consent is gone."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr

from echostats_pipeline.accounts import connecting
from echostats_pipeline.accounts.connecting import (
    StoredTokens,
    configured_spotify,
    connect_account,
    reached,
    store_grant,
    token_cipher,
)
from echostats_pipeline.errors import (
    DecryptionError,
    NotFoundError,
    ReauthorizationNeeded,
    SettingsError,
    SpotifyResponseError,
    SpotifyUnavailable,
    SpotifyUnreachable,
)
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import load_settings
from echostats_pipeline.simulator.behaviour import FAULTS, ROTATIONS, Fault, Rotation
from echostats_pipeline.spotify.oauth import TokenGrant
from echostats_pipeline.spotify.quota import Budget
from echostats_pipeline.storage import users as user_storage
from echostats_pipeline.storage.users import LEASE
from echostats_pipeline_tests.conftest import NOW, Installation
from echostats_pipeline_tests.integration.processes import eventually


def calls(installation: Installation, user: User) -> list[tuple[str, int]]:
    found = installation.store.db["api_logs"].find({"user_id": user.user_id}).sort("_id")
    return [(call["endpoint"].partition("?")[0], call["status_code"]) for call in found]


def access_token(installation: Installation, user: User) -> str:
    stored = installation.store.users.tokens(user.user_id)
    return token_cipher(installation.settings).decrypt(stored.access_token_encrypted, user.user_id)


def spoil_access_token(installation: Installation, user: User) -> None:
    stored = installation.store.users.tokens(user.user_id)
    wrong = token_cipher(installation.settings).encrypt("BQ-wrong", user.user_id)
    installation.store.users.store_tokens(stored.model_copy(update={"access_token_encrypted": wrong}))


def test_a_consent_becomes_a_user_with_encrypted_tokens(installation: Installation) -> None:
    user = installation.connect()
    person = installation.person(user)
    assert (user.display_name, user.country, user.product) == (person.display_name, person.country, person.product)
    assert (user.timezone, user.simulated, user.authorized_at) == (person.timezone, True, NOW)
    stored = installation.store.users.tokens(user.user_id)
    assert stored.expires_at == NOW + timedelta(hours=1)
    assert "user-read-recently-played" in stored.scope
    for value in (stored.access_token_encrypted, stored.refresh_token_encrypted):
        assert value.startswith("v1.")
        with pytest.raises(DecryptionError):
            token_cipher(installation.settings).decrypt(value, "someone else")


def test_connecting_again_renews_the_same_user(installation: Installation) -> None:
    first, before = installation.connect(), installation.store.db["spotify_tokens"].find_one()
    installation.store.users.set_status(first.user_id, "needs_reauth")
    again = installation.connect()
    assert again == first
    assert installation.store.db["spotify_tokens"].find_one() != before
    assert installation.store.db["spotify_tokens"].count_documents({}) == 1


def test_a_code_is_good_once(installation: Installation) -> None:
    code, verifier = installation.consent(installation.simulator.world.users[0])

    def connect(verifier: str) -> User:
        return connect_account(
            installation.settings, installation.store, code=code, verifier=verifier, timezone="UTC", now=NOW
        )

    with pytest.raises(ReauthorizationNeeded):
        connect("x" * 64)
    connect(verifier)
    with pytest.raises(ReauthorizationNeeded):
        connect(verifier)
    assert len(installation.store.users.all()) == 1


def test_a_token_that_is_good_is_used_without_a_refresh(installation: Installation) -> None:
    user = installation.connect()
    for _ in range(2):
        with installation.client(user) as client:
            client.me()
    assert calls(installation, user) == [("/v1/me", 200)] * 2


@pytest.mark.parametrize("age", [timedelta(minutes=59, seconds=1), timedelta(hours=1), timedelta(days=150)])
def test_a_token_that_ends_is_refreshed_first_and_kept_for_all(installation: Installation, age: timedelta) -> None:
    user = installation.connect()
    before = installation.store.users.tokens(user.user_id)
    installation.clock.advance(age)
    for _ in range(2):
        with installation.client(user) as client:
            client.me()
    after = installation.store.users.tokens(user.user_id)
    assert calls(installation, user) == [("/api/token", 200), ("/v1/me", 200), ("/v1/me", 200)]
    assert after.refresh_token_encrypted == before.refresh_token_encrypted
    assert after.expires_at == installation.now() + timedelta(hours=1)
    assert after.access_token_encrypted != before.access_token_encrypted


def test_a_rejected_token_is_renewed_and_the_call_repeated_once(installation: Installation) -> None:
    user = installation.connect()
    spoil_access_token(installation, user)
    with installation.client(user) as client:
        assert client.me()["id"] == user.spotify_id
    assert calls(installation, user) == [("/v1/me", 401), ("/api/token", 200), ("/v1/me", 200)]


def test_a_token_that_another_process_has_renewed_is_used_without_a_refresh(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = installation.connect()
    good = installation.store.users.tokens(user.user_id)
    spoil_access_token(installation, user)
    renewed = StoredTokens.renewed_token

    def overtaken(self: StoredTokens, rejected: str) -> str:
        installation.store.users.store_tokens(good)
        return renewed(self, rejected)

    monkeypatch.setattr(StoredTokens, "renewed_token", overtaken)
    with installation.client(user) as client:
        client.me()
    assert calls(installation, user) == [("/v1/me", 401), ("/v1/me", 200)]


@pytest.mark.parametrize("gone", ["revoked", "expired"])
def test_without_consent_a_user_needs_to_connect_again_and_others_go_on(installation: Installation, gone: str) -> None:
    user, other = installation.connect(0), installation.connect(1)
    if gone == "revoked":
        installation.simulator.tokens.revoke(user.spotify_id)
        installation.clock.advance(timedelta(hours=2))
    else:
        installation.clock.advance(timedelta(days=200))
        other = installation.connect(1)
    with pytest.raises(ReauthorizationNeeded, match="connect"), installation.client(user) as client:
        client.me()
    assert calls(installation, user) == [("/api/token", 400)]
    statuses = {each.user_id: each.status for each in installation.store.users.all()}
    assert statuses == {user.user_id: "needs_reauth", other.user_id: "active"}
    with installation.client(other) as client:
        client.me()
    assert installation.connect(0).status == "active"


def test_a_wrong_encryption_key_is_said_and_costs_nobody_their_consent(
    installation: Installation, new_settings: Callable[..., Mapping[str, str]]
) -> None:
    user = installation.connect()
    other_key = load_settings(new_settings(ENCRYPTION_KEY="ab" * 32), env_file=None)
    wrong = replace(installation, settings=other_key)
    with pytest.raises(DecryptionError, match="ENCRYPTION_KEY"), wrong.client(user) as client:
        client.me()
    assert installation.store.users.find(user.partition_key).status == "active"
    with installation.client(user) as client:
        client.me()


def test_a_user_without_tokens_is_told_to_connect(installation: Installation) -> None:
    user = installation.store.users.connect({"spotify_id": "x"}, authorized_at=NOW, simulated=True)
    with pytest.raises(NotFoundError, match="echostats connect"), installation.client(user) as client:
        client.me()


def grant(refresh_token: str | None) -> TokenGrant:
    token = None if refresh_token is None else SecretStr(refresh_token)
    return TokenGrant(access_token=SecretStr("access"), refresh_token=token, expires_in=60, scope="")


def test_a_refresh_token_that_comes_with_a_refresh_replaces_the_present_one(installation: Installation) -> None:
    user, users, cipher = installation.connect(), installation.store.users, token_cipher(installation.settings)
    before = users.tokens(user.user_id)
    store_grant(users, cipher, user, grant(None), NOW, previous=before)
    kept = users.tokens(user.user_id)
    assert (kept.refresh_token_encrypted, kept.scope) == (before.refresh_token_encrypted, before.scope)
    store_grant(users, cipher, user, grant("new"), NOW, previous=kept)
    assert cipher.decrypt(users.tokens(user.user_id).refresh_token_encrypted, user.user_id) == "new"


def test_a_consent_without_a_refresh_token_stores_nothing(installation: Installation) -> None:
    user = installation.store.users.connect({"spotify_id": "x"}, authorized_at=NOW, simulated=True)
    with pytest.raises(ReauthorizationNeeded):
        store_grant(installation.store.users, token_cipher(installation.settings), user, grant(None), NOW)
    assert installation.store.db["spotify_tokens"].count_documents({}) == 0


def test_what_echostats_has_written_is_written_back_in_its_own_form(installation: Installation) -> None:
    user, users, cipher = installation.connect(), installation.store.users, token_cipher(installation.settings)
    stored = users.tokens(user.user_id)
    nonce, sealed = cipher._sealed("theirs", None)
    theirs = stored.model_copy(update={"refresh_token_encrypted": f"{nonce.hex()}:{sealed.hex()}"})
    store_grant(users, cipher, user, grant("new"), NOW, previous=theirs)
    value = users.tokens(user.user_id).refresh_token_encrypted
    assert ":" in value
    assert not value.startswith("v1.")
    assert cipher.decrypt(value, user.user_id) == "new"


def test_without_an_app_and_without_a_simulator_there_is_no_spotify(
    new_settings: Callable[..., Mapping[str, str]],
) -> None:
    with pytest.raises(SettingsError, match="SPOTIFY_CLIENT_ID"):
        configured_spotify(load_settings(new_settings(), env_file=None))


def test_an_app_means_the_real_spotify(new_settings: Callable[..., Mapping[str, str]]) -> None:
    spotify = configured_spotify(
        load_settings(new_settings(SPOTIFY_CLIENT_ID="id", SPOTIFY_CLIENT_SECRET="canary"), env_file=None)
    )
    assert (spotify.api_url, spotify.app.accounts_url) == ("https://api.spotify.com", "https://accounts.spotify.com")
    assert "canary" not in repr(spotify)


def test_the_log_of_calls_survives_a_failure(installation: Installation) -> None:
    user = installation.connect()
    with pytest.raises(SpotifyResponseError), installation.client(user) as client:
        client.playlist_items("nowhere")
    both = [("/v1/playlists/nowhere/items", 404), ("/v1/playlists/nowhere/tracks", 404)]
    assert calls(installation, user) == both
    for found in installation.store.db["api_logs"].find({"user_id": user.user_id}):
        assert (found["method"], found["service"], found["family"]) == ("GET", "spotify", "playlists")
        assert found["error"]
        assert found["latency_ms"] > 0


def make_stale(installation: Installation, user: User) -> None:
    """Make the access token invalid, as after an hour."""
    installation.store.db["spotify_tokens"].update_one({"user_id": user.user_id}, {"$set": {"expires_at": NOW}})


@contextmanager
def tokens_of(installation: Installation, user: User) -> Iterator[StoredTokens]:
    """The tokens of a user, with separate layers as in another process."""
    settings, store = installation.settings, installation.store
    with reached(store, Budget(), installation.now, installation.sleep) as reach:
        app = configured_spotify(settings).app
        yield StoredTokens(store.users, token_cipher(settings), reach.token, app, user, installation.now)


@pytest.mark.parametrize("rotation", ["always", "random"])
def test_however_many_want_a_token_at_once_one_refreshes_and_nobody_loses_the_consent(
    installation: Installation, rotation: Rotation
) -> None:
    installation.simulator.behave(rotation=rotation)
    user, together = installation.connect(), threading.Barrier(8)

    def want(rejected: str | None) -> str:
        with tokens_of(installation, user) as tokens:
            together.wait()
            return tokens.access_token() if rejected is None else tokens.renewed_token(rejected)

    with ThreadPoolExecutor(8) as pool:
        for number in range(1, 51):
            rejected = access_token(installation, user) if number % 2 else None
            if rejected is None:
                make_stale(installation, user)
            got = set(pool.map(want, [rejected] * 8))
            assert got == {access_token(installation, user)}
            assert rejected not in got
            assert calls(installation, user) == [("/api/token", 200)] * number
            installation.clock.advance(timedelta(seconds=1))
    assert installation.store.users.find(user.partition_key).status == "active"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "REFRESH_PATIENCE_S", 0.15)


@pytest.mark.usefixtures("impatient")
def test_who_dies_while_refreshing_is_overtaken_when_the_lease_has_ended(installation: Installation) -> None:
    user, users = installation.connect(), installation.store.users
    make_stale(installation, user)
    assert users.lease_refresh(users.tokens(user.user_id))
    with tokens_of(installation, user) as tokens, pytest.raises(SpotifyUnreachable, match="next sync"):
        tokens.access_token()
    assert calls(installation, user) == []
    leased = users.tokens(user.user_id).refresh_leased_at
    assert leased is not None
    installation.store.db["spotify_tokens"].update_one({}, {"$set": {"refresh_leased_at": leased - LEASE}})
    with tokens_of(installation, user) as tokens:
        assert tokens.access_token() == access_token(installation, user)
    assert calls(installation, user) == [("/api/token", 200)]
    assert users.tokens(user.user_id).refresh_leased_at is None


@pytest.mark.usefixtures("impatient")
def test_a_lease_is_no_obstacle_to_a_token_that_is_good(installation: Installation) -> None:
    user, users = installation.connect(), installation.store.users
    assert users.lease_refresh(users.tokens(user.user_id))
    with tokens_of(installation, user) as tokens:
        assert tokens.access_token() == access_token(installation, user)


def test_a_lease_is_given_once_and_never_for_tokens_that_were_replaced_meanwhile(installation: Installation) -> None:
    user, users = installation.connect(), installation.store.users
    seen = users.tokens(user.user_id)
    assert users.lease_refresh(seen)
    assert not users.lease_refresh(seen)
    users.release_refresh(user.user_id)
    assert users.lease_refresh(seen)
    spoil_access_token(installation, user)  # stores other tokens, which ends the lease
    users.release_refresh(user.user_id)
    assert not users.lease_refresh(seen)
    assert users.lease_refresh(users.tokens(user.user_id))


def test_a_lease_is_renewed_for_as_long_as_its_holder_lives(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_storage, "RENEWED_AFTER_S", 0.01)
    user, users = installation.connect(), installation.store.users
    seen = users.tokens(user.user_id)
    assert users.lease_refresh(seen)
    long_ago = {"$set": {"refresh_leased_at": NOW - LEASE}}
    with users.refresh_held(seen):
        installation.store.db["spotify_tokens"].update_one({}, long_ago)
        eventually("renewal", lambda: users.tokens(user.user_id).refresh_leased_at != NOW - LEASE)
        assert not users.lease_refresh(seen)
    installation.store.db["spotify_tokens"].update_one({}, long_ago)
    assert users.lease_refresh(seen)


@pytest.mark.parametrize("variant", FAULTS["token-error"].variants)
def test_an_accounts_service_in_trouble_costs_nobody_their_tokens(installation: Installation, variant: str) -> None:
    user = installation.connect()
    make_stale(installation, user)
    before = installation.store.users.tokens(user.user_id)
    installation.simulator.behave(faults={"token-error": Fault(rate=1.0, variants=(variant,))}, rotation="always")
    with pytest.raises(SpotifyUnavailable), installation.client(user) as client:
        client.me()
    assert installation.store.users.tokens(user.user_id) == before
    assert installation.store.users.find(user.partition_key).status == "active"
    assert {status for _, status in calls(installation, user)} == {int(variant[:3])}
    installation.simulator.behave(faults={})
    with installation.client(user) as client:
        assert client.me()["id"] == user.spotify_id


def test_a_moment_of_trouble_at_the_accounts_service_is_sat_out(installation: Installation) -> None:
    user = installation.connect()
    make_stale(installation, user)
    installation.simulator.behave(faults={"token-error": Fault(calls=(1, 2))}, rotation="always")
    with installation.client(user) as client:
        client.me()
    statuses = [status for path, status in calls(installation, user) if path == "/api/token"]
    assert [status >= 500 for status in statuses] == [True, True, False]


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_refresh_after_refresh_keeps_the_consent(installation: Installation, rotation: Rotation) -> None:
    installation.simulator.behave(rotation=rotation)
    user = installation.connect()
    before = installation.store.users.tokens(user.user_id).refresh_token_encrypted
    for _ in range(12):
        installation.clock.advance(timedelta(hours=1))
        with installation.client(user) as client:
            client.me()
    after = installation.store.users.tokens(user.user_id).refresh_token_encrypted
    assert (after == before) is (rotation == "never")
    assert calls(installation, user) == [("/api/token", 200), ("/v1/me", 200)] * 12
