"""The client of ListenBrainz' API: what it sends, and what each answer means."""

import pytest
from pydantic import SecretStr

from echostats_pipeline.errors import (
    ListensRefused,
    RequestRefused,
    ScrobbleTokenRefused,
    SpotifyResponseError,
    SpotifyUnavailable,
    SpotifyUnreachable,
    WaitRequired,
)
from echostats_pipeline.spotify.listenbrainz import ListenBrainz
from echostats_pipeline.spotify.quota import Budget, MemoryLedger, Quota
from echostats_pipeline.spotify.retries import Retrying
from echostats_pipeline.spotify.transport import Handler, Response
from echostats_pipeline_tests.spotify.fake_transport import Script, Time, answer

TOKEN = "token-canary"
LISTEN = {"listened_at": 1_700_000_000, "track_metadata": {"artist_name": "Ann", "track_name": "Song"}}
OK = answer({"status": "ok"})


def server(handler: Handler) -> ListenBrainz:
    return ListenBrainz(handler, "http://koito.local/apis/listenbrainz", SecretStr(TOKEN), "agent", "u1")


def layered(script: Script, time: Time) -> Handler:
    quota = Quota(script, MemoryLedger(), Budget(), time, time.sleep)
    return Retrying(quota, time.sleep, time, jitter=lambda: 0)


def test_one_listen_is_single_and_several_are_an_import() -> None:
    script = Script(OK, OK)
    server(script).submit([LISTEN])
    server(script).submit([LISTEN, LISTEN])
    assert [request.json for request in script.asked] == [
        {"listen_type": "single", "payload": [LISTEN]},
        {"listen_type": "import", "payload": [LISTEN, LISTEN]},
    ]
    (request, _) = script.asked
    assert (request.method, request.url) == ("POST", "http://koito.local/apis/listenbrainz/1/submit-listens")
    assert request.headers["Authorization"] == f"Token {TOKEN}"
    assert (request.family, request.user_id, request.endpoint) == (
        "listenbrainz",
        "u1",
        "/apis/listenbrainz/1/submit-listens",
    )
    assert TOKEN not in repr(request)


def test_a_valid_token_tells_the_account_and_the_token_is_in_no_address() -> None:
    script = Script(answer({"code": 200, "valid": True, "user_name": "ann"}))
    assert server(script).account() == "ann"
    assert TOKEN not in script.asked[0].url + str(script.asked[0].params)


def test_a_service_that_cannot_check_tokens_is_used_all_the_same() -> None:
    assert server(Script(answer("<html></html>", 404))).account() == ""


@pytest.mark.parametrize(
    "given", [answer({"code": 200, "valid": False}), answer({"code": 401, "error": f"no {TOKEN}"}, 401)]
)
def test_a_wrong_token_is_an_error_that_does_not_repeat_it(given: Response) -> None:
    with pytest.raises(ScrobbleTokenRefused, match="does not accept the token") as raised:
        server(Script(given)).account()
    assert TOKEN not in str(raised.value)
    assert raised.value.permanent


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (answer({"code": 401, "error": "Invalid authorization token."}, 401), ScrobbleTokenRefused),
        (answer({"code": 400, "error": "listened_at is too low"}, 400), ListensRefused),
        (answer("too large", 413), ListensRefused),
        (answer("<html>", 404), RequestRefused),
        (answer("", 301, {"Location": "https://koito.local"}), RequestRefused),
        (answer("<html>a page of a proxy</html>"), SpotifyResponseError),
    ],
)
def test_an_answer_other_than_an_object_is_no_success(given: Response, kind: type[Exception]) -> None:
    with pytest.raises(kind) as raised:
        server(Script(given)).submit([LISTEN])
    assert type(raised.value) is kind


def test_the_words_of_a_refusal_are_kept() -> None:
    with pytest.raises(ListensRefused) as raised:
        server(Script(answer({"code": 400, "error": "listened_at is too low"}, 400))).submit([LISTEN])
    assert raised.value.reason == "listened_at is too low"


def test_a_submission_is_repeated_until_the_service_answers() -> None:
    time = Time()
    limit = answer({"code": 429, "error": "too fast"}, 429, {"X-RateLimit-Reset-In": "7"})
    script = Script(SpotifyUnreachable("down"), answer("", 503), limit, OK)
    server(layered(script, time)).submit([LISTEN])
    assert time.slept == [1, 2, 7]
    assert len({str(request.json) for request in script.asked}) == 1


def test_a_service_that_stays_down_is_an_error_that_passes() -> None:
    with pytest.raises(SpotifyUnavailable) as raised:
        server(layered(Script(*[answer("", 503)] * 4), Time())).submit([LISTEN])
    assert not raised.value.permanent
    with pytest.raises(WaitRequired) as wait:
        server(layered(Script(answer("", 429, {"Retry-After": "3600"})), Time())).submit([LISTEN])
    assert wait.value.family == "listenbrainz"
