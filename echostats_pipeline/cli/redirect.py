"""The end of a sign-in: a server for the one address that Spotify sends the browser back to.

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
"""Ctrl-C is heard between two looks: not every system lets it end a wait."""
READ_TIMEOUT_S, PAGE_TIMEOUT_S = 10.0, 120.0
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>echostats</title>
<style>body{{font:18px system-ui;max-width:36rem;margin:5rem auto;padding:0 1rem}}</style>
<h1>{title}</h1><p>{text}</p></html>
"""


@dataclass(frozen=True)
class RedirectVisit:
    """A browser at the redirect address; it waits until it is answered.

    Attributes:
        address: Path and query it asked for.
    """

    address: str
    _page: SimpleQueue[tuple[HTTPStatus, str]] = field(default_factory=SimpleQueue)
    _shown: threading.Event = field(default_factory=threading.Event)

    def answer(self, title: str, text: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Show a page; returns when it is sent, or the browser is gone."""
        self._page.put((status, PAGE.format(title=html.escape(title), text=html.escape(text))))
        self._shown.wait(READ_TIMEOUT_S)

    def page(self) -> tuple[HTTPStatus, bytes]:
        """What to show, as soon as that is known.

        Raises:
            Empty: nobody has answered.
        """
        status, page = self._page.get(timeout=PAGE_TIMEOUT_S)
        return status, page.encode()

    def shown(self) -> None:
        """The page was sent, or cannot be."""
        self._shown.set()


class _Server(socketserver.ThreadingTCPServer):
    """Threads, because browsers open connections ahead that they send nothing over."""

    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # where it would let two programs listen at once

    def __init__(self, host: str, port: int, path: str) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.path = path
        self.visits: SimpleQueue[RedirectVisit] = SimpleQueue()
        super().__init__((host, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a browser that hangs up, or something else than a browser, is no concern of the person waiting."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = READ_TIMEOUT_S

    def do_GET(self) -> None:
        """Hand the address over and show what comes back."""
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
        """Nothing: the address holds the code."""


@dataclass(frozen=True)
class Redirects:
    """The visits at a redirect address that is being served."""

    _visits: SimpleQueue[RedirectVisit]

    def within(self, seconds: float) -> Iterator[RedirectVisit]:
        """The visits as they come, until so much time has passed."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(Empty):
                yield self._visits.get(timeout=POLL_S)


@dataclass(frozen=True)
class NotServed:
    """A redirect address that is not served.

    Attributes:
        reason: What stands against it on this machine; empty if the address is not this machine's.
    """

    reason: str = ""


@contextmanager
def served(redirect_uri: str) -> Iterator[Redirects | NotServed]:
    """Serve a redirect address for as long as the block runs, if it is this machine's own and free."""
    parts = urlsplit(redirect_uri)
    if parts.scheme != "http" or parts.hostname not in LOOPBACK:
        yield NotServed()
        return
    try:
        server = _Server(parts.hostname, parts.port or 80, parts.path or "/")
    except (OSError, ValueError) as error:  # taken, not allowed, or no port at all
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
