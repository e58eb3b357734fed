"""Adds the access token to every API call, and renews the token once if Spotify rejects it."""

from dataclasses import replace
from typing import Protocol

from echostats_pipeline.spotify.transport import Handler, Request, Response

_UNAUTHORIZED = 401


class AccessTokens(Protocol):
    """Source of access tokens for one user. Both methods may raise `ReauthorizationNeeded`."""

    def access_token(self) -> str:
        """A token that should be valid now; it is refreshed first if necessary."""

    def renewed_token(self, rejected: str) -> str:
        """A token other than the rejected one: a newer one from another process, or a new one."""


class AuthorisingHandler:
    """A handler that sends requests with a user's access token.

    After a 401 there is exactly one more attempt, with a renewed token. A second 401 is returned as it is.
    """

    def __init__(self, handler: Handler, tokens: AccessTokens) -> None:
        self._handler = handler
        self._tokens = tokens

    def __call__(self, request: Request) -> Response:
        """Send the request with the user's token."""
        token = self._tokens.access_token()
        response = self._handler(_with_token(request, token))
        if response.status_code != _UNAUTHORIZED:
            return response
        return self._handler(_with_token(request, self._tokens.renewed_token(token)))


def _with_token(request: Request, token: str) -> Request:
    return replace(request, headers={**request.headers, "Authorization": f"Bearer {token}"})
