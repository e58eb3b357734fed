"""What is asked of Last.fm, and what its answers mean."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from echostats_pipeline.errors import RequestRefused, SpotifyResponseError, SpotifyUnavailable, WaitRequired
from echostats_pipeline.spotify.lastfm import LastFm
from echostats_pipeline.spotify.transport import Request, Response

NOW = datetime(2026, 11, 29, tzinfo=UTC)
KEY = "key-canary"


def client(status: int, body: Any, asked: list[Request] | None = None) -> LastFm:
    def handler(request: Request) -> Response:
        if asked is not None:
            asked.append(request)
        return Response(status, body=body if isinstance(body, bytes) else json.dumps(body).encode())

    return LastFm(handler, "https://lastfm.test", SecretStr(KEY), "app/1 ( me@example.org )", lambda: NOW)


def test_tags_are_read_by_id_or_by_name_and_the_key_is_in_no_log() -> None:
    asked: list[Request] = []
    tags = {"toptags": {"tag": [{"name": "rock", "count": 100}, {"name": "seen live", "count": 60}, 5]}}
    assert client(200, tags, asked).votes(mbid="m") == [("rock", 100.0), ("seen live", 60.0)]
    client(200, tags, asked).votes(name="Whö")
    assert asked[0].params["mbid"] == "m"
    assert (asked[1].params["artist"], asked[1].params["autocorrect"]) == ("Whö", "1")
    assert not any(KEY in text for request in asked for text in (request.endpoint, repr(request), request.description))
    assert asked[0].family == "lastfm"


def test_a_single_tag_may_come_without_a_list() -> None:
    assert client(200, {"toptags": {"tag": {"name": "rock", "count": 100}}}).votes(name="x") == [("rock", 100.0)]
    assert client(200, {"toptags": {}}).votes(name="x") == []


@pytest.mark.parametrize("status", [200, 404])
def test_an_unknown_artist_is_none_whatever_the_status(status: int) -> None:
    assert client(status, {"error": 6, "message": "The artist you supplied could not be found"}).votes(name="x") is None


@pytest.mark.parametrize("status", [200, 429])
def test_too_many_calls_wait_a_minute(status: int) -> None:
    with pytest.raises(WaitRequired) as waits:
        client(status, {"error": 29, "message": "Rate Limit Exceeded"}).votes(name="x")
    assert waits.value.until == NOW + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (403, {"error": 10, "message": f"Invalid API key {KEY}"}, RequestRefused),
        (403, {"error": 26, "message": "Suspended"}, RequestRefused),
        (200, {"error": 16, "message": "temporarily unavailable"}, SpotifyUnavailable),
        (500, {"error": 8, "message": "Operation failed"}, SpotifyUnavailable),
        (502, b"<html>", SpotifyUnavailable),
        (200, b"{", SpotifyResponseError),
        (200, {}, SpotifyResponseError),
    ],
)
def test_other_errors_say_whether_a_person_must_act(status: int, body: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind) as raised:
        client(status, body).votes(name="x")
    assert KEY not in str(raised.value)
