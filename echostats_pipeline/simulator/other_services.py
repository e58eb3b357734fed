"""Checks before the endpoints of services other than Spotify: faults and their own limits.

Belongs here: `OtherService`, which turns an answer into a route. Not here: the answers (``reccobeats``,
``musicbrainz``, ``lastfm``, ``listenbrainz``).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from echostats_pipeline.simulator.behaviour import Family
from echostats_pipeline.simulator.call import Site
from echostats_pipeline.simulator.faults import server_error
from echostats_pipeline.simulator.limits import Window
from echostats_pipeline.simulator.wire import NoAnswer

_ERRORS_FROM = 400
_FAULT_WAIT_S = 2


@dataclass(frozen=True, slots=True)
class OtherService:
    """A service besides Spotify, with a limit of its own.

    Attributes:
        family: The endpoint family under which its calls are counted, and struck by faults.
        limit: The calls that count, and how many of them are allowed.
        too_fast: The answer to a call above the limit, from the seconds to wait and the variant of the fault.
    """

    family: Family
    limit: Callable[[Site], tuple[Window, int | None]]
    too_fast: Callable[[int, str], Response]

    def route(self, path: str, answer: Callable[[Request, Site], Response], method: str = "GET") -> Route:
        """The route that serves an endpoint of the service; the body of a request is in its state."""

        async def endpoint(request: Request) -> Response:
            site: Site = request.app.state.site
            request.state.content = await request.body()
            response = await self._answer(request, site, answer)
            site.controls.meter.record(self.family, "", response.status_code, site.clock.now())
            return response

        return Route(path, endpoint, methods=[method])

    async def _answer(self, request: Request, site: Site, answer: Callable[[Request, Site], Response]) -> Response:
        dice = site.controls.dice
        names = ("slow", "disconnect", "rate-limit", "server-error", "truncated-json")
        strikes = {name: dice.strike(name, self.family) for name in names}
        if strikes["slow"]:
            await asyncio.sleep(site.controls.behaviour.slow_seconds)
        if strikes["disconnect"]:
            return NoAnswer()
        if strikes["rate-limit"]:
            return self.too_fast(_FAULT_WAIT_S, strikes["rate-limit"])
        if strikes["server-error"]:
            return server_error(strikes["server-error"])
        window, limit = self.limit(site)
        wait = window.retry_after(site.clock.now(), limit) if limit else None
        if wait is not None:
            return self.too_fast(wait, "plain")
        response = answer(request, site)
        if response.status_code < _ERRORS_FROM:
            window.add(site.clock.now())
        if strikes["truncated-json"]:
            content = bytes(response.body)
            return Response(content[: len(content) // 2], media_type=response.media_type)
        return response
