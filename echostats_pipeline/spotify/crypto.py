"""Tokens at rest: AES-256-GCM, bound to their user.

Own form, written by default::

    v1.<key id>.<base64url without padding of: nonce (12 bytes), ciphertext, tag (16 bytes)>

The key id is the first 8 hex digits of the key's SHA-256, so that a rotated key is recognised and not taken for damage.
The user id is associated data: a value copied to another user cannot be decrypted. EchoStats' own form,
``<nonce hex>:<ciphertext and tag hex>`` without associated data, is read, and written where it was found, so that
EchoStats can go on reading it. The two differ in their separators.
"""

import base64
import hashlib
import re
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from echostats_pipeline.errors import DecryptionError, SettingsError

_NONCE_BYTES = 12
_OWN_FORM = re.compile(r"v1\.([0-9a-f]{8})\.([A-Za-z0-9_-]{38,})")
_ECHOSTATS_FORM = re.compile(r"([0-9a-fA-F]{24}):((?:[0-9a-fA-F]{2}){16,})")


class TokenCipher:
    """Encrypts and decrypts the tokens of all users with one key.

    Args:
        key_hex: The key, 64 hex digits (32 bytes).

    Raises:
        SettingsError: the key is not 64 hex digits.
    """

    def __init__(self, key_hex: SecretStr) -> None:
        if not re.fullmatch(r"[0-9a-fA-F]{64}", key_hex.get_secret_value()):
            raise SettingsError(
                "The encryption key is not 64 hexadecimal characters (32 bytes). Set ENCRYPTION_KEY to one made with: "
                'python -c "import secrets; print(secrets.token_hex(32))"'
            )
        key = bytes.fromhex(key_hex.get_secret_value())
        self._aead = AESGCM(key)
        self._key_id = hashlib.sha256(key).hexdigest()[:8]

    def encrypt(self, plaintext: str, user_id: str) -> str:
        """The text in our own form, readable for this user id only."""
        nonce, ciphertext = self._sealed(plaintext, user_id.encode())
        return f"v1.{self._key_id}.{_base64url(nonce + ciphertext)}"

    def encrypt_like(self, previous_value: str, plaintext: str, user_id: str) -> str:
        """The text in the form of the value it replaces: EchoStats' where that was EchoStats', else our own."""
        if not _ECHOSTATS_FORM.fullmatch(previous_value):
            return self.encrypt(plaintext, user_id)
        nonce, ciphertext = self._sealed(plaintext, None)
        return f"{nonce.hex()}:{ciphertext.hex()}"

    def decrypt(self, value: str, user_id: str) -> str:
        """The text of a stored value in either form.

        Raises:
            DecryptionError: another key, another user, an altered value or an unknown form.
        """
        if echostats := _ECHOSTATS_FORM.fullmatch(value):
            return self._opened(bytes.fromhex(echostats[1]), bytes.fromhex(echostats[2]), user_id, associated=None)
        own = _OWN_FORM.fullmatch(value)
        # Unused bits at the end of base64 could differ without a difference in meaning: only the written form counts.
        if own is None or _base64url(sealed := base64.urlsafe_b64decode(f"{own[2]}==")) != own[2]:
            raise DecryptionError(
                f"The stored token of user {user_id} is in a form that this version cannot read, or was cut. "
                "Update echostats_pipeline, or connect the Spotify account again."
            )
        if own[1] != self._key_id:
            raise DecryptionError(
                f"The stored token of user {user_id} was encrypted with key {own[1]}, but the present key is "
                f"{self._key_id}. Set ENCRYPTION_KEY to the former key, or connect the Spotify account again."
            )
        return self._opened(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], user_id, associated=user_id.encode())

    def _sealed(self, plaintext: str, associated: bytes | None) -> tuple[bytes, bytes]:
        # Never an argument: a nonce used twice with one key gives both texts away.
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce, self._aead.encrypt(nonce, plaintext.encode(), associated)

    def _opened(self, nonce: bytes, ciphertext: bytes, user_id: str, *, associated: bytes | None) -> str:
        try:
            return self._aead.decrypt(nonce, ciphertext, associated).decode()
        except (InvalidTag, UnicodeDecodeError):
            # Not chained: a UnicodeDecodeError holds the decrypted bytes.
            raise DecryptionError(
                f"The stored token of user {user_id} cannot be decrypted: it was encrypted with another key or for "
                "another user, or it was altered. Check ENCRYPTION_KEY, or connect the Spotify account again."
            ) from None


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
