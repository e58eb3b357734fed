"""Guard for the servers of this machine: allows requests of their own pages and of local programs.

A page of any other site can send requests to 127.0.0.1 from its visitor's browser. If it lets a name of its own point
to 127.0.0.1 (DNS rebinding), it can even read the responses. The names that a browser puts into `Host`, `Origin` and
`Sec-Fetch-Site` reveal these requests. Here: the decision, for every server that `echostats` starts. Not here: who may
see what. A client that reaches a port of this machine sees everything there.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
DEFAULT_PORTS = {"http": "80", "https": "443"}
_AUTHORITY = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(?P<port>[0-9]{1,5}))?")

Values = Callable[[str], list[str]]
"""From the name of a header to all its values."""


@dataclass(frozen=True)
class RefusedRequest:
    """Why a request is refused."""

    status: HTTPStatus
    reason: str


def refusal(method: str, values: Values, hosts: Collection[str]) -> RefusedRequest | None:
    """Why a request is refused, or None if it is allowed.

    Args:
        method: HTTP method; GET for the opening of a WebSocket.
        values: Its headers.
        hosts: Names, with or without a port, under which the server is reached besides `LOOPBACK_NAMES`.
    """
    asked = values("host")
    host = _authority(asked[0]) if len(asked) == 1 else None
    if host is None or not _is_named(host, {*LOOPBACK_NAMES, *hosts}):
        return RefusedRequest(
            HTTPStatus.FORBIDDEN,
            "This server answers at 127.0.0.1 and localhost, and under the names that it was started with. "
            "If you trust the name in your address bar, add it to ECHOSTATS_UI_HOSTS and restart `echostats up`.",
        )
    if not all(_is_own(origin, host, hosts) for origin in values("origin")):
        return RefusedRequest(HTTPStatus.FORBIDDEN, "The page of another site has asked for this. Nothing was done.")
    if not {"same-origin", "none"}.issuperset(values("sec-fetch-site")) and not _follows_a_link(method, values):
        return RefusedRequest(HTTPStatus.FORBIDDEN, "Another site has asked for this. Nothing was done.")
    return None


class GuardedApp:
    """An ASGI application that passes only allowed requests to `app`.

    Attributes:
        app: The guarded application.
        hosts: As in `refusal`.
        below: Only paths that begin with this are guarded.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = (), below: str = "/") -> None:
        self.app = app
        self.hosts = hosts
        self.below = below

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a refused request instead of the application."""
        answered: ASGIApp = self.app
        if scope["type"] in {"http", "websocket"} and scope["path"].startswith(self.below):
            found = self.refused(scope)
            if found and scope["type"] == "websocket":
                answered = WebSocketClose(reason=found.reason)
            elif found:
                answered = PlainTextResponse(f"{found.reason}\n", found.status, {"X-Content-Type-Options": "nosniff"})
        await answered(scope, receive, send)

    def refused(self, scope: Scope) -> RefusedRequest | None:
        """Why a request is refused; subclasses may add rules for their application."""
        return refusal(scope.get("method", "GET"), Headers(scope=scope).getlist, self.hosts)


def _follows_a_link(method: str, values: Values) -> bool:
    """Whether a user follows a link to a page, as from a notice. Only that user can read the page it opens."""
    return method == "GET" and (values("sec-fetch-mode"), values("sec-fetch-dest")) == (["navigate"], ["document"])


def _authority(text: str) -> tuple[str, str | None] | None:
    match = _AUTHORITY.fullmatch(text.strip().lower())
    return (match["name"], match["port"]) if match else None


def _is_named(authority: tuple[str, str | None], hosts: Collection[str]) -> bool:
    name, port = authority
    return name in hosts or f"{name}:{port}" in hosts


def _is_own(origin: str, host: tuple[str, str | None], hosts: Collection[str]) -> bool:
    """Whether a page comes from this server: from the address requested, or from a name of its reverse proxy."""
    scheme, _, rest = origin.strip().lower().partition("://")
    found = _authority(rest)
    if found is None or scheme not in DEFAULT_PORTS:
        return False
    (name, port), (host_name, host_port) = found, host
    default = DEFAULT_PORTS[scheme]
    return (name, port or default) == (host_name, host_port or default) or _is_named((name, port or default), hosts)
