"""Reads Spotify's Web API: whole objects, whole lists, and single pages of long lists; and writes playlists.

Every method either returns all that was requested or raises a `SpotifyError`. A failed page never becomes an empty or
shorter list. Iterators yield objects as they are read, so a `WaitRequired` in between loses nothing. The handler is
responsible for waiting, repeating and authorisation; `mapping` knows the meaning of the objects.

Which endpoints the app may use is learned at run time (`endpoint_access`): catalogue objects are read in batches, or
one by one if Spotify refuses batches.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from echostats_pipeline.errors import EndpointRefused, NotFoundOnSpotify, SpotifyResponseError
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.library import TimeRange, TopItemKind
from echostats_pipeline.settings import SPOTIFY_API_URL
from echostats_pipeline.spotify.endpoint_access import REMEMBERED_FOR, InMemoryRefusals, RefusalMemory, is_refused
from echostats_pipeline.spotify.responses import JsonObject, json_object, unexpected_body
from echostats_pipeline.spotify.retry_after import Clock
from echostats_pipeline.spotify.transport import Handler, Request, Response

Asked = tuple[str, JsonObject | None]
"""The requested id and the object; None if Spotify does not know it."""

PAGE_LIMIT = 50
ALBUMS_PAGE = 10
"""Most albums of an artist in a page, since February 2026."""
MOST_PAGES = 2_000
"""The most pages of one list. Spotify's offsets end at 100,000, which is this number of pages."""
MOST_IDS: Mapping[str, int] = {"tracks": 50, "artists": 50, "albums": 20, "audio-features": 100}
"""The most ids in one call, by kind of object."""


@dataclass(frozen=True)
class ListPage:
    """A page of a list that is read over several runs.

    Attributes:
        entries: As Spotify sent them; null for withdrawn content.
        offset: The position of the first entry in the list.
        total: The length of the list, according to Spotify.
        following: The position at which the next page begins; None at the end.
    """

    entries: Sequence[JsonObject | None]
    offset: int
    total: int
    following: int | None


_CATALOGUE_ID = re.compile(r"[0-9A-Za-z]+")


