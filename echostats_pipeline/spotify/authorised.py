"""The access token on every API call, and its one renewal when Spotify rejects it."""

from dataclasses import replace
from typing import Protocol

from echostats_pipeline.spotify.transport import Handler, Request, Response

_UNAUTHORIZED = 401


class AccessTokens(Protocol):
    """Where the access tokens of one user come from. Both methods may raise `ReauthorizationNeeded`."""

    def access_token(self) -> str:
        """A token that should be valid now; refreshed first if need be."""

    def renewed_token(self, rejected: str) -> str:
        """A token other than the rejected one: another process's newer one, or a fresh one."""


class AuthorisingHandler:
    """A handler that sends requests with a user's access token.

    A 401 is answered by exactly one more attempt with a renewed token; a second 401 is returned as it is.
    """

    def __init__(self, handler: Handler, tokens: AccessTokens) -> None:
        self._handler = handler
        self._tokens = tokens

    def __call__(self, request: Request) -> Response:
        """Send the request with the token of the user."""
        token = self._tokens.access_token()
        response = self._handler(_with_token(request, token))
        if response.status_code != _UNAUTHORIZED:
            return response
        return self._handler(_with_token(request, self._tokens.renewed_token(token)))


def _with_token(request: Request, token: str) -> Request:
    return replace(request, headers={**request.headers, "Authorization": f"Bearer {token}"})
