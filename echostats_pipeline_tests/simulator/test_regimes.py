"""Regimes over HTTP: refused endpoints, missing keys, and whose playlists show their rows."""

from collections.abc import Iterator
from typing import Any

import pytest

from echostats_pipeline.simulator.behaviour import Regime
from echostats_pipeline.simulator.people import SimulatedUser
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline.simulator.world import World
from echostats_pipeline_tests.simulator.conftest import Get

REMOVED = {
    "track": {"available_markets", "linked_from", "popularity", "preview_url"},
    "album": {"album_group", "available_markets", "label", "popularity"},
    "artist": {"followers", "genres", "popularity"},
    "user": {"country", "email", "explicit_content", "followers", "product"},
    "playlist": {"tracks"},
}
FORBIDDEN = {"error": {"status": 403, "message": "Forbidden"}}
MUTE = {"error": {"status": 403}}


def objects(body: Any) -> Iterator[dict[str, Any]]:
    """All objects of a body, at any depth."""
    if isinstance(body, dict):
        yield body
    if isinstance(body, dict | list):
        for value in body.values() if isinstance(body, dict) else body:
            yield from objects(value)


def without(body: Any, removed: dict[str, set[str]]) -> Any:
    if isinstance(body, list):
        return [without(entry, removed) for entry in body]
    if not isinstance(body, dict):
        return body
    return {key: without(value, removed) for key, value in body.items() if key not in removed.get(body.get("type"), ())}


def paths(world: World) -> list[str]:
    catalogue = world.catalogue
    return [
        "/me",
        "/me/player/recently-played",
        "/me/tracks",
        "/me/top/artists",
        "/me/top/tracks",
        "/me/playlists",
        *(f"/{kind}/{next(iter(getattr(catalogue, kind)))}" for kind in ("tracks", "artists", "albums")),
        f"/albums/{next(iter(catalogue.albums))}/tracks",
    ]


def test_a_restricted_app_gets_the_same_objects_without_the_removed_keys(
    own_simulator: RunningSimulator, own_get: Get, world: World
) -> None:
    for path in paths(world):
        own_simulator.behave(regime="extended")
        full = own_get(path)
        own_simulator.behave(regime="restricted_dev")
        cut = own_get(path)
        assert (full.status_code, cut.status_code) == (200, 200)
        assert cut.json() == without(full.json(), REMOVED)
        assert {found.get("type") for found in objects(full.json()) if without(found, REMOVED) != found}


def test_legacy_apps_get_what_extended_ones_get(own_simulator: RunningSimulator, own_get: Get, world: World) -> None:
    for path in [*paths(world), f"/tracks?ids={next(iter(world.catalogue.tracks))}"]:
        own_simulator.behave(regime="extended")
        full = own_get(path).json()
        own_simulator.behave(regime="legacy_dev")
        assert own_get(path).json() == full


def test_isrc_and_upc_stay(own_simulator: RunningSimulator, own_get: Get, world: World) -> None:
    own_simulator.behave(regime="restricted_dev")
    assert own_get(f"/tracks/{next(iter(world.catalogue.tracks))}").json()["external_ids"]["isrc"]
    assert own_get(f"/albums/{next(iter(world.catalogue.albums))}").json()["external_ids"]["upc"]


