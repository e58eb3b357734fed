"""Issues and checks the tokens of the accounts service: authorization codes, access tokens, refresh tokens.

Stateless: a token is its signed content, and the key comes from the seed. So tokens stay valid after a restart of the
simulator with the same seed. Only used codes, rotated refresh tokens and revocations are stored, in memory. Not here:
HTTP (``accounts``).
"""

import base64
import hashlib
import hmac
import json
import secrets
from calendar import monthrange
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from echostats_pipeline.simulator.clock import Clock

ACCESS_LIFE = timedelta(seconds=3600)
CODE_LIFE = timedelta(minutes=10)
REFRESH_MONTHS = 6  # counted from the user's consent; a refresh never extends it

TokenKind = Literal["code", "access", "refresh"]
_PREFIX: dict[TokenKind, str] = {"code": "AC", "access": "BQ", "refresh": "AQ"}
_MONTHS_PER_YEAR = 12


class OAuthError(Exception):
    """An answer of the token endpoint other than 200; `code` and `description` are the body's two fields."""

    def __init__(self, code: str, description: str | None = None) -> None:
        super().__init__(description or code)
        self.code = code
        self.description = description


class TokenExpired(Exception):  # noqa: N818 - a state of the token, named as such
    """The access token was valid once, and has expired."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The consent of a user to an app.

    Attributes:
        challenge: The PKCE challenge; None without PKCE.
        authorized_at: When the user consented, in Unix seconds.
        revocations: How often the user had removed the app before.
    """

    user_id: str
    client_id: str
    scope: str
    redirect_uri: str
    challenge: str | None
    authorized_at: float
    revocations: int

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes one by one."""
        return frozenset(self.scope.split())


class Tokens:
    """Issues and checks tokens of one simulated Spotify.

    Args:
        seed: Decides the signing key.
        clock: Gives the present instant.
        nonce: Makes two tokens with the same content differ.
    """

    def __init__(self, seed: int, clock: Clock, nonce: Callable[[], str] = lambda: secrets.token_urlsafe(9)) -> None:
        self._key = hashlib.sha256(f"{seed}/tokens".encode()).digest()
        self._clock = clock
        self._nonce = nonce
        self._used_codes: set[str] = set()
        self._rotated: set[str] = set()
        self._revocations: Counter[str] = Counter()

    def authorize(
        self, user_id: str, client_id: str, redirect_uri: str, scope: str, challenge: str | None = None
    ) -> str:
        """Consent as a user now; return an authorization code that is valid once and for ten minutes."""
        grant = Grant(
            user_id=user_id,
            client_id=client_id,
            scope=scope,
            redirect_uri=redirect_uri,
            challenge=challenge,
            authorized_at=self._clock.now().timestamp(),
            revocations=self._revocations[user_id],
        )
        return self._issue("code", grant)

    def redeem(self, code: str, client_id: str, redirect_uri: str, verifier: str | None) -> Grant:
        """Return the grant of a code; the code cannot be used again.

        Raises:
            OAuthError: The code is unknown, used or expired; or client, redirect address or PKCE verifier do not match.
        """
        grant, issued_at = self._open("code", code, "Invalid authorization code")
        too_old = self._clock.now() >= issued_at + CODE_LIFE
        if code in self._used_codes or too_old or grant.client_id != client_id:
            raise OAuthError("invalid_grant", "Invalid authorization code")
        if grant.redirect_uri != redirect_uri:
            raise OAuthError("invalid_grant", "Invalid redirect URI")
        if grant.challenge is not None and s256(verifier or "") != grant.challenge:
            raise OAuthError("invalid_grant", "code_verifier was incorrect")
        self._used_codes.add(code)
        return grant

    def access_token(self, grant: Grant) -> str:
        """Return a new access token, valid for 3600 s."""
        return self._issue("access", grant)

    def refresh_token(self, grant: Grant) -> str:
        """Return a refresh token, valid until six months after the consent."""
        return self._issue("refresh", grant)

    def refreshed(self, token: str, client_id: str) -> Grant:
        """Return the grant of a refresh token.

        Raises:
            OAuthError: ``invalid_grant`` with the descriptions Spotify uses: expired, revoked, invalid.
        """
        grant, _ = self._open("refresh", token, "Invalid refresh token")
        if grant.client_id != client_id:
            raise OAuthError("invalid_grant", "Invalid refresh token")
        if self._clock.now() >= refresh_deadline(datetime.fromtimestamp(grant.authorized_at, UTC)):
            raise OAuthError("invalid_grant", "Refresh token expired")
        if token in self._rotated or grant.revocations < self._revocations[grant.user_id]:
            raise OAuthError("invalid_grant", "Refresh token revoked")
        return grant

    def rotated(self, token: str, grant: Grant) -> str:
        """Return a new refresh token that replaces `token`; `token` is revoked at once."""
        self._rotated.add(token)
        return self.refresh_token(grant)

    def accessed(self, token: str) -> Grant | None:
        """Return the grant of an access token; None if the token is not valid.

        Raises:
            TokenExpired: It is older than 3600 s.
        """
        try:
            grant, issued_at = self._open("access", token, "Invalid access token")
        except OAuthError:
            return None
        if self._clock.now() >= issued_at + ACCESS_LIFE:
            raise TokenExpired
        return grant

    def revoke(self, user_id: str) -> None:
        """Remove the app for a user: every refresh token of a consent up to now is revoked."""
        self._revocations[user_id] += 1

    def _issue(self, kind: TokenKind, grant: Grant) -> str:
        content = {"grant": asdict(grant), "issued_at": self._clock.now().timestamp(), "nonce": self._nonce()}
        payload = _base64url(json.dumps(content, separators=(",", ":")).encode())
        return f"{_PREFIX[kind]}{payload}-{self._signature(kind, payload)}"

    def _open(self, kind: TokenKind, token: str, refusal: str) -> tuple[Grant, datetime]:
        payload, signature = token[len(_PREFIX[kind]) : -_SIGNATURE_LENGTH - 1], token[-_SIGNATURE_LENGTH:]
        genuine = token.startswith(_PREFIX[kind]) and signature.isascii()
        if not genuine or not hmac.compare_digest(signature, self._signature(kind, payload)):
            raise OAuthError("invalid_grant", refusal)
        content = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return Grant(**content["grant"]), datetime.fromtimestamp(content["issued_at"], UTC)

    def _signature(self, kind: TokenKind, payload: str) -> str:
        return _base64url(hmac.digest(self._key, f"{kind}:{payload}".encode(), "sha256"))


_SIGNATURE_LENGTH = 43  # 32 bytes in base64url without padding


def s256(verifier: str) -> str:
    """Return the PKCE challenge of `verifier` (RFC 7636, method S256)."""
    return _base64url(hashlib.sha256(verifier.encode()).digest())


def refresh_deadline(authorized_at: datetime) -> datetime:
    """Return the instant six calendar months later; in a shorter month, on its last day."""
    month = authorized_at.month - 1 + REFRESH_MONTHS
    year, month = authorized_at.year + month // _MONTHS_PER_YEAR, month % _MONTHS_PER_YEAR + 1
    return authorized_at.replace(year=year, month=month, day=min(authorized_at.day, monthrange(year, month)[1]))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
