"""Which requests to a server of this machine are answered: those of its own pages and of programs here.

A page of any other site can send requests to 127.0.0.1 from its visitor's browser, and with a name that it lets point
here (DNS rebinding) even read the answers. What tells them apart are the names that a browser puts into `Host`,
`Origin` and `Sec-Fetch-Site`. Here: that judgement, for every server that `echostats` starts. Not here: who may see
what, for whoever reaches a port of this machine sees all of it.
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
    """Why a request is not answered."""

    status: HTTPStatus
    reason: str


def refusal(method: str, values: Values, hosts: Collection[str]) -> RefusedRequest | None:
    """Why a request is refused, or None if it is not.

    Args:
        method: Of HTTP; GET for the opening of a WebSocket.
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
    """An ASGI application of which only requests that are not refused reach `app`.

    Attributes:
        app: What is guarded.
        hosts: As in `refusal`.
        below: Paths that begin otherwise are not guarded.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = (), below: str = "/") -> None:
        self.app = app
        self.hosts = hosts
        self.below = below

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request in the place of the application."""
        answered: ASGIApp = self.app
        if scope["type"] in {"http", "websocket"} and scope["path"].startswith(self.below):
            found = self.refused(scope)
            if found and scope["type"] == "websocket":
                answered = WebSocketClose(reason=found.reason)
            elif found:
                answered = PlainTextResponse(f"{found.reason}\n", found.status, {"X-Content-Type-Options": "nosniff"})
        await answered(scope, receive, send)

    def refused(self, scope: Scope) -> RefusedRequest | None:
        """Why a request is refused; for subclasses that know more about their application."""
        return refusal(scope.get("method", "GET"), Headers(scope=scope).getlist, self.hosts)


def _follows_a_link(method: str, values: Values) -> bool:
    """Whether a person comes to a page from elsewhere, as from a notice: what opens is for them alone to read."""
    return method == "GET" and (values("sec-fetch-mode"), values("sec-fetch-dest")) == (["navigate"], ["document"])


def _authority(text: str) -> tuple[str, str | None] | None:
    match = _AUTHORITY.fullmatch(text.strip().lower())
    return (match["name"], match["port"]) if match else None


def _is_named(authority: tuple[str, str | None], hosts: Collection[str]) -> bool:
    name, port = authority
    return name in hosts or f"{name}:{port}" in hosts


def _is_own(origin: str, host: tuple[str, str | None], hosts: Collection[str]) -> bool:
    """Whether a page comes from this server: from where the request goes, or from a name of its reverse proxy."""
    scheme, _, rest = origin.strip().lower().partition("://")
    found = _authority(rest)
    if found is None or scheme not in DEFAULT_PORTS:
        return False
    (name, port), (host_name, host_port) = found, host
    default = DEFAULT_PORTS[scheme]
    return (name, port or default) == (host_name, host_port or default) or _is_named((name, port or default), hosts)
