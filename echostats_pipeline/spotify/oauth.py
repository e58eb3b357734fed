"""Obtains consent and tokens: Spotify's authorization-code flow, with a client secret or with PKCE.

Rules: https://developer.spotify.com/documentation/web-api/tutorials/code-flow, .../code-pkce-flow and
.../refreshing-tokens. This module stores no token and does not know the time.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import parse_qs, urlencode, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from echostats_pipeline.errors import ConsentNotGiven
from echostats_pipeline.settings import SPOTIFY_ACCOUNTS_URL
from echostats_pipeline.spotify.responses import json_object, printable_line, unexpected_body
from echostats_pipeline.spotify.transport import Handler, Request

SCOPES = (
    "user-read-recently-played",
    "user-library-read",
    "user-top-read",
    "playlist-read-private",
    "playlist-read-collaborative",
    "user-read-private",
)
"""The permissions for all that the pipeline reads; a new one needs a new consent of every user."""

PLAYLIST_SCOPES = ("playlist-modify-private",)
"""The further permissions for writing playlists; everything else works without them."""
COVER_SCOPES = ("ugc-image-upload",)
"""The further permissions for giving these playlists a cover."""

_ENDED_WITHOUT_CONSENT = {
    "access_denied": "Spotify did not grant access: the consent was declined. Nothing was stored; "
    "run `echostats connect` again and choose Agree.",
    "server_error": "Spotify could not complete the sign-in. Run `echostats connect` again in a few minutes.",
    "temporarily_unavailable": "Spotify's sign-in is overloaded. Run `echostats connect` again in a few minutes.",
    "invalid_scope": "Spotify does not know one of the requested permissions. Update echostats_pipeline.",
    "unauthorized_client": "Spotify does not let this app sign users in. Check that its API is the Web API "
    "at https://developer.spotify.com/dashboard.",
}


@dataclass(frozen=True)
class SpotifyApp:
    """The app as registered in Spotify's developer dashboard.

    Attributes:
        client_secret: None for PKCE; the client id is then sent in the body of each token call.
        redirect_uri: Exactly as registered.
        accounts_url: Origin of the accounts service.
    """

    client_id: str
    redirect_uri: str
    client_secret: SecretStr | None = None
    accounts_url: str = SPOTIFY_ACCOUNTS_URL


def _sendable(token: SecretStr) -> SecretStr:
    """Check that a token is visible ASCII, because it is sent in a header (RFC 6749, appendix A)."""
    text = token.get_secret_value()
    if not text or not all("!" <= character <= "~" for character in text):
        raise ValueError("not a token")
    return token


Token = Annotated[SecretStr, AfterValidator(_sendable)]


class TokenGrant(BaseModel):
    """The response of the token endpoint. Tokens never appear in its ``repr`` or in validation errors.

    Attributes:
        refresh_token: None if Spotify sent none: the current one stays valid and must be kept.
        expires_in: Life of the access token in seconds; the life of the refresh token is unknown.
        scope: Granted scopes, separated by spaces.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    access_token: Token
    refresh_token: Annotated[Token | None, BeforeValidator(lambda value: value or None)] = None
    expires_in: int = Field(gt=0)
    scope: Annotated[str, BeforeValidator(lambda value: value or "")] = ""


def new_verifier() -> str:
    """A new PKCE code verifier: 86 characters of 512 random bits. It is secret until the code is exchanged."""
    return secrets.token_urlsafe(64)


