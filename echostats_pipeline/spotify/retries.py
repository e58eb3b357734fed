"""Repeats calls that may succeed a moment later."""

from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus

from echostats_pipeline.errors import SpotifyUnreachable, WaitRequired
from echostats_pipeline.spotify.families import Family
from echostats_pipeline.spotify.retry_after import SHORT_WAIT, Clock, Sleep, retry_after
from echostats_pipeline.spotify.transport import Handler, Request, Response

REPEATABLE: frozenset[Family] = frozenset({"token", "listenbrainz"})
"""Families whose POST may be repeated."""


class Retrying:
    """A handler that repeats a call after a 5xx, a short 429, or no response.

    Any other response is returned at once, as it is. After the last attempt, the outcome is returned or raised as it
    is, except that a 429 becomes `WaitRequired`. Only calls that can safely be repeated are: reads, replacements,
    calls of the token endpoint, where the same grant can be requested again, and plays sent on, which a server that has
    them ignores.

    Args:
        handler: Makes one attempt.
        sleep: Waits for a number of seconds.
        clock: The current instant, aware.
        jitter: Seconds to add to each wait, so that several processes do not repeat at the same moment.
        attempts: The most attempts per call.
        total_seconds: No wait ends later than this after the first attempt began, and all waits together are no longer.
    """

    def __init__(
        self,
        handler: Handler,
        sleep: Sleep,
        clock: Clock,
        jitter: Callable[[], float],
        *,
        attempts: int = 4,
        total_seconds: float = SHORT_WAIT.total_seconds(),
    ) -> None:
        self._handler = handler
        self._sleep = sleep
        self._clock = clock
        self._jitter = jitter
        self._attempts = attempts
        self._total_seconds = total_seconds

    def __call__(self, request: Request) -> Response:
        """Make the call until it succeeds, fails for good, or uses up its attempts or time.

        Raises:
            SpotifyUnreachable: no attempt got a response.
            WaitRequired: Spotify asks for a longer wait than is allowed here.
        """
        started, slept = self._clock(), 0.0
        attempt = 1
        while True:
            outcome = self._attempt(request)
            if not _is_transient(request, outcome):
                return _settled(outcome)
            asked = self._asked_wait(outcome)
            wait = (2.0 ** (attempt - 1) if asked is None else max(asked.total_seconds(), 1.0)) + self._jitter()
            # The clock may be set back meanwhile, but the time slept is certain.
            spent = max(slept, (self._clock() - started).total_seconds())
            if attempt >= self._attempts or spent + wait > self._total_seconds:
                return _given_up(request, outcome, self._clock() + timedelta(seconds=wait))
            self._sleep(wait)
            slept += wait
            attempt += 1

    def _attempt(self, request: Request) -> Response | SpotifyUnreachable:
        try:
            return self._handler(request)
        except SpotifyUnreachable as error:
            return error

    def _asked_wait(self, outcome: Response | SpotifyUnreachable) -> timedelta | None:
        return retry_after(outcome.asked_wait, self._clock()) if isinstance(outcome, Response) else None


def _is_transient(request: Request, outcome: Response | SpotifyUnreachable) -> bool:
    if isinstance(outcome, Response) and outcome.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        return True
    failed = isinstance(outcome, SpotifyUnreachable) or outcome.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
    return failed and (request.method in ("GET", "PUT") or request.family in REPEATABLE)


def _settled(outcome: Response | SpotifyUnreachable) -> Response:
    if isinstance(outcome, SpotifyUnreachable):
        raise outcome
    return outcome


def _given_up(request: Request, outcome: Response | SpotifyUnreachable, until: datetime) -> Response:
    if isinstance(outcome, Response) and outcome.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        reason = f"{request.service_name} limits the number of calls, also after several attempts"
        raise WaitRequired(request.family, until, reason)
    return _settled(outcome)
