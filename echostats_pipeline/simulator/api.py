"""Simulated endpoints of the Web API under ``/v1``.

Belongs here: the answer of each endpoint, and `API_ROUTES`. Not here: access checks (``endpoints``), the objects
(``bodies``), sign-in (``accounts``).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from urllib.parse import urlencode

from echostats_pipeline.simulator.behaviour import Regime
from echostats_pipeline.simulator.bodies import Json
from echostats_pipeline.simulator.call import Call, offset_page
from echostats_pipeline.simulator.catalogue import Album, Artist, Track
from echostats_pipeline.simulator.endpoints import Endpoint
from echostats_pipeline.simulator.history import History
from echostats_pipeline.simulator.library import Playlist
from echostats_pipeline.simulator.names import BASE62, ID_LENGTH
from echostats_pipeline.simulator.playlist_writes import (
    add_items,
    change_playlist,
    create_playlist,
    put_cover,
    remove_from_library,
    remove_items,
    replace_items,
    unfollow_playlist,
)
from echostats_pipeline.simulator.refusal import ApiError
from echostats_pipeline.simulator.regimes import REMOVED_2024, REMOVED_2026, playlist_row_keys
from echostats_pipeline.simulator.world import TIME_RANGES, TimeRange

T = TypeVar("T")

_TRACK_BATCH, _ARTIST_BATCH, _ALBUM_BATCH, _FEATURES_BATCH = 50, 50, 20, 100
_ALBUM_PAGE = 50
_PLAYLIST_PAGE = 100  # rows that a full playlist embeds, and the largest page of the old /tracks route
_ITEMS_PAGE = 50
_ALBUM_GROUPS = ("album", "single", "compilation", "appears_on")
_ALBUMS_PAGE: Mapping[Regime, tuple[int, int]] = {
    "extended": (50, 20),
    "legacy_dev": (50, 20),
    "restricted_dev": (10, 5),
}
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def me(call: Call) -> Json:
    """GET /me."""
    return call.bodies.private_user(call.user, call.scopes)


def recently_played(call: Call) -> Json:
    """GET /me/player/recently-played: cursors are strings of Unix milliseconds, exclusive; null on an empty page.

    ``next`` is given whenever the page has rows, even if it leads to an empty page.
    """
    query = call.request.query_params
    if "after" in query and "before" in query:
        raise ApiError(400, "Only one of after and before may be specified")
    limit = call.limit()
    never = 2**62
    after = call.number("after", default=-1, at_least=-1, at_most=never)
    before = call.number("before", default=never, at_least=0, at_most=never)
    history = History(call.world, call.user, call.controls.behaviour)
    rows = history.rows(call.now, call.controls.dice.struck_rows(call.user.id))
    page = [row for row in rows if after < _unix_ms(row.played_at) < before][:limit]
    asked = {name: query[name] for name in ("after", "before") if name in query}
    body: Json = {
        "items": [call.bodies.history_row(row) for row in page],
        "next": None,
        "cursors": None,
        "limit": limit,
        "href": f"{call.url}?{urlencode({**asked, 'limit': limit})}",
    }
    if page:
        oldest = str(_unix_ms(page[-1].played_at))
        body["cursors"] = {"after": str(_unix_ms(page[0].played_at)), "before": oldest}
        body["next"] = f"{call.url}?{urlencode({'before': oldest, 'limit': limit})}"
    return body


def saved_tracks(call: Call) -> Json:
    """GET /me/tracks, newest first."""
    return call.page(call.world.saved_tracks(call.user, call.now), call.bodies.saved_track)


def top_artists(call: Call) -> Json:
    """GET /me/top/artists."""
    time_range = _time_range(call)
    artists = call.world.top_artists(call.user, time_range, call.now)
    return call.page(artists, call.bodies.artist, time_range=time_range)


def top_tracks(call: Call) -> Json:
    """GET /me/top/tracks."""
    time_range = _time_range(call)
    tracks = call.world.top_tracks(call.user, time_range, call.now)
    return call.page(tracks, call.bodies.track, time_range=time_range)


def my_playlists(call: Call) -> Json:
    """GET /me/playlists: own and followed ones."""
    return call.page(
        (*call.own_playlists.of(call.user), *call.world.playlists(call.user)),
        lambda playlist: call.bodies.playlist_reference(playlist, call.now),
    )


def playlist(call: Call) -> Json:
    """GET /playlists/{id}: the first 100 rows embedded, under ``items`` and under the deprecated ``tracks``.

    A restricted app does not get the rows of playlists of other users.
    """
    found = _playlist(call)
    body = {
        **call.bodies.playlist(found, call.now),
        "followers": {"href": None, "total": len(found.rows) % 7},
    }
    if _shows_rows(call, found):
        body["items"] = _embedded_rows(call, found, "items", _ITEMS_PAGE, playlist_row_keys(call.controls.behaviour))
        body["tracks"] = _embedded_rows(call, found, "tracks", _PLAYLIST_PAGE, ("track",))
    return body


def playlist_items(call: Call) -> Json:
    """GET /playlists/{id}/items: rows hold ``item`` and, outside the restricted regime, the deprecated ``track``."""
    found = _playlist(call)
    if not _shows_rows(call, found):
        raise ApiError(403, "Forbidden")
    keys = playlist_row_keys(call.controls.behaviour)
    return call.page(
        found.rows_at(call.now), lambda row: call.bodies.playlist_row(row, found, keys), at_most=_ITEMS_PAGE
    )


def playlist_tracks(call: Call) -> Json:
    """GET /playlists/{id}/tracks, the route before 2026: rows hold ``track`` only, pages of up to 100."""
    found = _playlist(call)
    rows = found.rows_at(call.now)
    return call.page(rows, lambda row: call.bodies.playlist_row(row, found, ("track",)), at_most=_PLAYLIST_PAGE)


def track(call: Call) -> Json:
    """GET /tracks/{id}."""
    return call.bodies.track(_one(call, call.world.releases.tracks))


def tracks(call: Call) -> Json:
    """GET /tracks?ids=, at most 50; unknown ids give null."""
    return {"tracks": _batch(call, _TRACK_BATCH, call.world.releases.tracks, call.bodies.track)}


def artist(call: Call) -> Json:
    """GET /artists/{id}."""
    return call.bodies.artist(_one(call, call.world.catalogue.artists))


def artists(call: Call) -> Json:
    """GET /artists?ids=, at most 50; unknown ids give null."""
    return {"artists": _batch(call, _ARTIST_BATCH, call.world.catalogue.artists, call.bodies.artist)}


def artist_albums(call: Call) -> Json:
    """GET /artists/{id}/albums, newest first; since February 2026, pages have at most 10 albums and 5 by default."""
    found = _one(call, call.world.catalogue.artists)
    groups = call.request.query_params.get("include_groups", ",".join(_ALBUM_GROUPS)).split(",")
    if not set(groups) <= set(_ALBUM_GROUPS):
        raise ApiError(400, "Invalid include_groups")
    albums = [
        (album, group)
        for album in call.world.catalogue.albums.values()
        if (group := _album_group(found, album, call.world.catalogue.album_tracks[album.id])) in groups
    ]
    albums.sort(key=lambda each: (each[0].release_date, each[0].id), reverse=True)
    most, default = _ALBUMS_PAGE[call.controls.behaviour.regime]
    return call.page(
        albums,
        lambda each: {**call.bodies.album_reference(each[0]), "album_group": each[1]},
        at_most=most,
        default=default,
        include_groups=",".join(groups),
    )


def album(call: Call) -> Json:
    """GET /albums/{id} with the first 50 tracks."""
    return _album_body(call, _one(call, call.world.releases.albums))


def albums(call: Call) -> Json:
    """GET /albums?ids=, at most 20; unknown ids give null."""
    return {"albums": _batch(call, _ALBUM_BATCH, call.world.releases.albums, lambda found: _album_body(call, found))}


def album_tracks(call: Call) -> Json:
    """GET /albums/{id}/tracks."""
    found = _one(call, call.world.releases.albums)
    return call.page(call.world.releases.album_tracks[found.id], call.bodies.track_reference)


def audio_features(call: Call) -> Json:
    """GET /audio-features/{id}; 404 for a track that was never measured."""
    features = _one(call, call.world.releases.audio_features)
    return call.bodies.audio_features(_one(call, call.world.releases.tracks), features)


def audio_features_batch(call: Call) -> Json:
    """GET /audio-features?ids=, at most 100; null for unknown ids and for tracks never measured."""
    measured = call.world.releases.audio_features

    def body(found: Track) -> Json | None:
        return call.bodies.audio_features(found, measured[found.id]) if found.id in measured else None

    return {"audio_features": _batch(call, _FEATURES_BATCH, call.world.releases.tracks, body)}


def _time_range(call: Call) -> TimeRange:
    asked = call.request.query_params.get("time_range", "medium_term")
    for time_range in TIME_RANGES:
        if time_range == asked:
            return time_range
    raise ApiError(400, "Invalid time range")


def _playlist(call: Call) -> Playlist:
    """Return the playlist of the path, unless it is another user's private one; collaborative ones are open to all."""
    playlist_id = call.request.path_params["id"]
    found = call.own_playlists.by_id.get(playlist_id) or call.world.playlist(playlist_id)
    if found is None or not (found.public or found.collaborative or found.owner_id == call.user.id):
        raise ApiError(404, "Resource not found")
    return found


