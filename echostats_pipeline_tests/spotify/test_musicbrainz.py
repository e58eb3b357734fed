"""What is asked of MusicBrainz, and what its answers mean."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from echostats_pipeline.errors import RequestRefused, SpotifyResponseError, SpotifyUnavailable
from echostats_pipeline.spotify.musicbrainz import MusicBrainz
from echostats_pipeline.spotify.transport import Request, Response

A, B = (f"{number}1111111-0000-4000-8000-000000000000" for number in (1, 2))


def answer(status: int, body: Any = None, raw: bytes | None = None) -> Response:
    return Response(status, body=json.dumps(body).encode() if raw is None else raw)


class Service:
    """Answers by path, and remembers the requests."""

    def __init__(self, **answers: Response) -> None:
        self.answers = answers
        self.asked: list[Request] = []

    def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        path = urlsplit(request.url).path.removeprefix("/ws/2/")
        return self.answers["one" if path.startswith("artist/") else path.replace("/", "_")]


def client(service: Service) -> MusicBrainz:
    return MusicBrainz(service, "https://musicbrainz.test/", "app/1 ( me@example.org )")


def linked(spotify_id: str, *mbids: str) -> dict[str, Any]:
    artists = [{"target-type": "artist", "artist": {"id": mbid}} for mbid in mbids]
    return {"resource": f"https://open.spotify.com/artist/{spotify_id}", "relations": artists}


def test_several_links_are_one_call_with_the_agent_and_unknown_ones_are_left_out() -> None:
    service = Service(url=answer(200, {"urls": [linked("b", B), linked("a", B, A), {"resource": None}, 7]}))
    assert client(service).mbids(["a", "b", "c"]) == {"a": A, "b": B}
    (request,) = service.asked
    query = parse_qs(urlsplit(request.url).query)
    assert query["resource"] == [f"https://open.spotify.com/artist/{each}" for each in "abc"]
    assert (query["inc"], query["fmt"]) == (["artist-rels"], ["json"])
    assert request.headers["User-Agent"] == "app/1 ( me@example.org )"
    assert request.endpoint == "/ws/2/url?resource=…&inc=artist-rels&fmt=json"
    assert (request.family, request.service_name) == ("musicbrainz", "MusicBrainz")


def test_one_link_is_an_object_or_nothing() -> None:
    assert client(Service(url=answer(200, linked("a", A)))).mbids(["a"]) == {"a": A}
    assert client(Service(url=answer(404, {"error": "Not Found"}))).mbids(["a"]) == {}
    assert client(Service()).mbids([]) == {}


def test_an_answer_of_another_form_is_not_taken_for_unknown_artists() -> None:
    with pytest.raises(SpotifyResponseError, match="urls"):
        client(Service(url=answer(200, linked("a", A)))).mbids(["a", "b"])


def test_tags_of_many_come_from_one_search() -> None:
    artists = [{"id": A, "tags": [{"name": "rock", "count": 3}, {"name": 5, "count": 1}, "odd"]}, {"id": "x"}]
    service = Service(artist=answer(200, {"artists": artists}))
    assert dict(client(service).votes([A, B])) == {A: [("rock", 3.0)], B: []}
    (request,) = service.asked
    assert parse_qs(urlsplit(request.url).query)["query"] == [f"arid:{A} OR arid:{B}"]


def test_where_the_search_is_refused_artists_are_read_one_by_one() -> None:
    one = answer(200, {"tags": [{"name": "rock", "count": 3}]})
    service = Service(artist=answer(400, {"error": "Query too long"}), one=one)
    assert dict(client(service).votes([A, B])) == {A: [("rock", 3.0)], B: [("rock", 3.0)]}
    assert [urlsplit(each.url).path for each in service.asked[1:]] == [f"/ws/2/artist/{A}", f"/ws/2/artist/{B}"]
    assert parse_qs(urlsplit(service.asked[1].url).query)["inc"] == ["genres tags"]


def test_a_blocked_app_does_not_go_on_with_single_calls() -> None:
    service = Service(artist=answer(403, {"error": "blocked"}))
    with pytest.raises(RequestRefused):
        dict(client(service).votes([A, B]))
    assert len(service.asked) == 1


def test_the_list_of_genres_is_a_line_for_each() -> None:
    assert client(Service(genre_all=answer(200, raw=b"rock\nr&b\n\n"))).genre_names() == ["rock", "r&b"]
    with pytest.raises(SpotifyResponseError, match="name of a genre"):
        client(Service(genre_all=answer(200, raw=b"<html>"))).genre_names()
    with pytest.raises(SpotifyUnavailable):
        client(Service(genre_all=answer(503, {"error": "rate limit"}))).genre_names()
