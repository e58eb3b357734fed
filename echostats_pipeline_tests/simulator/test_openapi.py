"""Every response of the extended regime against the published OpenAPI description, if that file is present.

The description is imprecise about null and about local files. Only `NULLABLE` and `_without_local_files` relax it.
"""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from echostats_pipeline.simulator.world import World
from echostats_pipeline_tests.simulator.conftest import Get

SPECIFICATION = Path(__file__).parents[3] / "shared" / "spotify-openapi.yml"
NULLABLE = (
    ("CursorPagingObject", "next"),  # the last page
    ("CursorPagingObject", "cursors"),  # an empty page
    ("PlayHistoryObject", "context"),  # played without a context
    ("PlaylistTrackObject", "item"),  # removed by Spotify
    ("PlaylistTrackObject", "track"),
    ("PlaylistObject", "images"),  # a fresh playlist
    ("SimplifiedPlaylistObject", "images"),
    ("SimplifiedPlaylistObject", "description"),
)
NULLABLE_ITEMS = ("ManyTracks", "ManyArtists", "ManyAlbums", "ManyAudioFeatures")  # unknown ids in a batch
# Documented keys that the response for an ordinary user's token need not contain, and real keys without documentation.
OPTIONAL = {
    "TrackObject": {"linked_from", "restrictions"},
    "AlbumObject": {"restrictions"},
    "SimplifiedAlbumObject": {"restrictions"},
    "CursorPagingPlayHistoryObject": {"total"},
}
UNDOCUMENTED = {
    "PlaylistTrackObject": {"primary_color", "video_thumbnail"},
    "PlaylistObject": {"primary_color"},
    "SimplifiedPlaylistObject": {"primary_color"},
}

FEW = 4
"""Playlists that are compared: all are made the same way."""

Specification = dict[str, Any]


