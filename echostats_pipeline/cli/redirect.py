"""The end of a sign-in: a server for the address to which Spotify sends the browser back.

Here: listening, waiting for the browser, showing it a page. Not here: what the address means (`accounts.consent`).
"""

import errno
import html
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from queue import Empty, SimpleQueue
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "::1")
POLL_S = 0.2
"""Seconds between two looks for Ctrl-C, because it does not end a wait on every system."""
READ_TIMEOUT_S, PAGE_TIMEOUT_S = 10.0, 120.0
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>echostats</title>
<style>body{{font:18px system-ui;max-width:36rem;margin:5rem auto;padding:0 1rem}}</style>
<h1>{title}</h1><p>{text}</p></html>
"""


@dataclass(frozen=True)
class RedirectVisit:
    """A browser at the redirect address. The browser waits until it gets a page.

    Attributes:
        address: Path and query that the browser requested.
    """

    address: str
    _page: SimpleQueue[tuple[HTTPStatus, str]] = field(default_factory=SimpleQueue)
    _shown: threading.Event = field(default_factory=threading.Event)

    def answer(self, title: str, text: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Show a page. Return when it is sent, or the browser is gone."""
        self._page.put((status, PAGE.format(title=html.escape(title), text=html.escape(text))))
        self._shown.wait(READ_TIMEOUT_S)

    def page(self) -> tuple[HTTPStatus, bytes]:
        """Return the page to show, as soon as it is known.

        Raises:
            Empty: no page was given.
        """
        status, page = self._page.get(timeout=PAGE_TIMEOUT_S)
        return status, page.encode()

    def shown(self) -> None:
        """Record that the page was sent, or cannot be sent."""
        self._shown.set()


class _Server(socketserver.ThreadingTCPServer):
    """A threaded server, because browsers open extra connections over which they send nothing."""

    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # where it would let two programs listen at once

    def __init__(self, host: str, port: int, path: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.path = path
        self.visits: SimpleQueue[RedirectVisit] = SimpleQueue()
        super().__init__((host, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: an aborted connection, or a client that is no browser, is no problem of the waiting user."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = READ_TIMEOUT_S

    def do_GET(self) -> None:
        """Pass the address on and show the page that comes back."""
        if urlsplit(self.path).path != self.server.path:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        visit = RedirectVisit(self.path)
        self.server.visits.put(visit)
        try:
            with suppress(Empty, OSError):
                self._show(*visit.page())
        finally:
            visit.shown()

    def _show(self, status: HTTPStatus, page: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Print nothing: the address contains the code."""


@dataclass(frozen=True)
class Redirects:
    """The visits at a redirect address that is being served."""

    _visits: SimpleQueue[RedirectVisit]

    def within(self, seconds: float) -> Iterator[RedirectVisit]:
        """Yield the visits as they come, until this time has passed."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(Empty):
                yield self._visits.get(timeout=POLL_S)


@dataclass(frozen=True)
class NotServed:
    """A redirect address that is not served.

    Attributes:
        reason: Why this machine cannot serve it; empty if the address is not this machine's.
    """

    reason: str = ""


@contextmanager
def served(redirect_uri: str) -> Iterator[Redirects | NotServed]:
    """Serve a redirect address while the block runs, if it is this machine's own and free."""
    parts = urlsplit(redirect_uri)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        yield NotServed()
        return
    try:
        server = _Server(parts.hostname, parts.port or 80, parts.path or "/")
    except (OSError, ValueError) as error:  # in use, not allowed, or no valid port
        in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        what = "is in use by another program" if in_use else f"cannot be listened at ({error})"
        yield NotServed(f"{parts.netloc} {what}")
        return
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), name="redirect", daemon=True)
        thread.start()
        try:
            yield Redirects(server.visits)
        finally:
            server.shutdown()
            thread.join()
