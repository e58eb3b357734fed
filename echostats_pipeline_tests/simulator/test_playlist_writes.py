"""Playlists that clients create and change: answers and errors as Spotify has them, in every regime."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
import requests

from echostats_pipeline.simulator.behaviour import Regime
from echostats_pipeline.simulator.people import SimulatedUser
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline_tests.simulator.conftest import SCOPE, connect

Send = Callable[..., requests.Response]
WRITING = f"{SCOPE} playlist-modify-private"


def sender(simulator: RunningSimulator, user: SimulatedUser, scope: str = WRITING) -> Send:
    token = connect(simulator, user.id, scope)["access_token"]

    def send(method: str, path: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.request(method, f"{simulator.base_url}/v1{path}", json=body, headers=headers, timeout=10)

    return send


@pytest.fixture
def send(own_simulator: RunningSimulator, user: SimulatedUser) -> Send:
    return sender(own_simulator, user)


def uris(simulator: RunningSimulator, count: int) -> list[str]:
    return [f"spotify:track:{each}" for each in list(simulator.world.releases.tracks)[:count]]


def message(response: requests.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"].get("message", "")


def test_a_playlist_is_created_filled_changed_and_emptied(own_simulator: RunningSimulator, send: Send) -> None:
    made = send("POST", "/me/playlists", {"name": "Calm", "description": "quiet", "public": False})
    assert (made.status_code, made.json()["public"], made.json()["items"]["total"]) == (201, False, 0)
    path, some = f"/playlists/{made.json()['id']}", uris(own_simulator, 5)
    versions = [made.json()["snapshot_id"]]
    for method, body, status in (
        ("PUT", {"uris": some[:2]}, 200),
        ("POST", {"uris": some[2:4]}, 201),
        ("POST", some[4:], 201),  # as spotipy sends it
        ("POST", {"uris": some[:1], "position": 0}, 201),
        ("DELETE", {"items": [{"uri": some[0]}]}, 200),
    ):
        answer = send(method, f"{path}/items", body)
        assert answer.status_code == status
        versions.append(answer.json()["snapshot_id"])
    assert len(set(versions)) == len(versions)
    assert [row["track"]["uri"] for row in send("GET", f"{path}/items").json()["items"]] == some[1:]
    assert send("PUT", path, {"name": "Calmer"}).status_code == 200
    assert send("GET", path).json()["name"] == "Calmer"
    assert send("GET", "/me/playlists").json()["items"][0]["name"] == "Calmer"


def test_wrong_writes_are_refused_as_spotify_refuses_them(
    own_simulator: RunningSimulator, user: SimulatedUser, send: Send
) -> None:
    own = f"/playlists/{send('POST', '/me/playlists', {'name': 'a', 'public': False}).json()['id']}"
    generated = f"/playlists/{own_simulator.world.libraries[user.id].playlists[0].id}"
    other = sender(own_simulator, own_simulator.world.users[1])
    many = uris(own_simulator, 101)
    assert message(send("POST", "/me/playlists", {})) == (400, "Missing required field: name")
    assert message(send("POST", "/me/playlists", {"name": "a"})) == (403, "Insufficient client scope")
    assert message(send("PUT", f"{own}/items", {"uris": many})) == (400, "Too many ids requested")
    assert message(send("PUT", f"{own}/items", {"uris": ["spotify:track:none"]})) == (400, "Invalid track uri")
    assert message(send("POST", f"{own}/items", {"uris": many[:1], "position": 9})) == (400, "Invalid position")
    assert message(send("PUT", f"{generated}/items", {"uris": []})) == (403, "Forbidden")
    assert message(other("PUT", f"{own}/items", {"uris": []})) == (403, "Forbidden")
    assert message(send("PUT", "/playlists/0000000000000000000000/items", {"uris": []})) == (404, "Resource not found")
    without = sender(own_simulator, user, SCOPE)
    assert message(without("PUT", f"{own}/items", {"uris": []})) == (403, "Insufficient client scope")


@pytest.mark.parametrize(("regime", "status"), [("extended", 201), ("legacy_dev", 201), ("restricted_dev", 403)])
def test_the_routes_of_before_2026_are_gone_for_restricted_apps(
    own_simulator: RunningSimulator, user: SimulatedUser, send: Send, regime: Regime, status: int
) -> None:
    own_simulator.behave(regime=regime)
    made = send("POST", "/me/playlists", {"name": "a", "public": False})
    assert made.status_code == 201
    old = send("POST", f"/users/{user.id}/playlists", {"name": "a", "public": False})
    rows = send("POST", f"/playlists/{made.json()['id']}/tracks", {"uris": uris(own_simulator, 1)})
    assert (old.status_code, rows.status_code) == (status, status)


def test_rows_are_moved_and_a_deleted_playlist_answers_but_is_not_listed(
    own_simulator: RunningSimulator, send: Send
) -> None:
    made = send("POST", "/me/playlists", {"name": "Calm", "public": False}).json()
    path, some = f"/playlists/{made['id']}", uris(own_simulator, 5)
    send("PUT", f"{path}/items", {"uris": some})
    assert send("PUT", f"{path}/items", {"range_start": 0, "range_length": 2, "insert_before": 5}).status_code == 200
    assert send("PUT", f"{path}/items", {"range_start": 4, "insert_before": 0}).status_code == 200
    rows = [row["track"]["uri"] for row in send("GET", f"{path}/items").json()["items"]]
    assert rows == [some[1], some[2], some[3], some[4], some[0]]
    assert message(send("PUT", f"{path}/items", {"range_start": 9, "insert_before": 0})) == (400, "Invalid range")
    assert send("DELETE", f"{path}/followers").status_code == 200
    assert send("GET", path).status_code == 200
    assert made["id"] not in {each["id"] for each in send("GET", "/me/playlists").json()["items"]}
    own_simulator.behave(regime="restricted_dev")
    again = send("POST", "/me/playlists", {"name": "Calm", "public": False}).json()["id"]
    assert send("DELETE", f"/me/library?uris=spotify:playlist:{again}").status_code == 200
    assert again not in {each["id"] for each in send("GET", "/me/playlists").json()["items"]}


def test_a_cover_is_a_jpeg_in_base64_with_a_permission_of_its_own(
    own_simulator: RunningSimulator, user: SimulatedUser, send: Send
) -> None:
    made = send("POST", "/me/playlists", {"name": "Calm", "public": False}).json()["id"]
    jpeg = b64encode(b"\xff\xd8\xff a picture")

    def put(content: bytes, scope: str, kind: str = "image/jpeg") -> int:
        token = connect(own_simulator, user.id, scope)["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        url = f"{own_simulator.base_url}/v1/playlists/{made}/images"
        return requests.put(url, data=content, headers=headers, timeout=10).status_code

    allowed = f"{WRITING} ugc-image-upload"
    assert put(jpeg, WRITING) == 403
    assert put(jpeg, allowed) == 202
    assert put(jpeg, allowed, "application/json") == 400
    assert put(b"no picture", allowed) == 400
    assert put(b"A" * 256 * 1024 + b"AAAA", allowed) == 413