def _shows_rows(call: Call, found: Playlist) -> bool:
    mine = found.owner_id == call.user.id or found.collaborative
    return mine or call.controls.behaviour.regime != "restricted_dev"


def not_simulated(_call: Call) -> Json:
    """Answer 404; the endpoint exists only so that a regime can refuse it before this.

    Raises:
        ApiError: 404, always.
    """
    raise ApiError(404, "Service not found")


def _embedded_rows(call: Call, found: Playlist, route: str, next_limit: int, keys: tuple[str, ...]) -> Json:
    return offset_page(
        f"{call.bodies.api}/playlists/{found.id}/{route}",
        found.rows_at(call.now),
        lambda row: call.bodies.playlist_row(row, found, keys),
        offset=0,
        limit=_PLAYLIST_PAGE,
        next_limit=next_limit,
    )


def _album_body(call: Call, found: Album) -> Json:
    page = offset_page(
        f"{call.bodies.api}/albums/{found.id}/tracks",
        call.world.releases.album_tracks[found.id],
        call.bodies.track_reference,
        offset=0,
        limit=_ALBUM_PAGE,
    )
    return call.bodies.album(found, page)


def _album_group(artist: Artist, album: Album, tracks: Sequence[Track]) -> str:
    """How an album is related to an artist; empty if it is not."""
    if artist.id in {each.id for each in album.artists}:
        return album.album_type
    return "appears_on" if any(artist.id in {each.id for each in track.artists} for track in tracks) else ""


