"""Writes one record of `api_logs` per HTTP attempt. It is the innermost layer, so it sees retries and token calls."""

import logging
from collections.abc import Callable

from echostats_pipeline.model.operations import ApiLog
from echostats_pipeline.spotify.responses import explanation
from echostats_pipeline.spotify.transport import Handler, Request, Response

logger = logging.getLogger(__name__)


class LoggingHandler:
    """A handler that records every attempt, successful or not, and changes nothing.

    Args:
        handler: Makes the attempt.
        sink: Stores the record. Its errors are logged and ignored: a call never fails because of its record.
        clock: Monotonic seconds, for the latency.
        new_request_id: Returns a new identifier for each attempt.
    """

    def __init__(
        self,
        handler: Handler,
        sink: Callable[[ApiLog], None],
        clock: Callable[[], float],
        new_request_id: Callable[[], str],
    ) -> None:
        self._handler = handler
        self._sink = sink
        self._clock = clock
        self._new_request_id = new_request_id

    def __call__(self, request: Request) -> Response:
        """Pass the request on; return or raise exactly what the inner handler does."""
        started = self._clock()
        try:
            response = self._handler(request)
        except BaseException as error:
            self._record(request, error, started)
            raise
        self._record(request, response, started)
        return response

    def _record(self, request: Request, outcome: Response | BaseException, started: float) -> None:
        try:
            self._sink(
                ApiLog(
                    user_id=request.user_id,
                    service=request.service,
                    method=request.method,
                    family=request.family,
                    endpoint=request.endpoint,
                    status_code=outcome.status_code if isinstance(outcome, Response) else 0,
                    latency_ms=(self._clock() - started) * 1000,
                    error=_short_cause(request, outcome),
                    request_id=self._new_request_id(),
                )
            )
        except Exception as failure:  # noqa: BLE001 - the named boundary: the log fails open, the call goes on
            logger.warning("An API call was not recorded: %s", type(failure).__name__)


def _short_cause(request: Request, outcome: Response | BaseException) -> str:
    """Empty for success, Spotify's words for an error, class names for an exception, whose text may quote headers."""
    if isinstance(outcome, Response):
        return "" if outcome.ok else str(explanation(request, outcome)) or "no reason given"
    return " from ".join(type(error).__name__ for error in (outcome, outcome.__cause__) if error is not None)
