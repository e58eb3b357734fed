"""Access of an app, found at run time: batches or single reads, contents of playlists, audio features."""

import contextlib
from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.errors import (
    EndpointRefused,
    InsufficientScope,
    NotFoundOnSpotify,
    PremiumRequired,
    SpotifyUnavailable,
    UserNotRegistered,
    WaitRequired,
)
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.spotify.endpoint_access import REMEMBERED_FOR, InMemoryRefusals
from echostats_pipeline.spotify.transport import Handler, Request, Response
from echostats_pipeline_tests.spotify.fake_transport import Script, Time, answer, page

API = "https://api.spotify.com"
FORBIDDEN = answer({"error": {"status": 403, "message": "Forbidden"}}, 403)
NO_MESSAGE = answer({"error": {"status": 403}}, 403)
NOT_FOUND = answer({"error": {"status": 404, "message": "Resource not found"}}, 404)
KINDS = {"tracks": 50, "artists": 50, "albums": 20}


class Catalogue:
    """Knows every id that does not begin with "a"; can refuse batches, and demand a wait after a number of calls."""

    def __init__(self, *, batches: bool = False, patience: int = 10_000) -> None:
        self.batches = batches
        self.patience = patience
        self.asked: list[str] = []

    def __call__(self, request: Request) -> Response:
        if len(self.asked) >= self.patience:
            raise WaitRequired(request.family, Time().now, "the budget is used up")
        path = request.url.removeprefix(f"{API}/v1/")
        kind, _, spotify_id = path.partition("/")
        self.asked.append(spotify_id or "?ids")
        if spotify_id:
            return NOT_FOUND if spotify_id.startswith("a") else answer({"id": spotify_id})
        ids = request.params["ids"].split(",")
        return (
            answer({kind: [None if one.startswith("a") else {"id": one} for one in ids]}) if self.batches else FORBIDDEN
        )


def client(handler: Handler, time: Time, memory: InMemoryRefusals | None = None) -> SpotifyClient:
    return SpotifyClient(handler, API, user_id="u1", regimes=memory, clock=time)


def expected(asked: list[str]) -> dict[str, object]:
    return {one: None if one.startswith("a") or ":" in one else {"id": one} for one in asked}


ids = st.lists(st.text("abcXYZ019:", min_size=1, max_size=4), max_size=120)


