import logging
from itertools import count

import pytest
import requests

from echostats_pipeline.errors import SpotifyUnreachable
from echostats_pipeline.model.operations import ApiLog
from echostats_pipeline.spotify.call_log import LoggingHandler
from echostats_pipeline.spotify.transport import Handler, Request, Response
from echostats_pipeline_tests.spotify.fake_transport import Script, answer

CANARY = "BQ-canary-1f3a9c"
REQUEST = Request(
    "GET",
    f"https://api.spotify.com/v1/me?code={CANARY}",
    form={"refresh_token": CANARY},
    headers={"Authorization": f"Bearer {CANARY}"},
    user_id="u1",
)


def logged(handler: Handler, records: list[ApiLog]) -> LoggingHandler:
    seconds, numbers = count(10.0, 0.25), count(1)
    return LoggingHandler(
        handler, records.append, clock=lambda: next(seconds), new_request_id=lambda: f"r{next(numbers)}"
    )


def test_every_attempt_is_recorded_whatever_becomes_of_it() -> None:
    unreachable = SpotifyUnreachable("no answer")
    unreachable.__cause__ = requests.ReadTimeout(CANARY)
    refused = answer({"error": {"status": 401, "message": f"The token {CANARY} expired"}}, 401)
    script = Script(answer({}), refused, answer(b"", 500), unreachable, KeyboardInterrupt(CANARY))
    records: list[ApiLog] = []
    handler = logged(script, records)
    for _ in range(3):
        handler(REQUEST)
    with pytest.raises(SpotifyUnreachable):
        handler(REQUEST)
    with pytest.raises(KeyboardInterrupt):
        handler(REQUEST)

    assert [(record.status_code, record.error) for record in records] == [
        (200, ""),
        (401, "The token … expired"),
        (500, "no reason given"),
        (0, "SpotifyUnreachable from ReadTimeout"),
        (0, "KeyboardInterrupt"),
    ]
    assert [record.request_id for record in records] == ["r1", "r2", "r3", "r4", "r5"]
    assert {(record.user_id, record.method, record.endpoint, record.latency_ms) for record in records} == {
        ("u1", "GET", "/v1/me?code=…", 250.0)
    }
    assert CANARY not in repr(records)


def test_a_sink_that_raises_does_not_fail_the_call(caplog: pytest.LogCaptureFixture) -> None:
    def broken(record: ApiLog) -> None:
        raise OSError(CANARY)

    handler = LoggingHandler(Script(answer({"a": 1})), broken, clock=lambda: 0.0, new_request_id=lambda: "r")
    with caplog.at_level(logging.WARNING):
        assert handler(REQUEST).json() == {"a": 1}
    assert "OSError" in caplog.text
    assert CANARY not in caplog.text


def test_a_sink_that_raises_does_not_hide_the_error_of_the_call() -> None:
    def broken(record: ApiLog) -> None:
        raise OSError

    def failing(request: Request) -> Response:
        raise SpotifyUnreachable("no answer")

    with pytest.raises(SpotifyUnreachable):
        LoggingHandler(failing, broken, clock=lambda: 0.0, new_request_id=lambda: "r")(REQUEST)
