"""Applies faults to calls: decides which calls are struck, and builds the faulty answers.

Belongs here: the random draws and the answers of faulty calls. Not here: the list of faults (``behaviour``), and faults
in the rows of the play history (``history``).
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import format_datetime

from starlette.responses import HTMLResponse, JSONResponse, Response

from echostats_pipeline.simulator.behaviour import FAULTS, OTHER_SERVICES, Family, Fault
from echostats_pipeline.simulator.dice import chance
from echostats_pipeline.simulator.refusal import ApiError
from echostats_pipeline.simulator.wire import NoAnswer

ROW_FAULTS = tuple(name for name, kind in FAULTS.items() if kind.struck in {"rows", "intervals"})
ANSWER_FAULTS = ("disconnect", "unauthorized", "not-registered", "premium-required", "rate-limit", "server-error")

PREMIUM_REQUIRED = (
    "Active premium subscription required for the owner of the app. When the subscription status changes, "
    "it can take a few hours before requests are allowed again."
)
NOT_REGISTERED = {
    "dashboard": "User not registered in the Developer Dashboard",
    "settings": "Check settings on developer.spotify.com/dashboard, the user may not be registered.",
    "settings-https": "Check settings on https://developer.spotify.com/dashboard, the user may not be registered.",
}
_RETRY_SECONDS = 2
_RETRY_AFTER = {"seconds": str(_RETRY_SECONDS), "zero": "0", "13749": "13749", "86236": "86236", "text": "2"}
_PHRASES = {500: "Server error.", 502: "Bad gateway.", 503: "Service unavailable", 504: "Gateway timeout"}


class FaultDice:
    """Decides for one behaviour, from its first call on, which calls are struck."""

    def __init__(self, seed: int, faults: Mapping[str, Fault]) -> None:
        self._seed = seed
        self._faults = faults
        self._calls: Counter[tuple[str, str]] = Counter()
        self._strikes: Counter[str] = Counter()

    def strike(self, name: str, family: Family | None = None) -> str | None:
        """Return the variant of fault `name` that strikes this call; None if it does not strike."""
        fault = self._faults.get(name)
        if fault is None or (fault.families and family not in fault.families):
            return None
        service = family if family in OTHER_SERVICES else ""
        self._calls[name, str(service)] += 1
        number = self._calls[name, str(service)]
        numbered = number in fault.calls and (not service or family in fault.families)
        key = (name, service, number) if service else (name, number)
        if not numbered and chance(self._seed, *key) >= fault.rate:
            return None
        variants = fault.variants or FAULTS[name].variants
        self._strikes[name] += 1
        return variants[(self._strikes[name] - 1) % len(variants)]

    def struck_rows(self, user_id: str) -> frozenset[str]:
        """Return the faults of rows that strike this call of recently-played by its number."""
        struck = []
        for name in self._faults.keys() & set(ROW_FAULTS):
            self._calls[name, user_id] += 1
            if self._calls[name, user_id] in self._faults[name].calls:
                struck.append(name)
        return frozenset(struck)


def faulty_answer(name: str, variant: str, now: datetime) -> Response:
    """Return the answer to a struck call; `name` is one of `ANSWER_FAULTS`."""
    match name:
        case "disconnect":
            return NoAnswer()
        case "unauthorized":
            wordings = {"classic": "The access token expired", "2026": "Missing/invalid/expired access token"}
            return ApiError(401, wordings[variant], challenge="invalid_token").response()
        case "not-registered":
            return ApiError(403, NOT_REGISTERED[variant], plain=True).response()
        case "premium-required":
            return ApiError(403, PREMIUM_REQUIRED, plain=variant == "text").response()
        case "rate-limit":
            return _rate_limited(variant, now)
        case _:
            return server_error(variant)


def server_error(variant: str) -> Response:
    """Return a server error; the variant is ``<status>-<json, html or empty>``."""
    status, body = int(variant[:3]), variant[4:]
    match body:
        case "json":
            return JSONResponse({"error": {"status": status, "message": _PHRASES[status]}}, status)
        case "html":
            return HTMLResponse(f"<html><body><h1>{status} {_PHRASES[status]}</h1></body></html>", status)
        case _:
            return Response(status_code=status)


def _rate_limited(variant: str, now: datetime) -> Response:
    if variant == "missing":
        return Response(status_code=429)
    at = format_datetime(now + timedelta(seconds=_RETRY_SECONDS), usegmt=True)
    retry_after = at if variant == "http-date" else _RETRY_AFTER[variant]
    if variant == "text":
        return ApiError(429, "Too many requests", retry_after=retry_after, plain=True).response()
    return ApiError(429, "API rate limit exceeded", retry_after=retry_after).response()