def _one(call: Call, known: Mapping[str, T]) -> T:
    item_id = call.request.path_params["id"]
    if len(item_id) != ID_LENGTH or not set(item_id) <= set(BASE62):
        raise ApiError(400, "Invalid base62 id")
    if item_id not in known:
        raise ApiError(404, "Resource not found")
    return known[item_id]


def _batch(call: Call, at_most: int, known: Mapping[str, T], body: Callable[[T], Json | None]) -> list[Json | None]:
    return [body(known[item_id]) if item_id in known else None for item_id in call.ids(at_most)]


def _unix_ms(moment: datetime) -> int:
    return (moment - _UNIX_EPOCH) // timedelta(milliseconds=1)


ENDPOINTS = (
    Endpoint("/me", me, "me"),
    Endpoint("/me/player/recently-played", recently_played, "recently-played", "user-read-recently-played"),
    Endpoint("/me/tracks", saved_tracks, "saved-tracks", "user-library-read"),
    Endpoint("/me/top/artists", top_artists, "top-items", "user-top-read"),
    Endpoint("/me/top/tracks", top_tracks, "top-items", "user-top-read"),
    Endpoint("/me/playlists", my_playlists, "playlists", "playlist-read-private"),
    Endpoint("/playlists/{id}", playlist, "playlists"),
    Endpoint("/playlists/{id}/items", playlist_items, "playlists", "playlist-read-private"),
    Endpoint("/playlists/{id}/tracks", playlist_tracks, "playlists", "playlist-read-private", REMOVED_2026),
    Endpoint("/tracks", tracks, "tracks", refusal=REMOVED_2026),
    Endpoint("/tracks/{id}", track, "tracks"),
    Endpoint("/artists", artists, "artists", refusal=REMOVED_2026),
    Endpoint("/artists/{id}", artist, "artists"),
    Endpoint("/artists/{id}/albums", artist_albums, "artists"),
    Endpoint("/albums", albums, "albums", refusal=REMOVED_2026),
    Endpoint("/albums/{id}", album, "albums"),
    Endpoint("/albums/{id}/tracks", album_tracks, "albums"),
    Endpoint("/audio-features", audio_features_batch, "audio-features", refusal=REMOVED_2024),
    Endpoint("/audio-features/{id}", audio_features, "audio-features", refusal=REMOVED_2024),
)
WRITES = (
    Endpoint("/me/playlists", create_playlist, "playlists", method="POST", status=201),
    Endpoint("/users/{id}/playlists", create_playlist, "playlists", refusal=REMOVED_2026, method="POST", status=201),
    Endpoint("/playlists/{id}", change_playlist, "playlists", method="PUT"),
    Endpoint("/playlists/{id}/items", replace_items, "playlists", method="PUT"),
    Endpoint("/playlists/{id}/items", add_items, "playlists", method="POST", status=201),
    Endpoint("/playlists/{id}/items", remove_items, "playlists", method="DELETE"),
    Endpoint("/playlists/{id}/images", put_cover, "playlists", method="PUT", status=202),
    Endpoint("/playlists/{id}/followers", unfollow_playlist, "playlists", refusal=REMOVED_2026, method="DELETE"),
    Endpoint("/me/library", remove_from_library, "other", method="DELETE"),
    Endpoint("/playlists/{id}/tracks", replace_items, "playlists", refusal=REMOVED_2026, method="PUT"),
    Endpoint("/playlists/{id}/tracks", add_items, "playlists", refusal=REMOVED_2026, method="POST", status=201),
    Endpoint("/playlists/{id}/tracks", remove_items, "playlists", refusal=REMOVED_2026, method="DELETE"),
)
# The simulator does not have these endpoints: a restricted app gets 403, other apps get 404.
_ABSENT = (
    "/users/{id}",
    "/users/{id}/playlists",
    "/artists/{id}/top-tracks",
    "/markets",
    "/browse/new-releases",
    "/browse/categories",
    "/browse/categories/{id}",
)
API_ROUTES = [
    *(endpoint.route() for endpoint in (*ENDPOINTS, *WRITES)),
    *(Endpoint(path, not_simulated, "other", refusal=REMOVED_2026).route() for path in _ABSENT),
    Endpoint("/audio-analysis/{id}", not_simulated, "other", refusal=REMOVED_2024).route(),
]
