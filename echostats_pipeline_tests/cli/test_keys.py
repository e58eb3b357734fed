"""``echostats keys``: stored tokens move to the present key, and no token is lost."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr

from echostats_pipeline.accounts import key_rotation
from echostats_pipeline.accounts.connecting import token_cipher
from echostats_pipeline.accounts.key_rotation import rotate_keys
from echostats_pipeline.errors import DecryptionError, SettingsError, StorageError
from echostats_pipeline.model.users import SpotifyTokens, User
from echostats_pipeline.settings import load_settings
from echostats_pipeline.spotify.crypto import TokenCipher
from echostats_pipeline_tests.cli.conftest import Echostats, refused
from echostats_pipeline_tests.conftest import KEY, NOW, Installation, documents

NEW = "a7" * 32
ROTATED = {"ENCRYPTION_KEY": NEW, "ENCRYPTION_KEYS_OLD": KEY}


@pytest.fixture
def with_keys(
    installation: Installation, new_settings: Callable[..., Mapping[str, str]]
) -> Callable[..., Installation]:
    """The installation with other keys."""

    def changed(**keys: str) -> Installation:
        environ = new_settings(**keys)
        return replace(installation, environ=environ, settings=load_settings(environ, env_file=None))

    return changed


def plain(installation: Installation, user: User) -> tuple[str, str]:
    cipher, stored = token_cipher(installation.settings), installation.store.users.tokens(user.user_id)
    return (
        cipher.decrypt(stored.refresh_token_encrypted, user.user_id),
        cipher.decrypt(stored.access_token_encrypted, user.user_id),
    )


def as_of_echostats(installation: Installation, user: User) -> SpotifyTokens:
    """Store the user's tokens as EchoStats does: only the refresh token, in EchoStats' form."""
    cipher, users = token_cipher(installation.settings), installation.store.users
    refresh_token, _ = plain(installation, user)
    nonce, sealed = cipher._sealed(refresh_token, None)
    installation.store.db["spotify_tokens"].update_one(
        {"user_id": user.user_id},
        {
            "$set": {"refresh_token_encrypted": f"{nonce.hex()}:{sealed.hex()}"},
            "$unset": {"access_token_encrypted": "", "updated_at": "", "refresh_leased_at": ""},
        },
    )
    return users.tokens(user.user_id)


def test_every_token_moves_to_the_present_key_once(
    installation: Installation, with_keys: Callable[..., Installation], echostats: Echostats
) -> None:
    users = [installation.connect(number) for number in range(2)]
    before = [plain(installation, user) for user in users]
    ended = echostats("keys", "rotate", **ROTATED)
    assert ended.returncode == 0, ended.stderr
    assert "Encrypted 4 tokens" in ended.stdout
    alone = with_keys(ENCRYPTION_KEY=NEW)
    assert [plain(alone, user) for user in users] == before
    stored = documents(installation.store.db, "spotify_tokens")
    assert "already" in echostats("keys", "rotate", **ROTATED).stdout
    assert documents(installation.store.db, "spotify_tokens") == stored
    with alone.client(users[0]) as client:
        assert client.me()["id"] == users[0].spotify_id


def test_status_counts_the_tokens_of_each_key(installation: Installation, echostats: Echostats) -> None:
    user, _ = installation.connect(0), installation.connect(1)
    as_of_echostats(installation, user)
    old, new = token_cipher(installation.settings).key_id, TokenCipher(SecretStr(NEW)).key_id
    lines = echostats("keys", "status", **ROTATED).stdout.splitlines()
    assert sorted(line.split(maxsplit=3) for line in lines) == sorted(
        [[new, "0", "tokens", "the present key"], [old, "3", "tokens", "a former key, configured"]]
    )
    unconfigured = echostats("keys", "status", ENCRYPTION_KEY=NEW).stdout
    assert f"{old}       2 tokens  NOT CONFIGURED" in unconfigured
    assert "unknown        1 tokens  NOT CONFIGURED" in unconfigured
    assert KEY not in unconfigured


def test_what_echostats_wrote_stays_in_its_form(
    installation: Installation, with_keys: Callable[..., Installation]
) -> None:
    user = installation.connect()
    refresh_token, _ = plain(installation, user)
    as_of_echostats(installation, user)
    rotated = with_keys(**ROTATED)
    assert rotate_keys(rotated.store.users, token_cipher(rotated.settings)) == 1
    value = installation.store.users.tokens(user.user_id).refresh_token_encrypted
    assert value.count(":") == 1
    alone = with_keys(ENCRYPTION_KEY=NEW)
    assert token_cipher(alone.settings).decrypt(value, user.user_id) == refresh_token
    with alone.client(user) as client:
        assert client.me()["id"] == user.spotify_id


def test_a_token_no_key_reads_is_an_error_that_changes_nothing(
    installation: Installation, echostats: Echostats
) -> None:
    for number in range(2):
        installation.connect(number)
    before = documents(installation.store.db, "spotify_tokens")
    for old in ("", "bc" * 32):
        said = refused(echostats("keys", "rotate", ENCRYPTION_KEY=NEW, ENCRYPTION_KEYS_OLD=old))
        assert "ENCRYPTION_KEYS_OLD" in said
    assert documents(installation.store.db, "spotify_tokens") == before


def test_one_unreadable_token_keeps_all_others_as_they_are(
    installation: Installation, with_keys: Callable[..., Installation]
) -> None:
    _, last = installation.connect(0), installation.connect(1)
    foreign = TokenCipher(SecretStr("bc" * 32)).encrypt("token", last.user_id)
    tokens = installation.store.users.tokens(last.user_id)
    installation.store.users.store_tokens(tokens.model_copy(update={"refresh_token_encrypted": foreign}))
    before = documents(installation.store.db, "spotify_tokens")
    with pytest.raises(DecryptionError):
        rotate_keys(installation.store.users, token_cipher(with_keys(**ROTATED).settings))
    assert documents(installation.store.db, "spotify_tokens") == before


def test_a_rotation_that_was_interrupted_is_finished_by_the_next(
    installation: Installation, with_keys: Callable[..., Installation], monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [installation.connect(number) for number in range(2)]
    before = [plain(installation, user) for user in users]
    rotated = with_keys(**ROTATED)
    store, cipher = rotated.store.users, token_cipher(rotated.settings)
    replaced = store.replace_ciphertexts

    def interrupted(*arguments: object, **more: object) -> bool:
        replaced(*arguments, **more)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "replace_ciphertexts", interrupted)
        with pytest.raises(KeyboardInterrupt):
            rotate_keys(store, cipher)
    assert rotate_keys(store, cipher) == 2
    assert [plain(with_keys(ENCRYPTION_KEY=NEW), user) for user in users] == before


@pytest.mark.parametrize("of_echostats", [False, True])
def test_a_refresh_meanwhile_is_waited_for_and_not_overwritten(
    installation: Installation, with_keys: Callable[..., Installation], of_echostats: bool
) -> None:
    user, users = installation.connect(), installation.store.users
    if of_echostats:
        as_of_echostats(installation, user)
    seen, cipher = users.tokens(user.user_id), token_cipher(installation.settings)
    assert users.lease_refresh(seen)
    naps: list[float] = []

    def refreshed(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            token = cipher.encrypt_like(seen.refresh_token_encrypted, "newest", user.user_id)
            users.store_tokens(seen.model_copy(update={"refresh_token_encrypted": token, "refresh_leased_at": None}))

    rotated = with_keys(**ROTATED)
    assert rotate_keys(users, token_cipher(rotated.settings), refreshed) == (1 if of_echostats else 2)
    assert len(naps) == 3
    value = users.tokens(user.user_id).refresh_token_encrypted
    assert token_cipher(with_keys(ENCRYPTION_KEY=NEW).settings).decrypt(value, user.user_id) == "newest"


@pytest.mark.parametrize("of_echostats", [False, True])
def test_a_refresh_that_began_before_a_rotation_does_not_bring_the_old_key_back(
    installation: Installation, of_echostats: bool
) -> None:
    user, users = installation.connect(), installation.store.users
    seen = as_of_echostats(installation, user) if of_echostats else users.tokens(user.user_id)
    assert users.replace_ciphertexts(seen, refresh_token="other", access_token=seen.access_token_encrypted)
    assert not users.lease_refresh(seen)
    assert not users.replace_ciphertexts(seen, refresh_token="x", access_token="x")
    assert users.tokens(user.user_id).refresh_token_encrypted == "other"


def test_a_refresh_without_an_end_is_said(
    installation: Installation, with_keys: Callable[..., Installation], monkeypatch: pytest.MonkeyPatch
) -> None:
    user, users = installation.connect(), installation.store.users
    assert users.lease_refresh(users.tokens(user.user_id))
    monkeypatch.setattr(key_rotation, "PATIENCE_S", 1.0)
    with pytest.raises(StorageError, match="echostats keys rotate"):
        rotate_keys(users, token_cipher(with_keys(**ROTATED).settings), lambda _: None)


def test_new_tokens_are_under_the_present_key_while_old_ones_are_read(
    installation: Installation, with_keys: Callable[..., Installation]
) -> None:
    user, rotated = installation.connect(), with_keys(**ROTATED)
    installation.clock.advance(timedelta(hours=2))
    with rotated.client(user) as client:
        client.me()
    stored, cipher = installation.store.users.tokens(user.user_id), TokenCipher(SecretStr(NEW))
    assert stored.expires_at > NOW + timedelta(hours=2)
    assert cipher.key_id_of(stored.access_token_encrypted, user.user_id) == cipher.key_id


@pytest.mark.parametrize(("text", "keys"), [(f"{KEY},", [KEY]), (f" {KEY} , {NEW}", [KEY, NEW]), ("", [])])
def test_old_keys_are_separated_by_commas(text: str, keys: list[str]) -> None:
    settings = load_settings({"ENCRYPTION_KEYS_OLD": text}, env_file=None)
    assert [key.get_secret_value() for key in settings.encryption_keys_old] == keys
    assert not keys or KEY not in repr(settings)


@pytest.mark.parametrize("text", ["abc", f"{KEY},canary", f"{KEY};{NEW}"])
def test_a_malformed_old_key_is_named_by_its_place_and_not_shown(text: str) -> None:
    with pytest.raises(SettingsError, match=r"ENCRYPTION_KEYS_OLD.*number") as error:
        load_settings({"ENCRYPTION_KEYS_OLD": text}, env_file=None)
    assert "canary" not in str(error.value)
    assert KEY not in str(error.value)
