"""Interprets Spotify's responses: returns the requested JSON object, or raises the error that the response means.

There are three shapes of error bodies: the Web API's ``{"error": {"status", "message", "reason"?}}``, OAuth's
``{"error", "error_description"?}`` from the token endpoint, and plain text (developer dashboard, owner's subscription).
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple

from echostats_pipeline.errors import (
    AccessTokenRejected,
    AppRefused,
    EndpointRefused,
    InsufficientScope,
    NotFoundOnSpotify,
    PremiumRequired,
    RateLimited,
    ReauthorizationNeeded,
    RequestRefused,
    SpotifyError,
    SpotifyResponseError,
    SpotifyUnavailable,
    UserNotRegistered,
)
from echostats_pipeline.spotify.transport import Request, Response

JsonObject = dict[str, Any]
"""A JSON object as Spotify sent it."""

_LONGEST_MESSAGE = 200
_NEXT_STEPS: dict[type[SpotifyResponseError], str] = {
    SpotifyResponseError: "Try again later; if it persists, update echostats_pipeline.",
    SpotifyUnavailable: "The problem is on {service}'s side; try again later.",
    RateLimited: "{service} limits the number of calls; wait before the next one.",
    PremiumRequired: "The owner of the app needs Spotify Premium; some hours after renewing it, calls work again.",
    RequestRefused: "The request is not what {service} expects; if it persists, update echostats_pipeline.",
    AppRefused: "Check SPOTIFY_CLIENT_ID and SPOTIFY_CLIENT_SECRET against Spotify's developer dashboard.",
    UserNotRegistered: "Add the user to the app's User Management at https://developer.spotify.com/dashboard, with the "
    "e-mail address of their Spotify account; after that let them connect again.",
    InsufficientScope: "The user's consent does not cover this; connect the account again.",
    AccessTokenRejected: "Spotify does not accept the access token; if it persists, connect the account again.",
    EndpointRefused: "Spotify does not offer this to the app, or not for this object; asking again does not help.",
    NotFoundOnSpotify: "It does not exist, or is not visible to this account or app.",
}


class Explanation(NamedTuple):
    """Why Spotify refused: a sentence for people and a word for programs; either may be empty."""

    message: str
    reason: str

    def __str__(self) -> str:
        """Both in one line."""
        return ": ".join(part for part in (self.reason, self.message) if part)


def explanation(request: Request, response: Response) -> Explanation:
    """Spotify's own words for an error, in any of the three shapes, without credentials of the request.

    `reason` is the Web API's ``reason`` or OAuth's ``error``. An HTML page explains nothing and gives empty texts.
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
    """The exception for a response other than 2xx.

    ``invalid_grant`` is recognised by OAuth's ``error`` alone, because its description varies for the same cause.
    """
    why = explanation(request, response)
    if why.reason == "invalid_grant" and response.status_code == HTTPStatus.BAD_REQUEST:
        return ReauthorizationNeeded(
            f"Spotify no longer accepts the consent of this user ({why}), asked with {request.description}. "
            "The user has to connect the Spotify account again."
        )
    kind = _meaning(request, response, why)
    return kind(
        f"{request.service_name} answered {response.status_code} ({str(why) or 'no reason given'}) "
        f"to {request.description}. {_next_step(kind, request, response)}",
        status_code=response.status_code,
        reason=why.reason,
    )


def unexpected_body(request: Request, response: Response, expected: str) -> SpotifyResponseError:
    """The exception for a 2xx response without the expected content; it quotes nothing of the body."""
    return SpotifyResponseError(
        f"{request.service_name} answered {response.status_code} to {request.description}, but without {expected}. "
        "Try again later; if it persists, update echostats_pipeline.",
        status_code=response.status_code,
    )


