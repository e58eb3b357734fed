"""The simulated Spotify as one ASGI application: accounts, Web API and the simulator's own clock on one origin.

Belongs here: putting routes together. Not here: what they answer (``accounts``, ``api``), serving them (``running``).
"""

from datetime import timedelta

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from echostats_pipeline.simulator.accounts import ACCOUNT_ROUTES
from echostats_pipeline.simulator.api import API_ROUTES
from echostats_pipeline.simulator.call import ApiError, Site
from echostats_pipeline.simulator.clock import Clock
from echostats_pipeline.simulator.tokens import Tokens
from echostats_pipeline.simulator.world import World


def create_app(world: World, clock: Clock, tokens: Tokens | None = None) -> Starlette:
    """The application that serves `world` as of `clock`; `tokens` default to those of the world's seed."""
    app = Starlette(
        routes=[
            *ACCOUNT_ROUTES,
            Route("/simulator/clock", read_clock, methods=["GET"]),
            Route("/simulator/clock", advance_clock, methods=["POST"]),
            Mount("/v1", routes=API_ROUTES),
        ],
        middleware=[Middleware(WithoutTrailingSlash)],
        exception_handlers={HTTPException: _unrouted},
    )
    app.router.redirect_slashes = False
    app.state.site = Site(world, clock, tokens or Tokens(world.seed, clock))
    return app


class WithoutTrailingSlash:
    """Serves ``/v1/me/`` as ``/v1/me``: clients send both, and a redirect would cost them a call."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the shorter path."""
        if scope["type"] == "http" and len(scope["path"]) > 1:
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await self.app(scope, receive, send)


async def read_clock(request: Request) -> Response:
    """GET /simulator/clock: ``{"now": "2026-01-31T12:00:00.000Z"}``."""
    return _clock_body(request.app.state.site.clock)


async def advance_clock(request: Request) -> Response:
    """POST /simulator/clock with ``{"advance_seconds": n}``; answers as GET does."""
    site: Site = request.app.state.site
    try:
        seconds = float((await request.json())["advance_seconds"])
        site.clock.advance(timedelta(seconds=seconds))
    except (ValueError, TypeError, KeyError, OverflowError):
        return JSONResponse({"error": 'send {"advance_seconds": <number>}'}, 400)
    return _clock_body(site.clock)


def _clock_body(clock: Clock) -> Response:
    return JSONResponse({"now": clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")})


async def _unrouted(_request: Request, error: Exception) -> Response:
    """Unknown paths and methods, in the error shape of the Web API."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    return ApiError(status, "Service not found" if status == 404 else "Method not allowed").response()  # noqa: PLR2004
