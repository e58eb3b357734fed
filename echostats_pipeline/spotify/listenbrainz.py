"""Sends plays to a server with ListenBrainz' API: ListenBrainz itself, Koito, Maloja, multi-scrobbler.

Two endpoints of https://listenbrainz.readthedocs.io/en/latest/users/api/core.html are used: ``validate-token`` and
``submit-listens``. A server that gets the same listen again ignores it: ListenBrainz by its user, second and names. So
these requests may be repeated.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic import SecretStr

from echostats_pipeline.errors import ListensRefused, ScrobbleTokenRefused, SpotifyError
from echostats_pipeline.spotify.responses import error_of, json_object, unexpected_body
from echostats_pipeline.spotify.transport import Handler, Request, Response

_OF_THE_LISTENS = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)
_OF_THE_TOKEN = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_UNKNOWN = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


class ListenBrainz:
    """A server with ListenBrainz' API, on behalf of one of its users.

    Args:
        handler: Makes the calls.
        target: Address of the server, to which ``/1/submit-listens`` is appended.
        token: The user's token there.
        user_agent: Names this app and a contact.
        user_id: The user here, for the log of calls.
    """

    def __init__(self, handler: Handler, target: str, token: SecretStr, user_agent: str, user_id: str) -> None:
        self._handler = handler
        self._target = target
        self._headers = {"User-Agent": user_agent, "Authorization": f"Token {token.get_secret_value()}"}
        self._user_id = user_id

    def account(self) -> str:
        """The name of the user to whom the token belongs; empty if the server cannot check tokens.

        Raises:
            ScrobbleTokenRefused: the token is wrong.
            SpotifyError: the server does not answer, or not as expected.
        """
        request = self._request("GET", "validate-token", "checking the token")
        response = self._handler(request)
        if response.status_code in _UNKNOWN:
            return ""
        if response.status_code in (*_OF_THE_TOKEN, HTTPStatus.BAD_REQUEST):
            raise self._refused(request, response)
        body = json_object(request, response)
        if not isinstance(body.get("valid"), bool):
            raise unexpected_body(request, response, "whether the token is valid")
        if not body["valid"]:
            raise self._refused(request, response)
        name = body.get("user_name")
        return name if isinstance(name, str) else ""

    def submit(self, listens: Sequence[dict[str, Any]]) -> None:
        """Send listens: at most `transforms.scrobbles.MOST_LISTENS`.

        Raises:
            ScrobbleTokenRefused: the token is wrong; nothing was taken.
            ListensRefused: at least one listen is not accepted; nothing was taken.
            SpotifyError: the server did not answer, or not as expected; it may have taken the listens.
        """
        body = {"listen_type": "single" if len(listens) == 1 else "import", "payload": list(listens)}
        request = self._request("POST", "submit-listens", f"sending {len(listens)} plays", body)
        response = self._handler(request)
        if response.status_code in _OF_THE_TOKEN:
            raise self._refused(request, response)
        if response.status_code in _OF_THE_LISTENS:
            said = error_of(request, response)
            raise ListensRefused(str(said), status_code=response.status_code, reason=_reason(said))
        json_object(request, response)

    def _request(self, method: str, endpoint: str, purpose: str, body: dict[str, Any] | None = None) -> Request:
        return Request(
            method,
            f"{self._target}/1/{endpoint}",
            json=body,
            headers=self._headers,
            user_id=self._user_id,
            service="listenbrainz",
            purpose=purpose,
        )

    def _refused(self, request: Request, response: Response) -> ScrobbleTokenRefused:
        said = _reason(error_of(request, response)) if not response.ok else ""
        return ScrobbleTokenRefused(
            f"{self._target} does not accept the token{f' ({said})' if said else ''}. Copy the token from your profile "
            "there again.",
            status_code=response.status_code,
        )


def _reason(error: SpotifyError) -> str:
    return str(getattr(error, "reason", ""))