class SpotifyClient:
    """Reads the Web API on behalf of one user.

    Args:
        handler: The outermost layer.
        api_url: Origin of the API, without a path; also the only origin to which a ``next`` may lead.
        user_id: The user, for the records of calls; empty while unknown.
        regimes: Remembers which endpoints are refused to the app. Without it, each client learns that again.
        clock: The current instant, aware; decides how long a refusal is remembered.
    """

    def __init__(
        self,
        handler: Handler,
        api_url: str = SPOTIFY_API_URL,
        *,
        user_id: str = "",
        regimes: RefusalMemory | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._handler = handler
        self._api_url = api_url.rstrip("/")
        self._user_id = user_id
        self._regimes = InMemoryRefusals() if regimes is None else regimes
        self._clock = clock
        self._has_no_items_route = False

    def me(self) -> JsonObject:
        """The user's profile."""
        request = self._request("/me", "reading the user's profile")
        return json_object(request, self._handler(request))

    def recently_played(self, limit: int = PAGE_LIMIT) -> JsonObject:
        """The newest plays, newest first: one page with ``items``. Spotify returns no more than the last 50 plays.

        No cursor is sent, because plays that Spotify learns of late appear with old stamps, before any cursor.
        """
        request = self._request("/me/player/recently-played", "reading the recently played tracks", limit=str(limit))
        response = self._handler(request)
        page = json_object(request, response)
        _objects(request, response, page, "items")
        return page

    def tracks(self, ids: Iterable[str]) -> dict[str, JsonObject | None]:
        """Full tracks by the requested id; None for ids that Spotify does not know.

        This method and the similar ones request each id once, in as few calls as Spotify allows. Ids that cannot be
        Spotify's own (``local:``, ``unresolved:``) are not sent and count as unknown.
        """
        return _whole(ids, self.tracks_iter)

    def artists(self, ids: Iterable[str]) -> dict[str, JsonObject | None]:
        """Full artists by id, as `tracks`."""
        return _whole(ids, self.artists_iter)

    def albums(self, ids: Iterable[str]) -> dict[str, JsonObject | None]:
        """Full albums by id, as `tracks`."""
        return _whole(ids, self.albums_iter)

    def audio_features(self, ids: Iterable[str]) -> dict[str, JsonObject | None]:
        """Audio features by track id, as `tracks`.

        Raises:
            EndpointRefused: Spotify refuses the app, as it does all apps registered since November 2024. While the
                refusal is remembered, this is raised without a call.
        """
        return _whole(ids, self.audio_features_iter)

    def tracks_iter(self, ids: Iterable[str]) -> Iterator[Asked]:
        """As `tracks`, one by one as they are read: a later error does not lose objects already yielded."""
        return self._catalogue("tracks", ids)

    def artists_iter(self, ids: Iterable[str]) -> Iterator[Asked]:
        """As `artists`, one by one as they are read."""
        return self._catalogue("artists", ids)

    def albums_iter(self, ids: Iterable[str]) -> Iterator[Asked]:
        """As `albums`, one by one as they are read."""
        return self._catalogue("albums", ids)

    def audio_features_iter(self, ids: Iterable[str]) -> Iterator[Asked]:
        """As `audio_features`, one by one as they are read."""
        sendable, unknown = _sendable_and_unknown(ids)
        yield from unknown
        route = batch_route("audio-features")
        for batch in _batches(sendable, MOST_IDS["audio-features"]):
            if self._is_refused(route):
                raise EndpointRefused(
                    "Spotify recently refused audio features to this app and will not be asked again for some days.",
                    status_code=HTTPStatus.FORBIDDEN,
                )
            try:
                objects = self._batch("audio-features", batch)
            except EndpointRefused:
                self._remember_refused(route)
                raise
            yield from zip(batch, objects, strict=True)

    def artist_albums(self, artist_id: str) -> list[JsonObject]:
        """The newest albums and singles of an artist: one page of `ALBUMS_PAGE`, simplified and without tracks.

        Raises:
            NotFoundOnSpotify: there is no such artist.
        """
        path = f"/artists/{quote(artist_id, safe='')}/albums"
        request = self._request(
            path, "reading the albums of an artist", include_groups="album,single", limit=str(ALBUMS_PAGE)
        )
        response = self._handler(request)
        entries = _objects(request, response, json_object(request, response), "items")
        return [entry for entry in entries if entry is not None]

    def saved_tracks(self, offset: int = 0) -> ListPage:
        """A page of the user's library: ``{added_at, track}``, newest first."""
        return self._page("/me/tracks", "reading the saved tracks", offset)

    def top_items(self, kind: TopItemKind, time_range: TimeRange) -> list[JsonObject]:
        """Spotify's own ranking of the user's artists or tracks, the top first."""
        return self._all_pages(f"/me/top/{kind}", f"reading the top {kind}", time_range=time_range)

    def playlists(self, offset: int = 0) -> ListPage:
        """A page of the simplified playlists that the user owns or follows."""
        return self._page("/me/playlists", "reading the playlists", offset)

    def playlist_items(self, playlist_id: str, offset: int = 0) -> ListPage | None:
        """A page of the rows of a playlist: ``{added_at, item}`` or, before 2026, ``{added_at, track}``.

        Returns:
            None if Spotify does not show the contents, for example of playlists of other users.

        Raises:
            NotFoundOnSpotify: the playlist no longer exists.
        """
        try:
            if not self._has_no_items_route:
                try:
                    return self._playlist_rows(playlist_id, "items", offset)
                except NotFoundOnSpotify:
                    page = self._playlist_rows(playlist_id, "tracks", offset)
                    self._has_no_items_route = True  # the route is missing for all playlists
                    return page
            return self._playlist_rows(playlist_id, "tracks", offset)
        except EndpointRefused:
            return None

    def playlist(self, playlist_id: str) -> JsonObject:
        """A playlist with its version; of its rows, only the first may be there.

        Raises:
            NotFoundOnSpotify: there is no such playlist.
        """
        request = self._request(_playlist_path(playlist_id), "reading a playlist", fields="id,name,snapshot_id")
        return json_object(request, self._handler(request))

    def create_playlist(self, name: str, description: str) -> JsonObject:
        """Create a private playlist of the user; returns it with its ``id``."""
        body = {"name": name, "description": description, "public": False}
        return self._written("POST", "/me/playlists", "creating a playlist", body)

    def change_playlist(self, playlist_id: str, name: str, description: str) -> None:
        """Change name and description of a playlist."""
        body = {"name": name, "description": description}
        self._send("PUT", _playlist_path(playlist_id), "renaming a playlist", body)

    def replace_items(self, playlist_id: str, uris: Sequence[str]) -> str:
        """Replace the rows of a playlist by at most 100 tracks; returns its version."""
        path = f"{_playlist_path(playlist_id)}/items"
        return str(self._written("PUT", path, "replacing the items of a playlist", {"uris": list(uris)})["snapshot_id"])

    def add_items(self, playlist_id: str, uris: Sequence[str]) -> str:
        """Add at most 100 tracks to the end of a playlist; returns its version."""
        path = f"{_playlist_path(playlist_id)}/items"
        return str(self._written("POST", path, "adding items to a playlist", {"uris": list(uris)})["snapshot_id"])

    def put_cover(self, playlist_id: str, jpeg: bytes) -> None:
        """Give a playlist a cover: a JPEG of at most 192 kB, which are 256 kB as Spotify wants it."""
        request = Request(
            "PUT",
            f"{self._api_url}/v1{_playlist_path(playlist_id)}/images",
            content=b64encode(jpeg),
            headers={"Content-Type": "image/jpeg"},
            user_id=self._user_id,
            purpose="giving a playlist a cover",
        )
        response = self._handler(request)
        if not response.ok:
            json_object(request, response)  # raises what the answer means

    def _written(self, method: str, path: str, purpose: str, body: JsonObject) -> JsonObject:
        request, response = self._send(method, path, purpose, body)
        found = json_object(request, response)
        if not isinstance(found.get("snapshot_id"), str):
            raise unexpected_body(request, response, "the text 'snapshot_id'")
        return found

    def _send(self, method: str, path: str, purpose: str, body: JsonObject) -> tuple[Request, Response]:
        request = Request(method, f"{self._api_url}/v1{path}", json=body, user_id=self._user_id, purpose=purpose)
        response = self._handler(request)
        if not response.ok:
            json_object(request, response)  # raises what the answer means
        return request, response

    def _request(self, path: str, purpose: str, **params: str) -> Request:
        return Request("GET", f"{self._api_url}/v1{path}", params=params, user_id=self._user_id, purpose=purpose)

    def _playlist_rows(self, playlist_id: str, route: str, offset: int) -> ListPage:
        path = f"{_playlist_path(playlist_id)}/{route}"
        # Without the types, Spotify returns episodes in the form of tracks.
        return self._page(path, "reading the items of a playlist", offset, additional_types="track,episode")

    def _catalogue(self, kind: str, ids: Iterable[str]) -> Iterator[Asked]:
        """Read in batches, or one by one if batches are refused.

        The refusal of batches is remembered only after a single read has succeeded, because only then is it about
        batches.
        """
        sendable, unknown = _sendable_and_unknown(ids)
        yield from unknown
        endpoint = batch_route(kind)
        known = self._is_refused(endpoint)
        rest = sendable
        for batch in [] if known else _batches(sendable, MOST_IDS[kind]):
            try:
                objects = self._batch(kind, batch)
            except EndpointRefused:
                break
            yield from zip(batch, objects, strict=True)
            rest = rest[len(batch) :]
        for spotify_id in rest:
            found = self._single(kind, spotify_id)
            if not known:
                self._remember_refused(endpoint)
                known = True
            yield spotify_id, found

    def _is_refused(self, endpoint: str) -> bool:
        return is_refused(self._regimes, endpoint, self._clock())

    def _remember_refused(self, endpoint: str) -> None:
        self._regimes.remember_refused(endpoint, self._clock() + REMEMBERED_FOR)

    def _single(self, kind: str, spotify_id: str) -> JsonObject | None:
        request = self._request(f"/{kind}/{spotify_id}", f"reading {kind}")
        try:
            return json_object(request, self._handler(request))
        except NotFoundOnSpotify:
            return None

    def _batch(self, kind: str, ids: Sequence[str]) -> list[JsonObject | None]:
        """One call. Objects come in the order of the ids; a relinked track has another id than the requested one."""
        request = self._request(f"/{kind}", f"reading {kind}", ids=",".join(ids))
        response = self._handler(request)
        objects = _objects(request, response, json_object(request, response), kind.replace("-", "_"))
        if len(objects) != len(ids):
            raise unexpected_body(request, response, f"one entry for each of the {len(ids)} ids")
        return objects

    def _page(self, path: str, purpose: str, offset: int, **params: str) -> ListPage:
        """The entries of a list with offsets, from one position on."""
        start = {"offset": str(offset)} if offset else {}
        request = self._request(path, purpose, limit=str(PAGE_LIMIT), **start, **params)
        response = self._handler(request)
        page = json_object(request, response)
        entries, following = _objects(request, response, page, "items"), self._next(request, response, page)
        total = page.get("total")
        if not isinstance(total, int) or isinstance(total, bool):
            total = offset + len(entries)
        place = None if following is None else _place(request, response, following, offset)
        return ListPage(entries, offset, total, place)

    def _all_pages(self, path: str, purpose: str, **params: str) -> list[JsonObject]:
        """All entries of a list with offsets; entries that Spotify sends as null are left out."""
        first = self._request(path, purpose, limit=str(PAGE_LIMIT), **params)
        return [entry for page in self._pages(first) for entry in page if entry is not None]

    def _pages(self, request: Request) -> Iterator[list[JsonObject | None]]:
        read: set[str] = set()
        while True:
            response = self._handler(request)
            page = json_object(request, response)
            yield _objects(request, response, page, "items")
            following = self._next(request, response, page)
            if following is None:
                return
            if following in read or len(read) >= MOST_PAGES:
                raise unexpected_body(request, response, "an end of the list: its pages lead in a circle or too far")
            read.add(following)
            request = Request("GET", following, user_id=self._user_id, purpose=request.purpose)

    def _next(self, request: Request, response: Response, page: JsonObject) -> str | None:
        """Address of the next page. The user's token is sent to it, so it must belong to the API."""
        following = page.get("next", "")
        if following is None or (isinstance(following, str) and self._is_own(following)):
            return following
        raise SpotifyResponseError(
            f"Spotify answered {response.status_code} to {request.description}, but 'next' is neither null nor an "
            f"address at {self._api_url}. Nothing was sent there; check the configured API address.",
            status_code=response.status_code,
        )

    def _is_own(self, address: str) -> bool:
        try:
            parts = urlsplit(address)
        except ValueError:
            return False
        return f"{parts.scheme}://{parts.netloc}" == self._api_url


def _place(request: Request, response: Response, following: str, offset: int) -> int:
    """The position at which the next page begins, read from its address."""
    offset_text = parse_qs(urlsplit(following).query).get("offset", [""])[-1]
    place = int(offset_text) if re.fullmatch(r"[0-9]{1,6}", offset_text) else 0
    if not offset < place <= MOST_PAGES * PAGE_LIMIT:
        raise unexpected_body(request, response, "an end of the list: its pages lead in a circle or too far")
    return place


def _playlist_path(playlist_id: str) -> str:
    return f"/playlists/{quote(playlist_id, safe='')}"


def batch_route(kind: str) -> str:
    """The key under which a refusal of batches of a kind of object is remembered."""
    return f"/{kind}?ids"


def _whole(ids: Iterable[str], read: Callable[[Iterable[str]], Iterator[Asked]]) -> dict[str, JsonObject | None]:
    """All objects that `read` yields, in the order of the ids."""
    asked: dict[str, JsonObject | None] = dict.fromkeys(ids)
    return {**asked, **dict(read(asked))}


def _sendable_and_unknown(ids: Iterable[str]) -> tuple[list[str], list[Asked]]:
    """Each id once: ids that can be requested, and ids that Spotify cannot know."""
    asked = list(dict.fromkeys(ids))
    return (
        [spotify_id for spotify_id in asked if _CATALOGUE_ID.fullmatch(spotify_id)],
        [(spotify_id, None) for spotify_id in asked if not _CATALOGUE_ID.fullmatch(spotify_id)],
    )


def _batches(ids: Sequence[str], most: int) -> list[Sequence[str]]:
    return [ids[start : start + most] for start in range(0, len(ids), most)]


def _objects(request: Request, response: Response, body: JsonObject, name: str) -> list[Any]:
    """The named list of the body, each entry an object or null."""
    entries = body.get(name)
    if not isinstance(entries, list) or not all(entry is None or isinstance(entry, dict) for entry in entries):
        raise unexpected_body(request, response, f"the list {name!r}")
    return entries