def challenge(verifier: str) -> str:
    """The S256 code challenge of a verifier (RFC 7636, section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorize_url(
    app: SpotifyApp, *, state: str, code_challenge: str | None = None, further: Sequence[str] = ()
) -> str:
    """The page where the user gives consent; with `code_challenge` for PKCE, without it for a client secret.

    Args:
        app: The registered app.
        state: Unguessable text that must be returned with the code.
        code_challenge: `challenge` of the verifier that `exchange_code` will get.
        further: Permissions beyond `SCOPES`.
    """
    query = {
        "client_id": app.client_id,
        "response_type": "code",
        "redirect_uri": app.redirect_uri,
        "scope": " ".join((*SCOPES, *further)),
        "state": state,
    }
    if code_challenge is not None:
        query |= {"code_challenge_method": "S256", "code_challenge": code_challenge}
    return f"{app.accounts_url}/authorize?{urlencode(query)}"


def code_from_redirect(app: SpotifyApp, address: str, *, state: str) -> str:
    """The authorization code in the address at which the user's sign-in ended.

    Args:
        app: The registered app.
        address: The address to which Spotify redirected, or any text that the user pasted.
        state: The state given to `authorize_url`.

    Raises:
        ConsentNotGiven: there is no code, or it belongs to another attempt; the message says what to do.
    """
    answer = _single_parameters(address)
    if "error" in answer:
        raise ConsentNotGiven(_without_consent(app, answer["error"]))
    if "code" not in answer:
        raise ConsentNotGiven(_without_code(app, address))
    if not hmac.compare_digest(answer.get("state", "").encode(), state.encode()):
        raise ConsentNotGiven(
            "This address belongs to another attempt to connect (its 'state' is not the one of this attempt). "
            "Run `echostats connect` again, and use the newest page only."
        )
    return answer["code"]


def _single_parameters(address: str) -> dict[str, str]:
    """The query parameters that occur exactly once; a repeated one has no meaning (RFC 6749, 3.1)."""
    try:
        query = urlsplit(address.strip()).query
        return {name: values[0] for name, values in parse_qs(query).items() if len(values) == 1}
    except ValueError:
        return {}


def _without_consent(app: SpotifyApp, error: str) -> str:
    if "redirect" in error:
        return _unregistered_redirect(app)
    unknown = (
        f"Spotify did not grant access ({printable_line(error)}). Nothing was stored; run `echostats connect` again."
    )
    return _ENDED_WITHOUT_CONSENT.get(error, unknown)


def _without_code(app: SpotifyApp, address: str) -> str:
    # Spotify shows "INVALID_CLIENT: Invalid redirect URI" instead of redirecting.
    shown = address.lower()
    if "invalid" in shown and "redirect" in shown:
        return _unregistered_redirect(app)
    return (
        "This address holds no code. Run `echostats connect` again; after agreeing, copy the whole address of the page "
        f"that the browser ends up at. It begins with {app.redirect_uri}?code="
    )


def _unregistered_redirect(app: SpotifyApp) -> str:
    return (
        f"Spotify does not know the redirect address {app.redirect_uri} of this app. Add exactly this address under "
        "Redirect URIs of the app at https://developer.spotify.com/dashboard (or set SPOTIFY_REDIRECT_URI to one that "
        "is there), then run `echostats connect` again."
    )


def exchange_code(
    handler: Handler, app: SpotifyApp, *, code: str, verifier: str | None = None, user_id: str = ""
) -> TokenGrant:
    """Exchange the code of a new consent for tokens; `verifier` is required for PKCE.

    Raises:
        ReauthorizationNeeded: the code has been used or is too old; the user has to start again.
        SpotifyError: Spotify refused for another reason, sent an unexpected response, or none.
    """
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": app.redirect_uri}
    if verifier is not None:
        form["code_verifier"] = verifier
    return _grant(handler, app, form, user_id=user_id, purpose="exchanging the code of a consent for tokens")


def refresh(handler: Handler, app: SpotifyApp, *, refresh_token: str, user_id: str = "") -> TokenGrant:
    """Obtain a new access token. A new refresh token in the response replaces the current one at once.

    Raises:
        ReauthorizationNeeded: the refresh token is expired or revoked; repeating does not help.
        SpotifyError: Spotify refused for another reason, sent an unexpected response, or none. The token may be valid.
    """
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return _grant(handler, app, form, user_id=user_id, purpose="refreshing an access token")


def _grant(handler: Handler, app: SpotifyApp, form: Mapping[str, str], *, user_id: str, purpose: str) -> TokenGrant:
    if app.client_secret is None:
        form, headers = {**form, "client_id": app.client_id}, {}
    else:
        credentials = f"{app.client_id}:{app.client_secret.get_secret_value()}"
        headers = {"Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}
    request = Request(
        "POST", f"{app.accounts_url}/api/token", form=form, headers=headers, user_id=user_id, purpose=purpose
    )
    response = handler(request)
    body = json_object(request, response)
    try:
        return TokenGrant.model_validate(body)
    except ValidationError as error:
        wrong = ", ".join(sorted({str(detail["loc"][0]) for detail in error.errors(include_input=False)}))
        # Not chained: the error still refers to the body, which may contain a valid token.
        raise unexpected_body(request, response, f"a usable {wrong}") from None