@pytest.fixture(scope="module")
def specification() -> Specification:
    if not SPECIFICATION.exists():
        pytest.skip(f"{SPECIFICATION.name} is not beside the repository")
    loaded = yaml.load(SPECIFICATION.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    schemas = loaded["components"]["schemas"]
    for owner, name in NULLABLE:
        properties = schemas[owner]["properties"]
        properties[name] = {"anyOf": [properties[name], {"type": "null"}]}
    for response in NULLABLE_ITEMS:
        schema = loaded["components"]["responses"][response]["content"]["application/json"]["schema"]
        (listed,) = schema["properties"].values()
        listed["items"] = {"anyOf": [listed["items"], {"type": "null"}]}
    return _as_json_schema(loaded)


def _as_json_schema(node: Any) -> Any:
    """OpenAPI 3.0 says ``nullable: true`` where JSON Schema has a type of null."""
    if isinstance(node, list):
        return [_as_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    converted = {key: _as_json_schema(value) for key, value in node.items() if key != "nullable"}
    return {"anyOf": [converted, {"type": "null"}]} if node.get("nullable") is True else converted


def _validate(specification: Specification, path: str, body: Any) -> None:
    registry = Registry().with_resource("urn:spotify", DRAFT202012.create_resource(specification))
    pointer = path.replace("~", "~0").replace("/", "~1")
    response = specification["paths"][path]["get"]["responses"]["200"]
    reference = response.get("$ref", f"#/paths/{pointer}/get/responses/200")
    schema = {"$ref": f"urn:spotify{reference}/content/application~1json/schema"}
    errors = list(Draft202012Validator(schema, registry=registry).iter_errors(_without_local_files(body)))
    assert not errors, errors[0]


def _without_local_files(body: Any) -> Any:
    """The object without local files, which have null where the description wants text and are not described."""
    if isinstance(body, list):
        return [_without_local_files(item) for item in body]
    if not isinstance(body, dict):
        return body
    hidden = {"item": None, "track": None} if body.get("is_local") and "added_at" in body else {}
    return {key: hidden[key] if key in hidden else _without_local_files(value) for key, value in body.items()}


def _ids(known: Any, count: int) -> str:
    return ",".join([*list(known)[:count], "0" * 22])


CALLS: dict[str, tuple[str, Callable[[World], dict[str, object]]]] = {
    "/me": ("/me", lambda _: {}),
    "/me/player/recently-played": ("/me/player/recently-played", lambda _: {"limit": 50}),
    "an empty recently-played": ("/me/player/recently-played", lambda _: {"before": 1}),
    "/me/tracks": ("/me/tracks", lambda _: {"limit": 50}),
    "/me/top/artists": ("/me/top/artists", lambda _: {"time_range": "long_term", "limit": 50}),
    "/me/top/tracks": ("/me/top/tracks", lambda _: {"limit": 10}),
    "/me/playlists": ("/me/playlists", lambda _: {}),
    "/tracks": ("/tracks", lambda world: {"ids": _ids(world.catalogue.tracks, 49)}),
    "/artists": ("/artists", lambda world: {"ids": _ids(world.catalogue.artists, 49)}),
    "/albums": ("/albums", lambda world: {"ids": _ids(world.catalogue.albums, 19)}),
    "/audio-features": ("/audio-features", lambda world: {"ids": _ids(world.catalogue.tracks, 99)}),
}


@pytest.mark.parametrize("name", CALLS)
def test_an_answer_is_as_described(specification: Specification, get: Get, world: World, name: str) -> None:
    path, params = CALLS[name]
    _validate(specification, path, get(path, **params(world)).json())


@pytest.mark.parametrize("kind", ["tracks", "artists", "albums", "audio-features"])
def test_a_single_object_is_as_described(specification: Specification, get: Get, world: World, kind: str) -> None:
    item_ids = list(getattr(world.catalogue, kind.replace("-", "_")))[:5]
    assert len(item_ids) == 5
    for item_id in item_ids:
        _validate(specification, f"/{kind}/{{id}}", get(f"/{kind}/{item_id}").json())
    if kind == "albums":
        _validate(specification, "/albums/{id}/tracks", get(f"/albums/{item_id}/tracks").json())
    if kind == "artists":
        _validate(specification, "/artists/{id}/albums", get(f"/artists/{item_id}/albums").json())


def test_playlists_are_as_described(specification: Specification, get: Get) -> None:
    playlists = get("/me/playlists").json()["items"]
    assert len(playlists) > FEW
    for playlist in playlists[:FEW]:
        path = f"/playlists/{playlist['id']}"
        _validate(specification, "/playlists/{playlist_id}", get(path).json())
        _validate(specification, "/playlists/{playlist_id}/items", get(f"{path}/items").json())
        _validate(specification, "/playlists/{playlist_id}/tracks", get(f"{path}/tracks").json())


def test_errors_are_as_described(specification: Specification, get: Get) -> None:
    schema = {"$ref": "urn:spotify#/components/schemas/ErrorObject"}
    registry = Registry().with_resource("urn:spotify", DRAFT202012.create_resource(specification))
    for path in ("/nowhere", "/tracks/short", "/me/tracks?limit=0"):
        Draft202012Validator(schema, registry=registry).validate(get(path).json()["error"])


def test_the_validation_is_not_blind(specification: Specification, get: Get) -> None:
    body = get("/me/player/recently-played").json()
    spoilt = copy.deepcopy(body)
    spoilt["items"][0]["track"]["duration_ms"] = "180000"
    with pytest.raises(AssertionError, match="180000"):
        _validate(specification, "/me/player/recently-played", spoilt)


def _documented(specification: Specification, schema: Any) -> set[str]:
    """All property names of a schema, including those of the parts it is made of."""
    if "$ref" in schema:
        schema = specification["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    own = set(schema.get("properties", {}))
    return own.union(*(_documented(specification, part) for part in schema.get("allOf", ())))


def test_no_documented_key_is_missing_and_none_is_invented(
    specification: Specification, get: Get, world: World
) -> None:
    track_id, artist_id, album_id = (
        next(iter(known)) for known in (world.catalogue.audio_features, world.catalogue.artists, world.catalogue.albums)
    )
    recent = get("/me/player/recently-played").json()
    playlist = get("/me/playlists").json()["items"][0]
    album = get(f"/albums/{album_id}").json()
    objects = {
        "PrivateUserObject": get("/me").json(),
        "CursorPagingPlayHistoryObject": recent,
        "PlayHistoryObject": recent["items"][0],
        "TrackObject": get(f"/tracks/{track_id}").json(),
        "SimplifiedArtistObject": get(f"/tracks/{track_id}").json()["artists"][0],
        "SimplifiedAlbumObject": get(f"/tracks/{track_id}").json()["album"],
        "ArtistObject": get(f"/artists/{artist_id}").json(),
        "AlbumObject": album,
        "PagingSimplifiedTrackObject": album["tracks"],
        "AudioFeaturesObject": get(f"/audio-features/{track_id}").json(),
        "SimplifiedPlaylistObject": playlist,
        "PlaylistObject": get(f"/playlists/{playlist['id']}").json(),
        "PlaylistTrackObject": get(f"/playlists/{playlist['id']}/items").json()["items"][0],
        "SavedTrackObject": get("/me/tracks").json()["items"][0],
    }
    for name, body in objects.items():
        documented = _documented(specification, specification["components"]["schemas"][name])
        assert documented - body.keys() == OPTIONAL.get(name, set()), name
        assert body.keys() - documented == UNDOCUMENTED.get(name, set()), name
