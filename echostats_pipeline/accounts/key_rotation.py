"""Key rotation: encrypts every stored token with the present key.

A token refresh stores again what it has read. So re-encryption takes the same lease as a refresh, and neither
overwrites the other.
"""

import time
from collections import Counter
from collections.abc import Callable

from echostats_pipeline.errors import StorageError
from echostats_pipeline.model.users import SpotifyTokens
from echostats_pipeline.spotify.crypto import TokenCipher
from echostats_pipeline.storage.scrobbles import ScrobbleStore
from echostats_pipeline.storage.users import LEASE, UserStore

PATIENCE_S, POLL_S = LEASE.total_seconds() + 10, 0.1
"""Seconds to wait for a lease, and between two attempts; the lease of a dead process ends within this time."""

Sleep = Callable[[float], None]


def rotate_keys(users: UserStore, cipher: TokenCipher, sleep: Sleep = time.sleep) -> int:
    """Encrypt every stored token with the present key, in its stored form; return how many tokens changed.

    Users are processed one by one. After an interruption it can be repeated, and continues with the other users.

    Raises:
        DecryptionError: no configured key can decrypt a token; nothing was changed.
        StorageError: a refresh of a user's tokens does not end.
    """
    for tokens in users.all_tokens():
        _renewed(cipher, tokens)
    return sum(_rotate(users, cipher, tokens, sleep) for tokens in users.all_tokens())


def rotate_target_keys(scrobbles: ScrobbleStore, cipher: TokenCipher) -> int:
    """The same for the tokens of services to which plays are sent. A token that a user replaces meanwhile is new.

    Raises:
        DecryptionError: no configured key can decrypt a token; none of these tokens was changed.
    """
    renewed = [(each, cipher.renewed(each.token_encrypted, each.user_id)) for each in scrobbles.targets()]
    return sum(scrobbles.replace_token(each, token) for each, token in renewed if token != each.token_encrypted)


def tokens_by_key(users: UserStore, scrobbles: ScrobbleStore, cipher: TokenCipher) -> Counter[str | None]:
    """Count the stored tokens by key id; None counts tokens without a key id that no configured key decrypts."""
    return Counter(cipher.key_id_of(value, user_id) for value, user_id in stored_values(users, scrobbles))


def stored_values(users: UserStore, scrobbles: ScrobbleStore) -> list[tuple[str, str]]:
    """Every encrypted token, with the id of its user."""
    of_spotify = [
        (value, tokens.user_id)
        for tokens in users.all_tokens()
        for value in (tokens.refresh_token_encrypted, tokens.access_token_encrypted)
        if value
    ]
    return [*of_spotify, *((each.token_encrypted, each.user_id) for each in scrobbles.targets())]


def _rotate(users: UserStore, cipher: TokenCipher, tokens: SpotifyTokens, sleep: Sleep) -> int:
    for _ in range(int(PATIENCE_S / POLL_S)):
        refresh_token, access_token = _renewed(cipher, tokens)
        changed = (refresh_token != tokens.refresh_token_encrypted) + (access_token != tokens.access_token_encrypted)
        if not changed:
            return 0
        if users.lease_refresh(tokens) and users.replace_ciphertexts(
            tokens, refresh_token=refresh_token, access_token=access_token
        ):
            return changed
        sleep(POLL_S)
        tokens = users.tokens(tokens.user_id)
    raise StorageError(
        f"Another process has been refreshing the tokens of user {tokens.user_id} for {PATIENCE_S:.0f} seconds and has "
        "not finished. Run `echostats keys rotate` again; tokens that are already re-encrypted stay so."
    )


def _renewed(cipher: TokenCipher, tokens: SpotifyTokens) -> tuple[str, str]:
    refresh_token = cipher.renewed(tokens.refresh_token_encrypted, tokens.user_id)
    access_token = tokens.access_token_encrypted
    return refresh_token, cipher.renewed(access_token, tokens.user_id) if access_token else ""