@pytest.mark.parametrize("kind", KINDS)
@given(asked=ids, batches=st.booleans())
def test_both_regimes_answer_the_same(kind: str, asked: list[str], batches: bool) -> None:
    catalogue, time = Catalogue(batches=batches), Time()
    assert getattr(client(catalogue, time), kind)(asked) == expected(asked)
    sendable = {one for one in asked if ":" not in one}
    singles = Counter(one for one in catalogue.asked if one != "?ids")
    assert singles == ({} if batches else Counter(sendable))
    assert catalogue.asked.count("?ids") == (-(-len(sendable) // KINDS[kind]) if batches else bool(sendable))


def test_a_refusal_is_remembered_for_every_user_and_tried_again_after_a_week() -> None:
    time, catalogue = Time(), Catalogue()
    memory = InMemoryRefusals()
    for moved, attempts in [(0, 1), (0, 1), (REMEMBERED_FOR.total_seconds() - 1, 1), (1, 2), (0, 2)]:
        time.move(moved)
        client(catalogue, time, memory).tracks(["T1", "T2"])
        assert catalogue.asked.count("?ids") == attempts
    client(catalogue, time, memory).artists(["A1"])
    assert catalogue.asked.count("?ids") == 3
    time.move(REMEMBERED_FOR.total_seconds())
    catalogue.batches = True
    catalogue.asked.clear()
    client(catalogue, time, memory).tracks(["T1", "T2"])
    client(catalogue, time, memory).tracks(["T1", "T2"])
    assert catalogue.asked == ["?ids", "?ids"]


OTHER_REFUSALS = [
    ("User not registered in the Developer Dashboard", UserNotRegistered),
    ("Active premium subscription required for the owner of the app.", PremiumRequired),
    ("Insufficient client scope", InsufficientScope),
]


@pytest.mark.parametrize(("text", "meaning"), OTHER_REFUSALS)
@pytest.mark.parametrize("kind", [*KINDS, "audio_features"])
def test_another_refusal_says_nothing_about_the_regime(kind: str, text: str, meaning: type[Exception]) -> None:
    time = Time()
    memory = InMemoryRefusals()
    script = Script(answer(text, 403), answer({kind: [{"id": "T1"}]}))
    spotify = client(script, time, memory)
    with pytest.raises(meaning):
        getattr(spotify, kind)(["T1"])
    assert getattr(spotify, kind)(["T1"]) == {"T1": {"id": "T1"}}


def test_a_refusal_of_everything_is_not_one_of_batches() -> None:
    time, catalogue = Time(), Catalogue(batches=True)
    memory = InMemoryRefusals()
    with pytest.raises(EndpointRefused):
        client(Script(FORBIDDEN, FORBIDDEN), time, memory).tracks(["T1"])
    client(catalogue, time, memory).tracks(["T1"])
    assert catalogue.asked == ["?ids"]


@given(asked=ids, patience=st.integers(0, 130), batches=st.booleans())
def test_a_wait_in_between_loses_nothing_that_was_read(asked: list[str], patience: int, batches: bool) -> None:
    time = Time()
    memory = InMemoryRefusals()
    first, second = Catalogue(batches=batches, patience=patience), Catalogue(batches=batches)
    found: dict[str, object] = {}
    with contextlib.suppress(WaitRequired):
        found.update(client(first, time, memory).tracks_iter(asked))  # objects read before an error are kept
    assert found.items() <= expected(asked).items()
    missing = [one for one in asked if one not in found]
    found.update(client(second, time, memory).tracks_iter(missing))
    assert found == expected(asked)
    singles = Counter(one for one in first.asked + second.asked if one != "?ids")
    assert not batches or not singles
    assert max(singles.values(), default=1) == 1


def test_an_iterator_asks_only_for_what_is_taken() -> None:
    catalogue = Catalogue()
    tracks = client(catalogue, Time()).tracks_iter(["T1", "T2", "T3"])
    assert catalogue.asked == []
    assert next(tracks) == ("T1", {"id": "T1"})
    assert catalogue.asked == ["?ids", "T1"]


@pytest.mark.parametrize("failure", [answer(b"", 503), answer("Forbidden", 403)])
def test_a_single_read_that_fails_is_not_an_absence(failure: Response) -> None:
    spotify = client(Script(FORBIDDEN, answer({"id": "T1"}), failure), Time())
    with pytest.raises((SpotifyUnavailable, EndpointRefused)):
        spotify.tracks(["T1", "T2"])


@pytest.mark.parametrize("refusal", [FORBIDDEN, NO_MESSAGE])
def test_refused_audio_features_are_asked_for_once_a_week(refusal: Response) -> None:
    time, script = Time(), Script(refusal, refusal)
    memory = InMemoryRefusals()
    for calls in (1, 1):
        with pytest.raises(EndpointRefused) as error:
            client(script, time, memory).audio_features(["T1"])
        assert (len(script.asked), error.value.status_code, error.value.permanent) == (calls, 403, True)
    assert client(script, time, memory).audio_features(["local:x"]) == {"local:x": None}
    time.move(REMEMBERED_FOR.total_seconds())
    with pytest.raises(EndpointRefused):
        client(script, time, memory).audio_features(["T1"])
    assert len(script.asked) == 2


def test_contents_of_a_playlist_that_are_not_shown_are_unknown() -> None:
    script = Script(FORBIDDEN, NOT_FOUND, FORBIDDEN, answer(page([{}], f"{API}/v1/any?offset=50")), FORBIDDEN)
    spotify = client(script, Time())
    assert [spotify.playlist_items("p1") for _ in range(2)] == [None, None]
    assert spotify.playlist_items("p1") is not None
    assert spotify.playlist_items("p1", 50) is None
    assert [request.endpoint.partition("?")[0] for request in script.asked] == [
        "/v1/playlists/p1/items",
        "/v1/playlists/p1/items",
        "/v1/playlists/p1/tracks",
        "/v1/playlists/p1/items",
        "/v1/playlists/p1/items",
    ]


def test_the_former_route_is_read_where_the_present_one_does_not_exist() -> None:
    script = Script(NOT_FOUND, answer(page([{"track": {"id": "T1"}}])))
    found = client(script, Time()).playlist_items("p1")
    assert found is not None
    assert found.entries == [{"track": {"id": "T1"}}]
    assert script.asked[1].endpoint == "/v1/playlists/p1/tracks?limit=50&additional_types=track,episode"


def test_a_playlist_that_is_gone_is_an_error() -> None:
    with pytest.raises(NotFoundOnSpotify):
        client(Script(NOT_FOUND, NOT_FOUND), Time()).playlist_items("p1")


@pytest.mark.parametrize(("text", "meaning"), OTHER_REFUSALS)
def test_a_refusal_of_the_user_is_not_one_of_the_contents(text: str, meaning: type[Exception]) -> None:
    with pytest.raises(meaning):
        client(Script(answer(text, 403)), Time()).playlist_items("p1")


def test_the_memory_holds_the_latest_word_on_each_endpoint() -> None:
    memory, now = InMemoryRefusals(), Time().now
    assert memory.refused_until("/tracks?ids") is None
    for hours in (5, 3):
        memory.remember_refused("/tracks?ids", now + timedelta(hours=hours))
        assert memory.refused_until("/tracks?ids") == now + timedelta(hours=hours)
    assert memory.refused_until("/artists?ids") is None
