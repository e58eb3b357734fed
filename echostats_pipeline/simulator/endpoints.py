"""Checks before every endpoint of the Web API: authentication, faults, state of the app, regime, limits.

Belongs here: `Endpoint`, which turns a handler into a route. Not here: the answers of handlers (``api``), and the rules
themselves (``faults``, ``regimes``, ``limits``).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from echostats_pipeline.simulator.behaviour import Behaviour, Family
from echostats_pipeline.simulator.bodies import Json
from echostats_pipeline.simulator.call import Call, Site
from echostats_pipeline.simulator.faults import ANSWER_FAULTS, NOT_REGISTERED, PREMIUM_REQUIRED, faulty_answer
from echostats_pipeline.simulator.refusal import ApiError
from echostats_pipeline.simulator.regimes import Refusal, cut, refuse
from echostats_pipeline.simulator.tokens import Grant, TokenExpired, Tokens


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint below ``/v1``.

    Attributes:
        path: Path of the endpoint, with ``{id}`` in place of an id.
        handler: Answers a call that passes the checks.
        family: Endpoint family whose quota it uses.
        scope: Scope that the user must have granted.
        refusal: Regimes in which it is refused.
        method: HTTP method.
        status: Status of an answer that is no error.
    """

    path: str
    handler: Callable[[Call], Json]
    family: Family
    scope: str | None = None
    refusal: Refusal | None = None
    method: str = "GET"
    status: int = 200

    def route(self) -> Route:
        """The route that serves it."""
        return Route(self.path, self.answer, methods=[self.method])

    async def answer(self, request: Request) -> Response:
        """Answer, and count the call."""
        site: Site = request.app.state.site
        user_id = ""
        try:
            content = await request.body()
            call = Call(request, site, _authenticate(request, site.tokens, self.scope), content)
            user_id = call.user.id
            response = await self._answer(call, site)
        except ApiError as error:
            response = error.response()
        site.controls.meter.record(self.family, user_id, response.status_code, site.clock.now())
        return response

    async def _answer(self, call: Call, site: Site) -> Response:
        dice, behaviour = site.controls.dice, site.controls.behaviour
        strikes = {name: dice.strike(name, self.family) for name in (*ANSWER_FAULTS, "slow", "truncated-json")}
        if strikes["slow"]:
            await asyncio.sleep(behaviour.slow_seconds)
        for name in ANSWER_FAULTS:
            variant = strikes[name]
            if variant is not None:
                return faulty_answer(name, variant, call.now)
        _check_app(behaviour, call.user.id)
        refuse(self.refusal, behaviour.regime)
        site.controls.meter.admit(behaviour, self.family, call.now)
        response = JSONResponse(cut(self.handler(call), behaviour), self.status)
        if strikes["truncated-json"]:
            content = bytes(response.body)
            return Response(content[: len(content) // 2], media_type="application/json")
        return response


def _check_app(behaviour: Behaviour, user_id: str) -> None:
    if not behaviour.premium_owner:
        raise ApiError(403, PREMIUM_REQUIRED)
    if behaviour.allowed_users is not None and user_id not in behaviour.allowed_users:
        raise ApiError(403, NOT_REGISTERED["settings-https"], plain=True)


def _authenticate(request: Request, tokens: Tokens, scope: str | None) -> Grant:
    header = request.headers.get("Authorization")
    if header is None:
        raise ApiError(401, "No token provided", challenge="missing_token")
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise ApiError(400, "Only valid bearer authentication supported", challenge="invalid_request")
    try:
        grant = tokens.accessed(token)
    except TokenExpired:
        raise ApiError(401, "The access token expired", challenge="invalid_token") from None
    if grant is None:
        raise ApiError(401, "Invalid access token", challenge="invalid_token")
    if scope is not None and scope not in grant.scopes:
        raise ApiError(403, "Insufficient client scope", challenge="insufficient_scope")
    return grant
