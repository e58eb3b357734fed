"""What Spotify's answers say: the JSON object that was asked for, or the error it means.

Three shapes of error bodies occur: the Web API's ``{"error": {"status", "message", "reason"?}}``, OAuth's
``{"error", "error_description"?}`` from the token endpoint, and plain text (developer dashboard, owner's subscription).
"""

from typing import Any, NamedTuple

from echostats_pipeline.errors import ReauthorizationNeeded, SpotifyError, SpotifyResponseError
from echostats_pipeline.spotify.transport import Request, Response

JsonObject = dict[str, Any]
"""A JSON object as Spotify sent it."""

_LONGEST_MESSAGE = 200
_NEXT_STEPS = {
    400: "The request is not what Spotify expects; if it persists, update echostats_pipeline.",
    401: "Spotify does not accept the access token; if it persists, connect the account again.",
    403: "Check the granted scopes, and in Spotify's developer dashboard that the user is registered, that the app's "
    "owner has Premium and that the app may use this endpoint.",
    404: "It does not exist, or is not visible to this account or app.",
    429: "Spotify limits the number of calls; wait before the next one.",
}


class Explanation(NamedTuple):
    """Why Spotify refused: a sentence for people and a word for programs; either may be empty."""

    message: str
    reason: str

    def __str__(self) -> str:
        """Both in one line."""
        return ": ".join(part for part in (self.reason, self.message) if part)


def explanation(request: Request, response: Response) -> Explanation:
    """Spotify's own words for an error, in whichever shape they came, without credentials of the request.

    `reason` is the Web API's ``reason`` or OAuth's ``error``. An HTML page explains nothing and counts as empty.
    """
    try:
        body = response.json()
    except ValueError:
        return Explanation(_line(request, _plain_text(response.body)), "")
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        return Explanation(_line(request, error.get("message")), _line(request, error.get("reason")))
    if isinstance(error, str):
        return Explanation(_line(request, body.get("error_description")), _line(request, error))
    return Explanation("", "")


def error_of(request: Request, response: Response) -> SpotifyError:
    """The exception that an answer other than 2xx stands for.

    ``invalid_grant`` is recognised by OAuth's ``error`` alone: its description varies for one and the same cause.
    """
    why = explanation(request, response)
    if why.reason == "invalid_grant" and response.status_code == 400:  # noqa: PLR2004 - OAuth's status (RFC 6749, 5.2)
        return ReauthorizationNeeded(
            f"Spotify no longer accepts the consent of this user ({why}), asked with {request.description}. "
            "The user has to connect the Spotify account again."
        )
    return SpotifyResponseError(
        f"Spotify answered {response.status_code} ({str(why) or 'no reason given'}) to {request.description}. "
        f"{_next_step(request, response, why)}",
        status_code=response.status_code,
        reason=why.reason,
    )


def unexpected_body(request: Request, response: Response, expected: str) -> SpotifyResponseError:
    """The exception for a 2xx answer that does not hold what was expected; quotes nothing of the body."""
    return SpotifyResponseError(
        f"Spotify answered {response.status_code} to {request.description}, but without {expected}. "
        "Try again later; if it persists, update echostats_pipeline.",
        status_code=response.status_code,
    )


def json_object(request: Request, response: Response) -> JsonObject:
    """The JSON object of a 2xx answer.

    Raises:
        ReauthorizationNeeded: the answer is OAuth's ``invalid_grant``.
        SpotifyResponseError: any other status, or a body that is not a JSON object.
    """
    if not response.ok:
        raise error_of(request, response)
    try:
        body = response.json()
    except ValueError:
        # The parser's error holds the whole body, and that may hold tokens.
        raise unexpected_body(request, response, "readable JSON") from None
    if not isinstance(body, dict):
        raise unexpected_body(request, response, "a JSON object")
    return body


def _plain_text(body: bytes) -> str:
    text = body.decode(errors="replace").strip()
    return "" if text.startswith("<") else text


def _line(request: Request, text: object) -> str:
    """One printable line of limited length; empty for anything but text."""
    if not isinstance(text, str):
        return ""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return request.redacted(" ".join(printable.split()))[:_LONGEST_MESSAGE]


def _next_step(request: Request, response: Response, why: Explanation) -> str:
    if why.reason == "invalid_client":
        return "Check SPOTIFY_CLIENT_ID and SPOTIFY_CLIENT_SECRET against Spotify's developer dashboard."
    if response.status_code >= 500:  # noqa: PLR2004 - HTTP's class "server error"
        return "The trouble is on Spotify's side; try again later."
    if 300 <= response.status_code < 400:  # noqa: PLR2004 - HTTP's class "redirection"
        return "Redirects are not followed; check the configured address."
    step = _NEXT_STEPS.get(response.status_code, _NEXT_STEPS[400])
    retry_after = _line(request, response.header("Retry-After"))
    return f"{step} Retry-After: {retry_after}." if retry_after else step
