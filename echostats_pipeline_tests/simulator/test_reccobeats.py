"""ReccoBeats: what it knows, what it leaves out, and how close it is to Spotify's own values."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest
import requests

from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline.simulator.world import World

SHARES = ("acousticness", "danceability", "energy", "instrumentalness", "liveness", "speechiness", "valence")
KEYS = {"id", "href", "isrc", *SHARES, "key", "loudness", "mode", "tempo"}


def ask(simulator: RunningSimulator, ids: list[str], *, repeated: bool = False) -> requests.Response:
    params: list[tuple[str, str]] = [("ids", one) for one in ids] if repeated else [("ids", ",".join(ids))]
    return requests.get(f"{simulator.base_url}/reccobeats/v1/audio-features", params=params, timeout=10)


def by_track(response: requests.Response) -> dict[str, Any]:
    assert response.json().keys() == {"content"}
    return {row["href"].rpartition("/")[2]: row for row in response.json()["content"]}


def test_it_knows_a_share_of_the_tracks_and_leaves_out_the_others(simulator: RunningSimulator, world: World) -> None:
    ids = list(world.catalogue.tracks)[:800]
    known: dict[str, Any] = {}
    for start in range(0, len(ids), 40):
        known |= by_track(ask(simulator, [*ids[start : start + 39], "0" * 22]))
    assert 0.7 < len(known) / len(ids) < 0.9
    assert known.keys() <= set(ids)
    assert all(row.keys() == KEYS for row in known.values())
    assert known.keys() - world.catalogue.audio_features.keys(), "its knowledge is its own"


@pytest.mark.parametrize(("share", "known"), [(0.0, 0), (1.0, 40)])
def test_the_share_is_settable(own_simulator: RunningSimulator, world: World, share: float, known: int) -> None:
    own_simulator.behave(reccobeats_share=share)
    assert len(by_track(ask(own_simulator, list(world.catalogue.tracks)[:40]))) == known


def test_values_are_close_to_spotifys_own(simulator: RunningSimulator, world: World) -> None:
    for track_id, row in by_track(ask(simulator, list(world.catalogue.audio_features)[:40])).items():
        own = asdict(world.catalogue.audio_features[track_id])
        assert all(abs(row[name] - own[name]) <= 0.0201 and 0 <= row[name] <= 1 for name in SHARES)
        assert abs(row["tempo"] - own["tempo"]) <= 0.51
        assert abs(row["loudness"] - own["loudness"]) <= 0.51
        assert (row["key"], row["mode"]) == (own["key"], own["mode"])
        assert row["isrc"] == world.catalogue.tracks[track_id].isrc


def test_more_than_forty_ids_are_dropped_without_a_word(own_simulator: RunningSimulator, world: World) -> None:
    own_simulator.behave(reccobeats_share=1.0)
    ids = list(world.catalogue.tracks)[:60]
    for repeated in (False, True):
        answer = ask(own_simulator, ids, repeated=repeated)
        assert answer.status_code == 200
        assert set(by_track(answer)) == set(ids[:40])


def test_the_order_is_its_own_and_the_answer_always_the_same(simulator: RunningSimulator, world: World) -> None:
    ids = list(world.catalogue.tracks)[:40]
    answer = ask(simulator, ids)
    assert answer.json() == ask(simulator, ids[::-1]).json()
    assert list(by_track(answer)) != [track_id for track_id in ids if track_id in by_track(answer)]


def test_no_ids_are_an_error_of_its_own(simulator: RunningSimulator) -> None:
    response = requests.get(f"{simulator.base_url}/reccobeats/v1/audio-features", timeout=10)
    assert (response.status_code, response.json()["status"]) == (400, 4001)


def test_its_limit_is_its_own(own_simulator: RunningSimulator, world: World) -> None:
    ids = list(world.catalogue.tracks)[:2]
    own_simulator.behave(reccobeats_limit=2, rate_limit=1, quota=1)
    assert [ask(own_simulator, ids).status_code for _ in range(3)] == [200, 200, 429]
    refused = ask(own_simulator, ids)
    assert (refused.headers["Retry-After"], refused.json()["status"]) == ("30", 4291)
    own_simulator.clock.advance(timedelta(seconds=30))
    assert ask(own_simulator, ids).status_code == 200
    calls = requests.get(f"{own_simulator.base_url}/simulator/calls", timeout=10).json()["calls"]
    assert [(row["family"], row["statuses"]) for row in calls] == [("reccobeats", {"200": 3, "429": 2})]
