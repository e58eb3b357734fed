import contextlib
from collections.abc import Callable
from datetime import timedelta
from itertools import chain, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.errors import SpotifyUnreachable, WaitRequired
from echostats_pipeline.spotify.retries import Retrying
from echostats_pipeline.spotify.transport import Handler, Request, Response
from echostats_pipeline_tests.spotify.fake_transport import Script, Time, answer

READ = Request("GET", "https://api.spotify.com/v1/tracks")
TOKEN = Request("POST", "https://accounts.spotify.com/api/token", form={"grant_type": "refresh_token"})
WRITE = Request("POST", "https://api.spotify.com/v1/me/playlists")
UNREACHABLE = SpotifyUnreachable("no answer")
GOOD = answer({"id": "x"})
DOWN = answer(b"", 503)


def limited(seconds: str | None = "2") -> Response:
    return answer(b"Too many requests", 429, {} if seconds is None else {"retry-after": seconds})


def retrying(handler: Handler, time: Time, jitter: Callable[[], float] = lambda: 0.25, **bounds: float) -> Retrying:
    return Retrying(handler, time.sleep, time, jitter, **bounds)  # type: ignore[arg-type]


headers = st.none() | st.integers(0, 200).map(str) | st.sampled_from(["", "soon", "Fri, 20 Nov 2026 12:00:20 GMT"])
outcomes = st.one_of(
    st.just(UNREACHABLE),
    st.builds(lambda status, header: answer(b"", status, {"Retry-After": header} if header else {}),
              st.sampled_from([200, 301, 400, 401, 403, 404, 429, 500, 502, 503, 504, 599]), headers),
)  # fmt: skip


@given(
    answers=st.lists(outcomes, max_size=8),
    last=outcomes,
    request=st.sampled_from([READ, TOKEN, WRITE]),
    jitters=st.lists(st.floats(0, 1), min_size=1, max_size=8),
    elapses=st.lists(st.floats(-100, 40), min_size=1, max_size=8),
    attempts=st.integers(1, 6),
    total=st.floats(0, 90),
)
def test_the_bounds_hold_whatever_is_answered(
    answers: list[Response | SpotifyUnreachable],
    last: Response | SpotifyUnreachable,
    request: Request,
    jitters: list[float],
    elapses: list[float],
    attempts: int,
    total: float,
) -> None:
    time, asked = Time(), []
    given_answers, waits, durations = chain(answers, repeat(last)), iter(jitters * 8), iter(elapses * 8)

    def handler(call: Request) -> Response:
        asked.append(call)
        time.move(next(durations))  # a clock that is set back moves backwards
        outcome = next(given_answers)
        if isinstance(outcome, SpotifyUnreachable):
            raise outcome
        return outcome

    settled: Response | None = None
    with contextlib.suppress(WaitRequired, SpotifyUnreachable):
        settled = retrying(handler, time, lambda: next(waits), attempts=attempts, total_seconds=total)(request)
    assert settled is None or settled.status_code != 429
    assert 1 <= len(asked) <= attempts
    assert len(time.slept) == len(asked) - 1
    assert sum(time.slept) <= total + 1e-9


@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 403, 404, 418])
@pytest.mark.parametrize("request_", [READ, TOKEN, WRITE])
def test_a_permanent_answer_passes_untouched(status: int, request_: Request) -> None:
    time, permanent = Time(), answer(b"x", status, {"Retry-After": "3"})
    assert retrying(Script(permanent), time)(request_) is permanent
    assert time.slept == []


@pytest.mark.parametrize("failure", [DOWN, answer(b"<html>", 500), UNREACHABLE])
@pytest.mark.parametrize("request_", [READ, TOKEN])
def test_a_failure_is_repeated_after_one_two_and_four_seconds(
    failure: Response | SpotifyUnreachable, request_: Request
) -> None:
    time = Time()
    assert retrying(Script(failure, failure, failure, GOOD), time)(request_) is GOOD
    assert time.slept == [1.25, 2.25, 4.25]


def test_what_outlasts_the_attempts_comes_out_as_it_came() -> None:
    assert retrying(Script(*[DOWN] * 4), Time())(READ) is DOWN
    with pytest.raises(SpotifyUnreachable) as error:
        retrying(Script(*[UNREACHABLE] * 4), Time())(READ)
    assert error.value is UNREACHABLE


@pytest.mark.parametrize(
    ("header", "waited"),
    [("7", 7.25), ("0", 1.25), (None, 1.25), ("soon", 1.25), ("Fri, 20 Nov 2026 12:00:20 GMT", 20.25)],
)
def test_a_short_limit_is_sat_out(header: str | None, waited: float) -> None:
    time = Time()
    assert retrying(Script(limited(header), GOOD), time)(READ) is GOOD
    assert time.slept == [waited]


@pytest.mark.parametrize("header", ["60", "3600"])
def test_a_limit_beyond_the_patience_is_not_slept(header: str) -> None:
    time = Time()
    with pytest.raises(WaitRequired) as wait:
        retrying(Script(limited(header)), time)(READ)
    assert time.slept == []
    assert wait.value.family == "tracks"
    assert wait.value.until == time() + timedelta(seconds=int(header) + 0.25)


def test_a_limit_that_does_not_relent_ends_in_a_wait() -> None:
    with pytest.raises(WaitRequired, match="tracks"):
        retrying(Script(*[limited()] * 4), Time())(READ)


@pytest.mark.parametrize("failure", [DOWN, UNREACHABLE])
def test_a_call_that_changes_something_is_not_repeated_blindly(failure: Response | SpotifyUnreachable) -> None:
    script, time = Script(failure), Time()
    if isinstance(failure, Response):
        assert retrying(script, time)(WRITE) is failure
    else:
        with pytest.raises(SpotifyUnreachable):
            retrying(script, time)(WRITE)
    assert (len(script.asked), time.slept) == (1, [])


def test_a_call_that_was_limited_changed_nothing_and_is_repeated() -> None:
    assert retrying(Script(limited(), GOOD), Time())(WRITE) is GOOD


def test_a_clock_that_is_set_back_does_not_prolong_the_patience() -> None:
    time = Time()

    def failing(call: Request) -> Response:
        time.move(-3_600)
        return DOWN

    assert retrying(failing, time, attempts=50)(READ) is DOWN
    assert time.slept == [1.25, 2.25, 4.25, 8.25, 16.25]
