"""Closes HTTP connections without an answer, below the application.

Belongs here: `NoAnswer` and the protocol that makes it possible. Not here: when it happens (``faults``).
"""

from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

_CLOSE = "simulator.close"


class NoAnswer(Response):
    """A response that closes the connection instead of answering; its status is only used in the statistics."""

    def __init__(self) -> None:
        super().__init__(status_code=502)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Close the connection, and wait until the server has noticed it."""
        scope[_CLOSE]()
        while (await receive())["type"] != "http.disconnect":
            pass


class _ClosableProtocol(H11Protocol):
    """A protocol in which the application can close its own connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app: ASGIApp = self.app

        async def closable(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, _CLOSE: self.transport.close}, receive, send)

        self.app = closable


def http_server(app: ASGIApp) -> Server:
    """Return the server of `app`, which logs warnings and errors only."""
    return Server(Config(app, http=_ClosableProtocol, log_level="warning", lifespan="off"))
