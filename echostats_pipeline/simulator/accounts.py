"""Simulated accounts service: the consent page at ``/authorize`` and the token endpoint at ``/api/token``.

Belongs here: OAuth over HTTP, with and without PKCE. Not here: what a token is (``tokens``).
"""

import base64
import binascii
from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.simulator.call import Site
from echostats_pipeline.simulator.faults import server_error
from echostats_pipeline.simulator.tokens import ACCESS_LIFE, Grant, OAuthError

_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Simulated Spotify</title>
<style>body{{font:16px system-ui;max-width:32rem;margin:4rem auto}}a{{display:block;margin:.7rem 0}}</style>
<h1>Simulated Spotify</h1><p>{client} asks for: {scope}</p><p>Who are you?</p>{choices}</html>
"""


async def authorize(request: Request) -> Response:
    """Let a person choose which simulated user consents; ``login_as=<user id>`` consents at once.

    ``login_as=`` with an empty value refuses: the client is called back with ``error=access_denied``.
    """
    site: Site = request.app.state.site
    query = request.query_params
    malformed = _malformed(query)
    if malformed is not None:
        return malformed
    redirect_uri, state = query["redirect_uri"], _state(query)
    login_as = query.get("login_as")
    if login_as is None:
        return HTMLResponse(_consent_page(request, site))
    if not login_as:
        return _callback(redirect_uri, {"error": "access_denied", **state})
    try:
        user = site.world.user(login_as)
    except NotFoundError as error:
        return PlainTextResponse(str(error), 404)
    code = site.tokens.authorize(
        user.id, query["client_id"], redirect_uri, query.get("scope", ""), query.get("code_challenge")
    )
    return _callback(redirect_uri, {"code": code, **state})


async def token(request: Request) -> Response:
    """Exchange a code or a refresh token; the form may carry the credentials instead of a Basic header."""
    site: Site = request.app.state.site
    form = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
    response, user_id = _token_response(request, form, site)
    site.controls.meter.record("token", user_id, response.status_code, site.clock.now())
    return response


def _token_response(request: Request, form: dict[str, str], site: Site) -> tuple[Response, str]:
    """Return the answer, and the id of the user who granted access; an empty id if it is not known."""
    failure = site.controls.dice.strike("token-error")
    if failure is not None:
        return server_error(failure), ""
    try:
        grant, refresh = _granted(request, form, site)
    except OAuthError as error:
        description = {} if error.description is None else {"error_description": error.description}
        return JSONResponse({"error": error.code, **description}, 400), ""
    response = JSONResponse(
        {
            "access_token": site.tokens.access_token(grant),
            "token_type": "Bearer",
            "expires_in": int(ACCESS_LIFE.total_seconds()),
            **refresh,
            "scope": grant.scope,
        },
        headers={"Cache-Control": "no-store"},
    )
    return response, grant.user_id


def _malformed(query: QueryParams) -> Response | None:
    """Return the answer to an invalid authorize address; None if the address is valid."""
    if not query.get("client_id"):
        return PlainTextResponse("INVALID_CLIENT: Invalid client", 400)
    redirect_uri = query.get("redirect_uri", "")
    if not _acceptable_redirect(redirect_uri):
        return PlainTextResponse("INVALID_CLIENT: Invalid redirect URI", 400)
    if query.get("response_type") != "code":
        return _callback(redirect_uri, {"error": "unsupported_response_type", **_state(query)})
    if "code_challenge" in query and query.get("code_challenge_method") != "S256":
        return _callback(redirect_uri, {"error": "invalid_request", **_state(query)})
    return None


def _state(query: QueryParams) -> dict[str, str]:
    return {"state": query["state"]} if "state" in query else {}


def _granted(request: Request, form: dict[str, str], site: Site) -> tuple[Grant, dict[str, str]]:
    """Return the grant of the form, and the refresh token for the answer.

    A refresh brings a new refresh token only if tokens rotate; else the client keeps its own.
    """
    tokens = site.tokens
    client_id, has_secret = _credentials(request, form)
    match form.get("grant_type"):
        case "authorization_code":
            code, redirect_uri = form.get("code", ""), form.get("redirect_uri", "")
            grant = tokens.redeem(code, client_id, redirect_uri, form.get("code_verifier"))
        case "refresh_token":
            grant = tokens.refreshed(form.get("refresh_token", ""), client_id)
        case _:
            raise OAuthError("unsupported_grant_type", "grant_type must be authorization_code or refresh_token")
    if grant.challenge is None and not has_secret:  # without PKCE, only the secret proves the identity of the client
        raise OAuthError("invalid_client", "Invalid client secret")
    if form["grant_type"] == "authorization_code":
        return grant, {"refresh_token": tokens.refresh_token(grant)}
    if not site.controls.rotates():
        return grant, {}
    return grant, {"refresh_token": tokens.rotated(form["refresh_token"], grant)}


def _credentials(request: Request, form: dict[str, str]) -> tuple[str, bool]:
    """Return the client id, and whether a client secret was sent; any id and any secret are accepted."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise OAuthError("invalid_client", "Invalid client") from None
        if not secret:
            raise OAuthError("invalid_client", "Invalid client secret")
    else:
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        if not client_id:
            raise OAuthError("invalid_client")
    if not client_id:
        raise OAuthError("invalid_client", "Invalid client")
    return client_id, bool(secret)


def _acceptable_redirect(uri: str) -> bool:
    """Return whether a redirect URI is https, a custom scheme or a loopback literal; since 2025 not ``localhost``."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    if parts.hostname == "localhost" or not parts.scheme:
        return False
    return parts.scheme != "http" or parts.hostname in _LOOPBACK


def _callback(redirect_uri: str, answer: dict[str, str]) -> Response:
    joint = "&" if "?" in redirect_uri else "?"
    return RedirectResponse(f"{redirect_uri}{joint}{urlencode(answer)}", 302)


def _consent_page(request: Request, site: Site) -> str:
    def choice(user_id: str, label: str) -> str:
        target = request.url.include_query_params(login_as=user_id).query
        return f'<a href="?{escape(target)}">{escape(label)}</a>'

    choices = [choice(user.id, f"{user.display_name} ({user.id}), {user.timezone}") for user in site.world.users]
    return _PAGE.format(
        client=escape(request.query_params["client_id"]),
        scope=escape(request.query_params.get("scope", "") or "nothing in particular"),
        choices="".join([*choices, choice("", "Cancel")]),
    )


ACCOUNT_ROUTES = [Route("/authorize", authorize), Route("/api/token", token, methods=["POST"])]
