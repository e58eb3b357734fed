"""The simulated Spotify as one ASGI application: accounts, Web API, other services, pictures, control endpoints.

Belongs here: combining the routes. Not here: their answers (``accounts``, ``api``, ``reccobeats``, ``musicbrainz``,
``lastfm``, ``listenbrainz``, ``pictures``, ``switchboard``), running the server (``running``).
"""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from echostats_pipeline.simulator.accounts import ACCOUNT_ROUTES
from echostats_pipeline.simulator.api import API_ROUTES
from echostats_pipeline.simulator.behaviour import Behaviour
from echostats_pipeline.simulator.call import Site
from echostats_pipeline.simulator.clock import Clock
from echostats_pipeline.simulator.controls import Controls
from echostats_pipeline.simulator.lastfm import LASTFM_ROUTES
from echostats_pipeline.simulator.listenbrainz import LISTENBRAINZ_ROUTES
from echostats_pipeline.simulator.musicbrainz import MUSICBRAINZ_ROUTES
from echostats_pipeline.simulator.pictures import PICTURE_ROUTES
from echostats_pipeline.simulator.reccobeats import RECCOBEATS_ROUTES
from echostats_pipeline.simulator.refusal import ApiError
from echostats_pipeline.simulator.switchboard import SIMULATOR_ROUTES
from echostats_pipeline.simulator.tokens import Tokens
from echostats_pipeline.simulator.world import World


def create_app(
    world: World, clock: Clock, tokens: Tokens | None = None, *, behaviour: Behaviour | None = None
) -> Starlette:
    """Return the application that serves `world` at the time of `clock`.

    `tokens` default to those of the world's seed, `behaviour` to extended quota without limits or faults. Code in this
    process reaches the controls at ``app.state.site``.
    """
    app = Starlette(
        routes=[
            *ACCOUNT_ROUTES,
            *SIMULATOR_ROUTES,
            *RECCOBEATS_ROUTES,
            *MUSICBRAINZ_ROUTES,
            *LASTFM_ROUTES,
            *LISTENBRAINZ_ROUTES,
            *PICTURE_ROUTES,
            Mount("/v1", routes=API_ROUTES),
        ],
        middleware=[Middleware(WithoutTrailingSlash)],
        exception_handlers={HTTPException: _unrouted},
    )
    app.router.redirect_slashes = False
    app.state.site = Site(
        world, clock, tokens or Tokens(world.seed, clock), Controls(world.seed, behaviour or Behaviour())
    )
    return app


class WithoutTrailingSlash:
    """Serves ``/v1/me/`` as ``/v1/me``: clients send both, and a redirect would cost one more call."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the shorter path."""
        if scope["type"] == "http" and len(scope["path"]) > 1:
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await self.app(scope, receive, send)


async def _unrouted(_request: Request, error: Exception) -> Response:
    """Answer unknown paths and methods in the error form of the Web API."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    return ApiError(status, "Service not found" if status == 404 else "Method not allowed").response()  # noqa: PLR2004