def json_object(request: Request, response: Response) -> JsonObject:
    """The JSON object of a 2xx response.

    Raises:
        ReauthorizationNeeded: the response is OAuth's ``invalid_grant``.
        SpotifyResponseError: any other status, as the subclass of its meaning, or a body that is not a JSON object.
    """
    if not response.ok:
        raise error_of(request, response)
    try:
        body = response.json()
    except ValueError:
        # The parser's error contains the whole body, which may contain tokens.
        raise unexpected_body(request, response, "readable JSON") from None
    if not isinstance(body, dict):
        raise unexpected_body(request, response, "a JSON object")
    return body


class _Refusal(NamedTuple):
    """The parts of a response that determine the meaning of an error; texts in lower case."""

    status: int
    words: str
    challenge: str
    is_page: bool
    by_spotify: bool


# The first match decides. Only the words count, because Spotify varies the rest: JSON or plain text, reason or none.
_MEANINGS: tuple[tuple[type[SpotifyResponseError], Callable[[_Refusal], bool]], ...] = (
    (SpotifyUnavailable, lambda refusal: refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR),
    (RateLimited, lambda refusal: refusal.status == HTTPStatus.TOO_MANY_REQUESTS),
    (RequestRefused, lambda refusal: refusal.status in range(300, 500) and not refusal.by_spotify),
    (AppRefused, lambda refusal: "invalid_client" in refusal.words and refusal.status in (400, 401)),
    (InsufficientScope, lambda refusal: refusal.status in (401, 403) and _lacks_scope(refusal)),
    (AccessTokenRejected, lambda refusal: refusal.status == HTTPStatus.UNAUTHORIZED),
    (UserNotRegistered, lambda refusal: refusal.status == HTTPStatus.FORBIDDEN and _is_about_registration(refusal)),
    (PremiumRequired, lambda refusal: refusal.status == HTTPStatus.FORBIDDEN and "premium" in refusal.words),
    # An HTML page comes from a system between this machine and Spotify.
    (EndpointRefused, lambda refusal: refusal.status == HTTPStatus.FORBIDDEN and not refusal.is_page),
    (NotFoundOnSpotify, lambda refusal: refusal.status == HTTPStatus.NOT_FOUND or _is_about_an_id(refusal)),
    (RequestRefused, lambda refusal: refusal.status in range(300, 500)),
)


def _meaning(request: Request, response: Response, why: Explanation) -> type[SpotifyResponseError]:
    refusal = _Refusal(
        status=response.status_code,
        words=str(why).lower(),
        challenge=(response.header("WWW-Authenticate") or "").lower(),
        is_page=response.body.lstrip().startswith(b"<"),
        by_spotify=request.service == "spotify",
    )
    return next((kind for kind, holds in _MEANINGS if holds(refusal)), SpotifyResponseError)


def _lacks_scope(refusal: _Refusal) -> bool:
    return (
        "client scope" in refusal.words
        or "permissions missing" in refusal.words
        or "insufficient_scope" in refusal.challenge
    )


def _is_about_registration(refusal: _Refusal) -> bool:
    return "not registered" in refusal.words or "not be registered" in refusal.words


def _is_about_an_id(refusal: _Refusal) -> bool:
    """Whether the request had an impossible id: Spotify sends 400 (``invalid id``, ``Invalid base62 id``), not 404."""
    return refusal.status == HTTPStatus.BAD_REQUEST and refusal.words.endswith(("invalid id", "invalid base62 id"))


def printable_line(text: str) -> str:
    """The text as one printable line of limited length, suitable for a message."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:_LONGEST_MESSAGE]


def _plain_text(body: bytes) -> str:
    text = body.decode(errors="replace").strip()
    return "" if text.startswith("<") else text


def _line(request: Request, text: object) -> str:
    """One printable line without credentials of the request; empty for anything but text."""
    return printable_line(request.redacted(text)) if isinstance(text, str) else ""


def _next_step(kind: type[SpotifyResponseError], request: Request, response: Response) -> str:
    if 300 <= response.status_code < 400:  # noqa: PLR2004 - HTTP's class "redirection"
        return "Redirects are not followed; check the configured address."
    step = _NEXT_STEPS[kind].format(service=request.service_name)
    retry_after = _line(request, response.header("Retry-After"))
    return f"{step} Retry-After: {retry_after}." if retry_after else step
