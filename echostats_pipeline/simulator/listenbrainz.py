"""Simulated ListenBrainz: ``/1/validate-token`` and ``/1/submit-listens``, with its limits and its errors.

Belongs here: its two endpoints. Not here: what was submitted (``listens``).
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from echostats_pipeline.simulator.call import Site
from echostats_pipeline.simulator.limits import Window
from echostats_pipeline.simulator.other_services import OtherService

WRONG_TOKEN = "wrong"  # noqa: S105 - a token that is not accepted; every other one is
ACCOUNT = "simulated-listener"
MOST_LISTENS, LARGEST_LISTEN = 1_000, 10_240
FIRST_SECOND = 1_033_430_400  # 2002-10-01
CLOCKS_DIFFER = timedelta(hours=1)


def _validate(request: Request, _site: Site) -> Response:
    """GET /1/validate-token: whether the token of the header is known, and whose it is."""
    token = _token(request)
    if not token:
        return _error(400, "You need to provide an Authorization token.")
    if token == WRONG_TOKEN:
        return JSONResponse({"code": 200, "message": "Token invalid.", "valid": False})
    return JSONResponse({"code": 200, "message": "Token valid.", "valid": True, "user_name": ACCOUNT})


def _submit(request: Request, site: Site) -> Response:
    """POST /1/submit-listens: all listens of a request are taken, or none."""
    token = _token(request)
    if not token:
        return _error(401, "You need to provide an Authorization header.")
    if token == WRONG_TOKEN:
        return _error(401, "Invalid authorization token.")
    content: bytes = request.state.content
    try:
        body = json.loads(content)
    except ValueError as error:
        return _error(400, f"Cannot parse JSON document: {error}")
    problem = _problem(body, content, site.clock.now())
    if problem:
        return _error(400, problem)
    if body["listen_type"] != "playing_now":
        site.controls.listens.add(token, body["payload"])
    return JSONResponse({"status": "ok"})


def _problem(body: Any, content: bytes, now: datetime) -> str:
    """What is wrong with a submission; empty if nothing is."""
    if not isinstance(body, dict) or not isinstance(body.get("payload"), list):
        return "Invalid JSON document submitted."
    listens, kind = body["payload"], body.get("listen_type")
    rules = (
        (not listens, "JSON document does not contain any listens"),
        (
            len(listens) > MOST_LISTENS,
            f"Too many listens. You may not submit more than {MOST_LISTENS} listens at once.",
        ),
        (len(content) > len(listens) * LARGEST_LISTEN + _FRAME, _TOO_LARGE),
        (kind not in ("playing_now", "single", "import"), "JSON document requires a valid listen_type key."),
        (kind != "import" and len(listens) > 1, "JSON document contains more than listen for a single/playing_now."),
    )
    of_all = next((message for broken, message in rules if broken), "")
    return of_all or next((problem for listen in listens if (problem := _problem_of(listen, now))), "")


def _problem_of(listen: Any, now: datetime) -> str:
    """What is wrong with a listen: the first rule that it breaks. Later rules rely on earlier ones."""
    return next((message for message, broken in _RULES.items() if broken(listen, now)), "")


def _is_empty(name: str, *, needed: bool) -> Callable[[Any, datetime], bool]:
    """The rule that a name is a text that is not empty."""

    def broken(listen: Any, _now: datetime) -> bool:
        value = listen["track_metadata"].get(name, None if needed else "absent")
        return not isinstance(value, str) or not value.strip()

    return broken


def _lengths(listen: Any) -> list[Any]:
    info = listen["track_metadata"].get("additional_info", {})
    return [info[name] for name in ("duration", "duration_ms") if name in info]


_FRAME = 100
_TOO_LARGE = f"JSON document is too large. In aggregate, listens may not be larger than {LARGEST_LISTEN} characters."
_RULES: Mapping[str, Callable[[Any, datetime], bool]] = {
    "JSON document may only contain listened_at and track_metadata top level keys": (
        lambda listen, _: not isinstance(listen, dict) or listen.keys() != {"listened_at", "track_metadata"}
    ),
    "JSON document must contain an int value for listened_at.": lambda listen, _: (
        type(listen["listened_at"]) is not int
    ),
    f"Value for key listened_at is too low. It should be greater than {FIRST_SECOND}.": (
        lambda listen, _: listen["listened_at"] < FIRST_SECOND
    ),
    "Value for key listened_at is too high.": (
        lambda listen, now: listen["listened_at"] > (now + CLOCKS_DIFFER).timestamp()
    ),
    "JSON document does not contain a valid track_metadata.": (
        lambda listen, _: not isinstance(listen["track_metadata"], dict)
    ),
    "required field track_metadata.track_name is empty.": _is_empty("track_name", needed=True),
    "required field track_metadata.artist_name is empty.": _is_empty("artist_name", needed=True),
    "field track_metadata.release_name is empty.": _is_empty("release_name", needed=False),
    "JSON document contains a null character.": lambda listen, _: "\\u0000" in json.dumps(listen),
    _TOO_LARGE: lambda listen, _: len(json.dumps(listen)) > LARGEST_LISTEN,
    "JSON document should not contain both duration and duration_ms.": lambda listen, _: len(_lengths(listen)) > 1,
    "Value for duration is invalid, should be a positive integer.": (
        lambda listen, _: any(type(each) is not int or each <= 0 for each in _lengths(listen))
    ),
}
"""What ListenBrainz says about a listen that it does not take, and when."""


def _token(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() == "token" else ""


def _error(status: int, message: str) -> Response:
    return JSONResponse({"code": status, "error": message}, status)


def _too_many(wait: int, _variant: str) -> Response:
    response = _error(429, "You have exceeded your rate limit. See the X-RateLimit-* response headers for more info.")
    response.headers["X-RateLimit-Remaining"] = "0"
    response.headers["X-RateLimit-Reset-In"] = str(wait)
    return response


def _limit(site: Site) -> tuple[Window, int | None]:
    return site.controls.listenbrainz, site.controls.behaviour.listenbrainz_limit


_SERVICE = OtherService("listenbrainz", _limit, _too_many)
LISTENBRAINZ_ROUTES = [
    _SERVICE.route("/1/validate-token", _validate),
    _SERVICE.route("/1/submit-listens", _submit, "POST"),
]
