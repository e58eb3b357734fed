"""Control endpoints of the simulator under ``/simulator``: clock, behaviour, statistics of calls, listens, revocation.

Belongs here: reading and changing the controls over HTTP. Not here: their effects (``clock``, ``controls``,
``tokens``).
"""

from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.simulator.behaviour import BehaviourError
from echostats_pipeline.simulator.call import Site
from echostats_pipeline.simulator.limits import QUOTA_WINDOW


async def read_clock(request: Request) -> Response:
    """GET /simulator/clock: ``{"now": "2026-01-31T12:00:00.000Z"}``."""
    return JSONResponse({"now": _stamp(_site(request).clock.now())})


async def advance_clock(request: Request) -> Response:
    """POST /simulator/clock with ``{"advance_seconds": n}``; the answer is that of GET."""
    try:
        seconds = float((await request.json())["advance_seconds"])
        _site(request).clock.advance(timedelta(seconds=seconds))
    except (ValueError, TypeError, KeyError, OverflowError):
        return JSONResponse({"error": 'send {"advance_seconds": <number>}'}, 400)
    return await read_clock(request)


async def read_behaviour(request: Request) -> Response:
    """GET /simulator/behaviour: every field."""
    return JSONResponse(_site(request).controls.behaviour.as_json())


async def change_behaviour(request: Request) -> Response:
    """POST /simulator/behaviour with the fields to change; the answer is that of GET."""
    controls = _site(request).controls
    try:
        controls.behaviour = controls.behaviour.changed(await request.json())
    except BehaviourError as error:
        return JSONResponse({"error": str(error)}, 400)
    except ValueError:
        return JSONResponse({"error": "a behaviour is a JSON object"}, 400)
    return await read_behaviour(request)


async def read_calls(request: Request) -> Response:
    """GET /simulator/calls: ``calls`` per endpoint family and user, in the last 24 h and in total."""
    site = _site(request)
    now = site.clock.now()
    return JSONResponse(
        {"now": _stamp(now), "since": _stamp(now - QUOTA_WINDOW), "calls": site.controls.meter.report(now)}
    )


async def read_listens(request: Request) -> Response:
    """GET /simulator/listens: what was submitted, and what is kept of it, for all tokens together."""
    return JSONResponse(_site(request).controls.listens.report())


async def revoke(request: Request) -> Response:
    """POST /simulator/revocations with ``{"user_id": id}``: the user removes the app."""
    site = _site(request)
    try:
        user_id = (await request.json())["user_id"]
    except (ValueError, TypeError, KeyError):
        return JSONResponse({"error": 'send {"user_id": <id>}'}, 400)
    try:
        site.tokens.revoke(site.world.user(user_id).id)
    except NotFoundError as error:
        return JSONResponse({"error": str(error)}, 404)
    return JSONResponse({"user_id": user_id})


def _site(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


SIMULATOR_ROUTES = [
    Route("/simulator/clock", read_clock, methods=["GET"]),
    Route("/simulator/clock", advance_clock, methods=["POST"]),
    Route("/simulator/behaviour", read_behaviour, methods=["GET"]),
    Route("/simulator/behaviour", change_behaviour, methods=["POST"]),
    Route("/simulator/calls", read_calls, methods=["GET"]),
    Route("/simulator/listens", read_listens, methods=["GET"]),
    Route("/simulator/revocations", revoke, methods=["POST"]),
]
