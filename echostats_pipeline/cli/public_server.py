"""The port of `echostats up` for reports and the files beside them: read-only, below a random token for each user.

There is no list of anything. A wrong token, a wrong name and a missing file have the same answer.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.report.public import file_named, published, read_links, user_of
from echostats_pipeline.state_folder import StateFolder

START_S, POLL_S = 10.0, 0.05
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".xml": "application/atom+xml; charset=utf-8",
    ".png": "image/png",
}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'",
}
READ = ("GET", "HEAD")
PARTS = 2
"""Parts of a path: the token and the name of the file."""


class PublicFiles:
    """An ASGI application that serves the files of users who have a link.

    Attributes:
        folder: State folder with the reports and the links.
    """

    def __init__(self, folder: StateFolder) -> None:
        self.folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; other kinds of connections are not served."""
        if scope["type"] == "http":
            answer: ASGIApp = self.answer(Request(scope))
            await answer(scope, receive, send)

    def answer(self, request: Request) -> Response:
        """Return the file that a path names, for its user's link."""
        if request.method not in READ:
            allowed = {**HEADERS, "Allow": ", ".join(READ)}
            return PlainTextResponse("Only GET and HEAD.\n", HTTPStatus.METHOD_NOT_ALLOWED, allowed)
        path = self._path(request.scope["path"])  # a URL would lose line ends
        try:
            if path is None or path.is_symlink():
                raise FileNotFoundError
            content, changed = path.read_bytes(), path.stat().st_mtime_ns
        except OSError:
            return PlainTextResponse("There is nothing here.\n", HTTPStatus.NOT_FOUND, HEADERS)
        tag = f'"{changed:x}-{len(content):x}"'
        headers = {**HEADERS, "ETag": tag, "Content-Type": TYPES[path.suffix]}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(content if path.suffix != ".xml" else self._feed(request, content), headers=headers)

    def _feed(self, request: Request, content: bytes) -> bytes:
        """The feed with links to files as they are named below the user's link."""
        token = request.scope["path"].removeprefix("/").split("/")[0]
        return published(user_of(read_links(self.folder), token) or "", content)

    def _path(self, asked: str) -> Path | None:
        parts = asked.removeprefix("/").split("/")
        key = user_of(read_links(self.folder), parts[0])
        if key is None or len(parts) != PARTS:
            return None
        name = file_named(key, parts[1])
        return None if name is None else self.folder.reports_dir / name


@contextmanager
def serving_files(folder: StateFolder, port: int, host: str) -> Iterator[str]:
    """Serve the files while the block runs; give the address without any token.

    Raises:
        EchostatsError: the port cannot be used.
    """
    config = uvicorn.Config(
        PublicFiles(folder),
        host=host,
        port=port,
        log_config=None,
        log_level="error",  # a warning for each malformed request of a robot would fill the terminal
        access_log=False,
        server_header=False,
        ws="none",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise EchostatsError(f"Port {port} of {host} cannot be used: echostats up --public-port {port + 1}")
        time.sleep(POLL_S)
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(START_S)
