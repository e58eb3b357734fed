"""Simulated endpoints that create and change playlists.

Belongs here: what they check and what they answer. Not here: access checks (``endpoints``), the playlists themselves
(``own_playlists``).
"""

from base64 import b64decode
from typing import Any

from echostats_pipeline.simulator.bodies import Json
from echostats_pipeline.simulator.call import Call
from echostats_pipeline.simulator.catalogue import Track
from echostats_pipeline.simulator.own_playlists import OwnPlaylist
from echostats_pipeline.simulator.refusal import ApiError

MOST_URIS = 100
LONGEST_NAME = 100
MOST_COVER = 256 * 1024
URI = "spotify:track:"


def create_playlist(call: Call) -> Json:
    """POST /me/playlists, and POST /users/{id}/playlists before 2026: 201 with the full playlist."""
    body = _body(call)
    name = body.get("name")
    if not isinstance(name, str) or not name.strip():
        raise ApiError(400, "Missing required field: name")
    if call.request.path_params.get("id", call.user.id) != call.user.id:
        raise ApiError(403, "You cannot create a playlist for another user.")
    public = body.get("public", True)
    needed = "playlist-modify-public" if public else "playlist-modify-private"
    if needed not in call.scopes:
        raise ApiError(403, "Insufficient client scope", challenge="insufficient_scope")
    description = body.get("description")
    made = call.own_playlists.create(
        call.user, name[:LONGEST_NAME], description if isinstance(description, str) else "", public=bool(public)
    )
    href = f"{call.bodies.api}/playlists/{made.id}"
    empty = {
        "href": f"{href}/items",
        "items": [],
        "limit": 100,
        "next": None,
        "offset": 0,
        "previous": None,
        "total": 0,
    }
    return {
        **call.bodies.playlist(made, call.now),
        "followers": {"href": None, "total": 0},
        "items": empty,
        "tracks": {**empty, "href": f"{href}/tracks"},
    }


def change_playlist(call: Call) -> Json:
    """PUT /playlists/{id}: name and description; the answer is empty."""
    found, body = _own(call), _body(call)
    name = body.get("name", found.name)
    if not isinstance(name, str) or not name.strip():
        raise ApiError(400, "Invalid name")
    call.own_playlists.rename(found, name[:LONGEST_NAME], body.get("description", found.description))
    return {}


def replace_items(call: Call) -> Json:
    """PUT /playlists/{id}/items: replaces all rows, at most 100; or moves rows, with ``range_start``."""
    found, body = _own(call), _body(call)
    if isinstance(body, dict) and "range_start" in body and "uris" not in body:
        start, before, length = (body.get(name, 1) for name in ("range_start", "insert_before", "range_length"))
        if not all(isinstance(each, int) and 0 <= each <= len(found.rows) for each in (start, before, length)):
            raise ApiError(400, "Invalid range")
        return {"snapshot_id": call.own_playlists.move(found, start, length, before).snapshot_id(call.now)}
    changed = call.own_playlists.put(found, _tracks(call), call.now)
    return {"snapshot_id": changed.snapshot_id(call.now)}


def add_items(call: Call) -> Json:
    """POST /playlists/{id}/items: inserts rows at a position, else at the end; at most 100."""
    found, body = _own(call), _body(call)
    position = body.get("position", len(found.rows)) if isinstance(body, dict) else len(found.rows)
    if not isinstance(position, int) or not 0 <= position <= len(found.rows):
        raise ApiError(400, "Invalid position")
    changed = call.own_playlists.put(found, _tracks(call), call.now, position)
    return {"snapshot_id": changed.snapshot_id(call.now)}


def put_cover(call: Call) -> Json:
    """PUT /playlists/{id}/images: a JPEG in base64, at most 256 kB; 202."""
    found = _own(call)
    if "ugc-image-upload" not in call.scopes:
        raise ApiError(403, "Insufficient client scope", challenge="insufficient_scope")
    if len(call.content) > MOST_COVER:
        raise ApiError(413, "Payload too large")
    try:
        jpeg = b64decode(call.content, validate=True)
    except ValueError:
        jpeg = b""
    if call.request.headers.get("content-type") != "image/jpeg" or not jpeg.startswith(b"\xff\xd8"):
        raise ApiError(400, "Invalid image")
    call.own_playlists.covers[found.id] = jpeg
    return {}


def unfollow_playlist(call: Call) -> Json:
    """DELETE /playlists/{id}/followers, before 2026: how an owner deletes a playlist."""
    call.own_playlists.unfollowed.add(_own(call).id)
    return {}


def remove_from_library(call: Call) -> Json:
    """DELETE /me/library since 2026, with ``uris``: of what it removes, only playlists of the user are simulated."""
    for uri in call.request.query_params.get("uris", "").split(","):
        found = call.own_playlists.by_id.get(uri.removeprefix("spotify:playlist:"))
        if found is None or found.owner_id != call.user.id:
            raise ApiError(400, "Invalid uri")
        call.own_playlists.unfollowed.add(found.id)
    return {}


def remove_items(call: Call) -> Json:
    """DELETE /playlists/{id}/items: removes all rows of the tracks named in ``items`` or, before 2026, ``tracks``."""
    found, body = _own(call), _body(call)
    rows = body.get("items", body.get("tracks"))
    if not isinstance(rows, list) or len(rows) > MOST_URIS:
        raise ApiError(400, "Too many ids requested" if isinstance(rows, list) else "Missing required field: items")
    ids = {str(row.get("uri", "")).removeprefix(URI) for row in rows if isinstance(row, dict)}
    return {"snapshot_id": call.own_playlists.remove(found, ids).snapshot_id(call.now)}


def _own(call: Call) -> OwnPlaylist:
    """The playlist of the path, if the user owns it; generated libraries cannot be changed."""
    playlist_id = call.request.path_params["id"]
    found = call.own_playlists.by_id.get(playlist_id)
    if found is not None and found.owner_id == call.user.id:
        needed = "playlist-modify-public" if found.public else "playlist-modify-private"
        if needed not in call.scopes:
            raise ApiError(403, "Insufficient client scope", challenge="insufficient_scope")
        return found
    if found is None and call.world.playlist(playlist_id) is None:
        raise ApiError(404, "Resource not found")
    raise ApiError(403, "Forbidden")


def _tracks(call: Call) -> list[Track]:
    """The tracks named in the body (an object with ``uris``, or spotipy's bare array) or in the query."""
    body = _body(call)
    uris: Any = body if isinstance(body, list) else body.get("uris")
    if uris is None and "uris" in call.request.query_params:
        uris = [each for each in call.request.query_params["uris"].split(",") if each]
    if not isinstance(uris, list):
        raise ApiError(400, "Missing required field: uris")
    if len(uris) > MOST_URIS:
        raise ApiError(400, "Too many ids requested")
    known = call.world.releases.tracks
    ids = [str(uri).removeprefix(URI) for uri in uris]
    if not all(str(uri).startswith(URI) for uri in uris) or not all(each in known for each in ids):
        raise ApiError(400, "Invalid track uri")
    return [known[each] for each in ids]


def _body(call: Call) -> Any:
    if call.body is None:
        raise ApiError(400, "Error parsing JSON.")
    return call.body
