"""The simulated MusicBrainz and Last.fm answer like the real ones, with their limits, their errors and their noise."""

from datetime import timedelta
from typing import Any

import pytest
import requests

from echostats_pipeline.simulator.fame import LISTED_GENRES, NOISE, is_linked, mbid, standing, votes
from echostats_pipeline.simulator.lastfm import WRONG_KEY
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline_tests.conftest import Installation

AGENT = {"User-Agent": "echostats_pipeline/test ( me@example.org )"}


def get(simulator: RunningSimulator, path: str, **query: Any) -> requests.Response:
    simulator.clock.advance(timedelta(seconds=2))  # slow enough for both services
    return requests.get(f"{simulator.base_url}{path}", params=query, headers=AGENT, timeout=10)


@pytest.fixture
def simulator(installation: Installation) -> RunningSimulator:
    return installation.simulator


def link(artist_id: str) -> str:
    return f"https://open.spotify.com/artist/{artist_id}"


def known_and_unknown(simulator: RunningSimulator) -> tuple[list[str], list[str]]:
    artists = simulator.world.catalogue.artists.values()
    known = [each.id for each in artists if is_linked(simulator.world, each, 0.84)]
    return known, [each.id for each in artists if each.id not in known]


def test_one_link_gives_an_object_or_404_and_several_give_the_known_ones(simulator: RunningSimulator) -> None:
    known, unknown = known_and_unknown(simulator)
    path = "/musicbrainz/ws/2/url"
    one = get(simulator, path, resource=link(known[0]), inc="artist-rels", fmt="json")
    artist = simulator.world.catalogue.artists[known[0]]
    assert one.json()["resource"] == link(known[0])
    assert one.json()["relations"][0]["artist"]["id"] == mbid(simulator.world, artist)
    assert get(simulator, path, resource=link(unknown[0]), fmt="json").status_code == 404
    several = get(simulator, path, resource=[link(each) for each in (known[0], unknown[0], known[1])], fmt="json")
    assert [each["resource"] for each in several.json()["urls"]] == [link(known[0]), link(known[1])]
    assert get(simulator, path, resource=[link("x" * 22)] * 101, fmt="json").status_code == 400


def test_84_of_100_artists_are_known_rather_the_popular_ones(simulator: RunningSimulator) -> None:
    known, unknown = known_and_unknown(simulator)
    artists = simulator.world.catalogue.artists
    assert len(known) / len(artists) == pytest.approx(0.84, abs=0.03)

    def popularity(ids: list[str]) -> float:
        return sum(artists[each].popularity for each in ids) / len(ids)

    assert popularity(known) > popularity(unknown)
    assert len(set(standing(simulator.world).values())) == len(artists)


def test_the_search_answers_with_tags_and_the_list_tells_genres_from_noise(simulator: RunningSimulator) -> None:
    artists = list(simulator.world.catalogue.artists.values())
    ids = [mbid(simulator.world, each) for each in artists]
    query = " OR ".join(f"arid:{each}" for each in ids)
    found = get(simulator, "/musicbrainz/ws/2/artist", query=query, limit=100, fmt="json").json()
    assert (found["count"], len(found["artists"])) == (len(ids), min(100, len(ids)))
    tags = {tag["name"] for each in found["artists"] for tag in each.get("tags", [])}
    assert tags & set(NOISE)
    listed = get(simulator, "/musicbrainz/ws/2/genre/all", fmt="txt").text.splitlines()
    assert listed == list(LISTED_GENRES)
    assert tags - set(NOISE) <= set(listed)
    one = get(simulator, f"/musicbrainz/ws/2/artist/{ids[0]}", inc="genres tags", fmt="json").json()
    assert {each["name"]: each["count"] for each in one["tags"]} == votes(simulator.world, artists[0])


def test_a_second_call_within_a_second_is_refused(simulator: RunningSimulator) -> None:
    path, again = "/musicbrainz/ws/2/genre/all", f"{simulator.base_url}/musicbrainz/ws/2/genre/all?fmt=txt"
    assert get(simulator, path, fmt="txt").ok
    refused = requests.get(again, headers=AGENT, timeout=10)
    assert (refused.status_code, "rate limit" in refused.json()["error"]) == (503, True)


@pytest.mark.parametrize(
    ("query", "number", "status"),
    [
        ({"method": "artist.getTopTags", "artist": "Nobody at all", "api_key": "k"}, 6, 200),
        ({"method": "artist.getTopTags", "artist": "x", "api_key": WRONG_KEY}, 10, 403),
        ({"method": "artist.getTopTags", "artist": "x"}, 10, 403),
        ({"method": "artist.getNothing", "api_key": "k"}, 3, 400),
        ({"method": "artist.getTopTags", "api_key": "k"}, 6, 400),
    ],
)
def test_errors_of_lastfm_are_json_with_a_number(
    simulator: RunningSimulator, query: dict[str, str], number: int, status: int
) -> None:
    answer = get(simulator, "/lastfm/2.0/", **query, format="json")
    assert (answer.json()["error"], answer.status_code) == (number, status)


def test_lastfm_counts_to_100_and_is_limited_to_five_calls_a_second(simulator: RunningSimulator) -> None:
    simulator.behave(lastfm_share=1.0)
    artist = next(each for each in simulator.world.catalogue.artists.values() if votes(simulator.world, each))
    query = {"method": "artist.getTopTags", "artist": artist.name.upper(), "api_key": "k", "format": "json"}
    answer = get(simulator, "/lastfm/2.0/", **query).json()
    assert max(tag["count"] for tag in answer["toptags"]["tag"]) == 100
    url = f"{simulator.base_url}/lastfm/2.0/"
    bodies = [requests.get(url, params=query, timeout=10).json() for _ in range(5)]
    assert [body.get("error") for body in bodies] == [None] * 4 + [29]