@pytest.mark.parametrize(
    ("path", "extended", "legacy", "restricted"),
    [
        ("/tracks?ids={track}", 200, 200, FORBIDDEN),
        ("/artists?ids={artist}", 200, 200, FORBIDDEN),
        ("/albums?ids={album}", 200, 200, FORBIDDEN),
        ("/artists/{artist}/albums", 200, 200, 200),
        ("/artists/{artist}/albums?limit=11", 200, 200, 400),
        ("/playlists/{playlist}/tracks", 200, 200, FORBIDDEN),
        ("/audio-features?ids={track}", 200, MUTE, MUTE),
        ("/audio-features/{track}", 200, MUTE, MUTE),
        ("/audio-analysis/{track}", 404, MUTE, MUTE),
        ("/users/{user}", 404, 404, FORBIDDEN),
        ("/users/{user}/playlists", 404, 404, FORBIDDEN),
        ("/artists/{artist}/top-tracks", 404, 404, FORBIDDEN),
        ("/markets", 404, 404, FORBIDDEN),
        ("/browse/new-releases", 404, 404, FORBIDDEN),
        ("/browse/categories", 404, 404, FORBIDDEN),
        ("/recommendations", 404, 404, 404),
        ("/search?q=a&type=track", 404, 404, 404),
    ],
)
def test_what_a_regime_lost_is_refused(
    own_simulator: RunningSimulator,
    own_get: Get,
    world: World,
    user: SimulatedUser,
    path: str,
    extended: object,
    legacy: object,
    restricted: object,
) -> None:
    address = path.format(
        track=next(iter(world.catalogue.audio_features)),
        artist=next(iter(world.catalogue.artists)),
        album=next(iter(world.catalogue.albums)),
        playlist=world.libraries[user.id].playlists[0].id,
        user=user.id,
    )
    regimes: tuple[tuple[Regime, object], ...] = (
        ("extended", extended),
        ("legacy_dev", legacy),
        ("restricted_dev", restricted),
    )
    for regime, expected in regimes:
        own_simulator.behave(regime=regime)
        response = own_get(address)
        if isinstance(expected, int):
            assert response.status_code == expected
        else:
            assert (response.status_code, response.json()) == (403, expected)


def test_a_restricted_app_reads_the_rows_of_own_playlists_only(
    own_simulator: RunningSimulator, own_get: Get, user: SimulatedUser
) -> None:
    own_simulator.behave(regime="restricted_dev")
    listed = own_get("/me/playlists").json()["items"]
    assert {playlist["owner"]["id"] == user.id for playlist in listed} == {True, False}
    for playlist in listed:
        path = f"/playlists/{playlist['id']}"
        full, rows = own_get(path), own_get(f"{path}/items")
        assert full.json()["snapshot_id"] == playlist["snapshot_id"]
        assert "tracks" not in full.json()
        if playlist["owner"]["id"] == user.id:
            assert full.json()["items"]["total"] == rows.json()["total"] == playlist["items"]["total"]
            assert all("item" in row and "track" not in row for row in rows.json()["items"])
            assert all("item" in row and "track" not in row for row in full.json()["items"]["items"])
        else:
            assert "items" not in full.json()
            assert (rows.status_code, rows.json()) == (403, FORBIDDEN)


def test_who_knows_a_collaborative_playlist_reads_its_rows(
    own_simulator: RunningSimulator, own_get: Get, world: World
) -> None:
    own_simulator.behave(regime="restricted_dev")
    shared = next(listed for listed in world.libraries[world.users[1].id].playlists if listed.collaborative)
    assert own_get(f"/playlists/{shared.id}/items").json()["total"] == len(shared.rows)
    assert own_get(f"/playlists/{shared.id}").json()["items"]["total"] == len(shared.rows)


@pytest.mark.parametrize("regime", ["extended", "restricted_dev"])
@pytest.mark.parametrize(("row_keys", "names"), [("both", {"item", "track"}), ("track", {"track"})])
def test_rows_may_be_in_a_transitional_form(
    own_simulator: RunningSimulator,
    own_get: Get,
    world: World,
    user: SimulatedUser,
    regime: Regime,
    row_keys: str,
    names: set[str],
) -> None:
    path = f"/playlists/{world.libraries[user.id].playlists[0].id}"
    own_simulator.behave(regime=regime)
    tracks = [row["item"] for row in own_get(f"{path}/items").json()["items"]]
    own_simulator.behave(row_keys=row_keys)
    for rows in (own_get(f"{path}/items").json()["items"], own_get(path).json()["items"]["items"][:20]):
        assert [row.keys() & {"item", "track"} for row in rows] == [names] * len(rows)
        assert [row[name] for row in rows for name in names] == [track for track in tracks for _ in names]
