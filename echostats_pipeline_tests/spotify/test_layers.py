"""All layers together, in their intended order."""

import pytest

from echostats_pipeline.errors import SpotifyUnavailable, WaitRequired
from echostats_pipeline.model.operations import ApiLog
from echostats_pipeline.spotify.authorised import AuthorisingHandler
from echostats_pipeline.spotify.call_log import LoggingHandler
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.spotify.quota import Budget, MemoryLedger, Quota
from echostats_pipeline.spotify.reccobeats import audio_features
from echostats_pipeline.spotify.retries import Retrying
from echostats_pipeline.spotify.transport import Response
from echostats_pipeline_tests.spotify.fake_transport import Script, Time, answer

EXPIRED = answer({"error": {"status": 401, "message": "The access token expired"}}, 401)
USED_UP = answer(
    {"error": {"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"}},
    429,
    {"retry-after": "48925"},
)
LIMITED = answer(b"Too many requests", 429, {"retry-after": "2"})


class Tokens:
    def access_token(self) -> str:
        return "old"

    def renewed_token(self, rejected: str) -> str:
        return "new"


class Stack:
    """A client on all layers, over a script."""

    def __init__(self, *answers: Response) -> None:
        self.time, self.ledger = Time(), MemoryLedger()
        self.records: list[ApiLog] = []
        self.logged = LoggingHandler(
            Script(*answers), self.records.append, clock=lambda: 0.0, new_request_id=lambda: "r"
        )
        self.client = SpotifyClient(self.layered(AuthorisingHandler(self.logged, Tokens())), clock=self.time)

    def layered(self, handler: AuthorisingHandler | LoggingHandler) -> Retrying:
        quota = Quota(handler, self.ledger, Budget(), self.time, self.time.sleep)
        return Retrying(quota, self.time.sleep, self.time, lambda: 0.5)

    @property
    def statuses(self) -> list[int]:
        return [record.status_code for record in self.records]


def test_every_attempt_is_recorded_and_every_hurdle_taken() -> None:
    stack = Stack(EXPIRED, answer(b"", 502), LIMITED, answer({"id": "ann"}))
    assert stack.client.me() == {"id": "ann"}
    assert stack.statuses == [401, 502, 429, 200]
    assert stack.time.slept == [1.5, 2.5]


def test_a_used_up_quota_stops_its_family_and_no_other() -> None:
    stack = Stack(USED_UP, answer({"items": []}))
    for _ in range(2):
        with pytest.raises(WaitRequired, match="tracks"):
            stack.client.tracks(["T1"])
    assert stack.client.recently_played() == {"items": []}
    assert (stack.statuses, stack.time.slept) == ([429, 200], [])


def test_what_does_not_pass_is_said_by_its_meaning() -> None:
    stack = Stack(*[answer(b"<html>", 503)] * 4)
    with pytest.raises(SpotifyUnavailable):
        stack.client.me()
    assert stack.statuses == [503] * 4


def test_reccobeats_goes_through_the_same_layers_under_its_own_name() -> None:
    stack = Stack(LIMITED, answer({"content": []}))
    assert audio_features(stack.layered(stack.logged), ["T1"]) == {"T1": None}
    assert [(record.service, record.endpoint) for record in stack.records] == [
        ("reccobeats", "/v1/audio-features?ids=T1")
    ] * 2
    assert stack.time.slept == [2.5]
