"""Encrypts tokens for storage: AES-256-GCM, bound to their user.

The pipeline's own form, which is written by default::

    v1.<key id>.<base64url without padding of: nonce (12 bytes), ciphertext, tag (16 bytes)>

The key id is the first 8 hex digits of the key's SHA-256, so that a value of an old key is not taken for damaged. The
user id is associated data: a value copied to another user cannot be decrypted. EchoStats' own form,
``<nonce hex>:<ciphertext and tag hex>`` without associated data, can be read, too. A value found in that form is
written back in it, so that EchoStats can still read it. The separators distinguish the two forms.
"""

import base64
import hashlib
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from echostats_pipeline.errors import DecryptionError, SettingsError

_NONCE_BYTES = 12
_OWN_FORM = re.compile(r"v1\.([0-9a-f]{8})\.([A-Za-z0-9_-]{38,})")
_ECHOSTATS_FORM = re.compile(r"([0-9a-fA-F]{24}):((?:[0-9a-fA-F]{2}){16,})")


@dataclass(frozen=True, repr=False)
class _Key:
    """One key, and the id of the key in values of the pipeline's own form."""

    id: str
    aead: AESGCM

    @classmethod
    def of(cls, key_hex: SecretStr, setting: str) -> "_Key":
        if not re.fullmatch(r"[0-9a-fA-F]{64}", key_hex.get_secret_value()):
            raise SettingsError(
                f"The encryption key is not 64 hexadecimal characters (32 bytes). Set {setting} to one made with: "
                'python -c "import secrets; print(secrets.token_hex(32))"'
            )
        key = bytes.fromhex(key_hex.get_secret_value())
        return cls(hashlib.sha256(key).hexdigest()[:8], AESGCM(key))


class TokenCipher:
    """Encrypts the tokens of all users with the current key, and decrypts them with that key or an old one.

    Args:
        key_hex: The current key, 64 hex digits (32 bytes).
        old_keys_hex: Keys with which stored values may still be encrypted.

    Raises:
        SettingsError: a key is not 64 hex digits.
    """

    def __init__(self, key_hex: SecretStr, old_keys_hex: Iterable[SecretStr] = ()) -> None:
        self._key = _Key.of(key_hex, "ENCRYPTION_KEY")
        old = [_Key.of(old_hex, "ENCRYPTION_KEYS_OLD") for old_hex in old_keys_hex]
        self._keys = {key.id: key for key in (self._key, *old)}

    @property
    def key_id(self) -> str:
        """The id of the current key in values of the pipeline's own form."""
        return self._key.id

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of all configured keys in values of the pipeline's own form, the current one first."""
        return tuple(self._keys)

    def encrypt(self, plaintext: str, user_id: str) -> str:
        """The text in the pipeline's own form, readable for this user id only."""
        nonce, ciphertext = self._sealed(plaintext, user_id.encode())
        return f"v1.{self._key.id}.{_base64url(nonce + ciphertext)}"

    def encrypt_like(self, previous_value: str, plaintext: str, user_id: str) -> str:
        """The text in the form of the value it replaces: EchoStats' form, or else the pipeline's own."""
        if not _ECHOSTATS_FORM.fullmatch(previous_value):
            return self.encrypt(plaintext, user_id)
        nonce, ciphertext = self._sealed(plaintext, None)
        return f"{nonce.hex()}:{ciphertext.hex()}"

    def decrypt(self, value: str, user_id: str) -> str:
        """The text of a stored value in either form.

        Raises:
            DecryptionError: another key, another user, an altered value or an unknown form.
        """
        return self._opened(value, user_id)[0]

    def renewed(self, value: str, user_id: str) -> str:
        """The value in its own form under the current key; the unchanged value if it has that key already.

        Raises:
            DecryptionError: as `decrypt`.
        """
        plaintext, key = self._opened(value, user_id)
        return value if key.id == self._key.id else self.encrypt_like(value, plaintext, user_id)

    def key_id_of(self, value: str, user_id: str) -> str | None:
        """The id of the key that a value names or, if it names none, can be read with; None if no known key fits."""
        if own := _OWN_FORM.fullmatch(value):
            return own[1]
        try:
            return self._opened(value, user_id)[1].id
        except DecryptionError:
            return None

    def _sealed(self, plaintext: str, associated: bytes | None) -> tuple[bytes, bytes]:
        # The nonce is never an argument: using one twice with the same key reveals both texts.
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce, self._key.aead.encrypt(nonce, plaintext.encode(), associated)

    def _opened(self, value: str, user_id: str) -> tuple[str, _Key]:
        """The text of a value, and the key with which it was encrypted."""
        if echostats := _ECHOSTATS_FORM.fullmatch(value):
            nonce, ciphertext = (bytes.fromhex(part) for part in echostats.groups())
            return self._tried(self._keys.values(), nonce, ciphertext, user_id, associated=None)
        own = _OWN_FORM.fullmatch(value)
        # Unused bits at the end of base64 may differ without changing the meaning; only the form as written is
        # accepted.
        if own is None or _base64url(sealed := base64.urlsafe_b64decode(f"{own[2]}==")) != own[2]:
            raise DecryptionError(
                f"The stored token of user {user_id} is in a form that this version cannot read, or was cut. "
                "Update echostats_pipeline, or connect the Spotify account again."
            )
        key = self._keys.get(own[1])
        if key is None:
            raise DecryptionError(
                f"The stored token of user {user_id} was encrypted with key {own[1]}, but the current key is "
                f"{self._key.id}. Set ENCRYPTION_KEY to the former key, name that key in ENCRYPTION_KEYS_OLD, or "
                "connect the Spotify account again."
            )
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        return self._tried([key], nonce, ciphertext, user_id, associated=user_id.encode())

    def _tried(
        self, keys: Iterable[_Key], nonce: bytes, ciphertext: bytes, user_id: str, *, associated: bytes | None
    ) -> tuple[str, _Key]:
        for key in keys:
            # The error below is not chained to anything: a UnicodeDecodeError contains the decrypted bytes.
            with suppress(InvalidTag, UnicodeDecodeError):
                return key.aead.decrypt(nonce, ciphertext, associated).decode(), key
        raise DecryptionError(
            f"The stored token of user {user_id} cannot be decrypted: it was encrypted with another key or for "
            "another user, or it was altered. Check ENCRYPTION_KEY and ENCRYPTION_KEYS_OLD, or connect the Spotify "
            "account again."
        )


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
