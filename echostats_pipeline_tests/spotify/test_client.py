from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.errors import SpotifyResponseError, SpotifyUnreachable
from echostats_pipeline.spotify import client as client_module
from echostats_pipeline.spotify.client import ListPage, SpotifyClient
from echostats_pipeline.spotify.transport import Request, Response
from echostats_pipeline_tests.spotify.fake_transport import EPISODE, HEAT_WAVES, Script, answer, page

API = "https://api.spotify.com"
BATCHES = [("tracks", 50), ("artists", 50), ("albums", 20), ("audio_features", 100)]
ids = st.lists(st.text("abcXYZ019", min_size=1, max_size=4), max_size=120)


def client(handler: Callable[[Request], Response]) -> SpotifyClient:
    return SpotifyClient(handler, API, user_id="u1")


class Catalogue:
    """Knows every id that does not begin with "a", and returns the objects in the order requested."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.batches: list[list[str]] = []

    def __call__(self, request: Request) -> Response:
        assert request.url == f"{API}/v1/{self.kind.replace('_', '-')}"
        batch = request.params["ids"].split(",")
        self.batches.append(batch)
        return answer({self.kind: [None if one.startswith("a") else {"id": one.upper()} for one in batch]})


@pytest.mark.parametrize(("kind", "most"), BATCHES)
@given(asked=ids)
def test_each_id_is_asked_for_exactly_once_in_as_few_calls_as_allowed(kind: str, most: int, asked: list[str]) -> None:
    catalogue = Catalogue(kind)
    found = getattr(client(catalogue), kind)(asked)
    assert Counter(one for batch in catalogue.batches for one in batch) == Counter(set(asked))
    assert [len(batch) for batch in catalogue.batches[:-1]] == [most] * (len(catalogue.batches) - 1)
    assert len(catalogue.batches) == -(-len(set(asked)) // most)
    assert found == {one: None if one.startswith("a") else {"id": one.upper()} for one in asked}
    assert list(found) == list(dict.fromkeys(asked))


def test_ids_that_are_not_spotifys_are_unknown_without_being_sent() -> None:
    catalogue = Catalogue("tracks")
    found = client(catalogue).tracks(["local:abc", "T1", "unresolved:abc", "x,y", ""])
    assert catalogue.batches == [["T1"]]
    assert found == {"local:abc": None, "T1": {"id": "T1"}, "unresolved:abc": None, "x,y": None, "": None}


@pytest.mark.parametrize("objects", [[], [{"id": "T1"}, None, None], None, [{"id": "T1"}, "T2"], {}])
def test_a_batch_that_does_not_answer_for_every_id_is_an_error(objects: object) -> None:
    with pytest.raises(SpotifyResponseError, match="GET /v1/tracks"):
        client(Script(answer({"tracks": objects}))).tracks(["T1", "T2"])


Read = Callable[[SpotifyClient], list[dict[str, Any]] | None]
LISTS: list[tuple[Read, str]] = [
    (lambda spotify: spotify.top_items("artists", "long_term"), "/v1/me/top/artists?limit=50&time_range=long_term"),
]
PAGES: list[tuple[Callable[[SpotifyClient, int], ListPage | None], str, str]] = [
    (lambda spotify, offset: spotify.saved_tracks(offset), "/v1/me/tracks", ""),
    (lambda spotify, offset: spotify.playlists(offset), "/v1/me/playlists", ""),
    (
        lambda spotify, offset: spotify.playlist_items("p/1", offset),
        "/v1/playlists/p%2F1/items",
        "&additional_types=track,episode",
    ),
]


@pytest.mark.parametrize(("read", "path", "query"), PAGES)
def test_a_long_list_is_read_from_any_place(
    read: Callable[[SpotifyClient, int], ListPage | None], path: str, query: str
) -> None:
    first = {**page([{"n": 1}, None], f"{API}/v1/any?limit=50&offset=50"), "total": 51}
    script = Script(answer(first), answer(page([{"n": 2}])))
    assert read(client(script), 0) == ListPage([{"n": 1}, None], 0, 51, 50)
    assert read(client(script), 50) == ListPage([{"n": 2}], 50, page([{"n": 2}]).get("total", 51), None)
    assert [request.endpoint for request in script.asked] == [
        f"{path}?limit=50{query}",
        f"{path}?limit=50&offset=50{query}",
    ]


@pytest.mark.parametrize("following", ["offset=50", "offset=0", "offset=-1", "offset=1000000", "offset=x", ""])
def test_a_next_page_that_is_not_further_on_is_an_error(following: str) -> None:
    script = Script(answer(page([{}], f"{API}/v1/me/tracks?{following}")))
    with pytest.raises(SpotifyResponseError, match="circle"):
        client(script).saved_tracks(50)


@pytest.mark.parametrize(("read", "endpoint"), LISTS)
def test_a_list_is_read_to_its_end(read: Read, endpoint: str) -> None:
    second = f"{API}/v1/any?offset=50&limit=50"
    third = f"{API}/v1/any?offset=100&limit=50"
    script = Script(answer(page([{"n": 1}, None], second)), answer(page([], third)), answer(page([{"n": 2}])))
    assert read(client(script)) == [{"n": 1}, {"n": 2}]
    assert [request.endpoint for request in script.asked] == [
        endpoint,
        "/v1/any?offset=50&limit=50",
        "/v1/any?offset=100&limit=50",
    ]
    assert {(request.user_id, request.purpose) for request in script.asked} == {("u1", script.asked[0].purpose)}


FAILURES = [
    answer({"error": {"status": 429, "message": "Too many requests"}}, 429),
    answer(b"<html>", 503),
    answer({"items": None, "next": None}),
    answer({"next": None}),
    answer({"items": [1], "next": None}),
    answer({"items": []}),
    SpotifyUnreachable("no answer"),
]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize(("read", "endpoint"), LISTS)
def test_a_page_that_fails_is_never_a_shorter_list(
    read: Read, endpoint: str, failure: Response | BaseException
) -> None:
    script = Script(answer(page([{"n": 1}], f"{API}/v1/any?offset=50")), failure)
    with pytest.raises((SpotifyResponseError, SpotifyUnreachable)):
        read(client(script))


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/v1/me/tracks",
        "http://api.spotify.com/v1/me/tracks",
        "https://api.spotify.com.evil.example/v1",
        "https://api.spotify.com@evil.example/v1",
        "https://api.spotify.com\\@evil.example/v1",
        "https://api.spotify.com:8443/v1",
        "//api.spotify.com/v1",
        "/v1/me/tracks?offset=50",
        "https://[broken",
        "",
        7,
        ["https://api.spotify.com"],
    ],
)
def test_a_next_page_elsewhere_is_not_asked_for(elsewhere: object) -> None:
    script = Script(answer({"items": [], "next": elsewhere}))
    with pytest.raises(SpotifyResponseError, match="Nothing was sent there"):
        client(script).saved_tracks()
    assert len(script.asked) == 1


def test_pages_that_lead_in_a_circle_end_in_an_error() -> None:
    there, back = f"{API}/v1/a", f"{API}/v1/b"
    script = Script(*(answer(page([{}], following)) for following in (there, back, there)))
    with pytest.raises(SpotifyResponseError, match="circle"):
        client(script).top_items("tracks", "short_term")
    assert len(script.asked) == 3


def test_pages_without_an_end_are_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MOST_PAGES", 5)
    asked: list[Request] = []

    def endless(request: Request) -> Response:
        asked.append(request)
        return answer(page([{}], f"{API}/v1/me/tracks?offset={len(asked)}"))

    with pytest.raises(SpotifyResponseError, match="too far"):
        client(endless).top_items("tracks", "short_term")
    assert len(asked) == 6


def test_recently_played_is_one_page_without_a_cursor() -> None:
    exhausted = {"items": [], "next": None, "cursors": None, "limit": 50, "href": ""}
    full = {"items": [{"track": HEAT_WAVES}, None, {"track": EPISODE}], "next": f"{API}/v1/more", "cursors": {}}
    script = Script(answer(exhausted), answer(full))
    assert client(script).recently_played() == exhausted
    assert client(script).recently_played(limit=10) == full
    assert [request.endpoint for request in script.asked] == [
        "/v1/me/player/recently-played?limit=50",
        "/v1/me/player/recently-played?limit=10",
    ]


@pytest.mark.parametrize("body", [{}, {"items": None}, {"error": "x"}, []])
def test_recently_played_without_items_is_no_empty_history(body: object) -> None:
    with pytest.raises(SpotifyResponseError):
        client(Script(answer(body))).recently_played()


def test_the_profile_is_read_as_it_is() -> None:
    script = Script(answer({"id": "ann123"}))
    assert client(script).me() == {"id": "ann123"}
    assert script.asked[0].url == f"{API}/v1/me"
