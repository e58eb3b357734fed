"""Rotating the encryption key: every stored token under the present key.

A refresh stores again what it has read, so re-encrypting takes the same lease as a refresh does: neither overwrites
the other.
"""

import time
from collections import Counter
from collections.abc import Callable

from echostats_pipeline.errors import StorageError
from echostats_pipeline.model.users import SpotifyTokens
from echostats_pipeline.spotify.crypto import TokenCipher
from echostats_pipeline.storage.users import LEASE, UserStore

PATIENCE_S, POLL_S = LEASE.total_seconds() + 10, 0.1
"""A lease whose holder has died ends within it."""

Sleep = Callable[[float], None]


def rotate_keys(users: UserStore, cipher: TokenCipher, sleep: Sleep = time.sleep) -> int:
    """Encrypt every stored token with the present key, each in its own form; returns how many were not before.

    One user after the other: interrupted, it can be repeated, and finds less to do.

    Raises:
        DecryptionError: a token cannot be read with any configured key; nothing was changed.
        StorageError: a refresh of some user's tokens does not end.
    """
    for tokens in users.all_tokens():
        _renewed(cipher, tokens)
    return sum(_rotate(users, cipher, tokens, sleep) for tokens in users.all_tokens())


def tokens_by_key(users: UserStore, cipher: TokenCipher) -> Counter[str | None]:
    """How many stored tokens each key id holds; None counts those that no configured key reads and that name none."""
    return Counter(
        cipher.key_id_of(value, tokens.user_id)
        for tokens in users.all_tokens()
        for value in (tokens.refresh_token_encrypted, tokens.access_token_encrypted)
        if value
    )


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
        f"The tokens of user {tokens.user_id} have been refreshed for {PATIENCE_S:.0f} seconds without an end. "
        "Run `echostats keys rotate` again; what is done stays done."
    )


def _renewed(cipher: TokenCipher, tokens: SpotifyTokens) -> tuple[str, str]:
    refresh_token = cipher.renewed(tokens.refresh_token_encrypted, tokens.user_id)
    access_token = tokens.access_token_encrypted
    return refresh_token, cipher.renewed(access_token, tokens.user_id) if access_token else ""
