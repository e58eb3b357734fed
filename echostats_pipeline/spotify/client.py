"""Spotify's Web API as the pipeline reads it: whole objects and whole lists, as raw JSON.

Every method either returns all that was asked for or raises a `SpotifyError`; a page that fails is never an empty or a
shorter list. Waiting, repeating and authorisation belong to the handler. What the objects mean: `mapping`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from echostats_pipeline.errors import SpotifyResponseError
from echostats_pipeline.model.library import TimeRange, TopItemKind
from echostats_pipeline.settings import SPOTIFY_API_URL
from echostats_pipeline.spotify.answers import JsonObject, json_object, unexpected_body
from echostats_pipeline.spotify.transport import Handler, Request, Response

PAGE_LIMIT = 50
MOST_PAGES = 2_000
"""Of one list. Spotify's offsets end at 100,000, which is this many pages."""

_CATALOGUE_ID = re.compile(r"[0-9A-Za-z]+")


class SpotifyClient:
    """Reads on behalf of one user.

    Args:
        handler: The outermost layer.
        api_url: Origin of the API, without a path; also the only origin to which a ``next`` may lead.
        user_id: For whom, in the records of calls; empty while the user is not known yet.
    """

    def __init__(self, handler: Handler, api_url: str = SPOTIFY_API_URL, *, user_id: str = "") -> None:
        self._handler = handler
        self._api_url = api_url.rstrip("/")
        self._user_id = user_id

    def me(self) -> JsonObject:
        """The profile of the user."""
        request = self._request("/me", "reading the user's profile")
        return json_object(request, self._handler(request))

    def recently_played(self, limit: int = PAGE_LIMIT) -> JsonObject:
        """The newest plays, newest first: one page with ``items``, for Spotify reaches back no further than 50 plays.

        No cursor is sent: plays that Spotify learns of late appear with old stamps, before any cursor.
        """
        request = self._request("/me/player/recently-played", "reading the recently played tracks", limit=str(limit))
        response = self._handler(request)
        page = json_object(request, response)
        _objects(request, response, page, "items")
        return page

    def tracks(self, ids: Iterable[str]) -> dict[str, JsonObject | None]:
        """Full tracks by the id that was asked for; None for what Spotify does not know.

        This and its three siblings ask for each id once, in as few calls as Spotify allows. Ids that cannot be
        Spotify's own (``local:``, ``unresolved:``) are not sent: they are unknown.
        """
        return self._catalogue("tracks", ids, most=50)

    def artists(self, ids: Iterable[str]) -> dict[str, JsonObject | None]:
        """Full artists by id, as `tracks`."""
        return self._catalogue("artists", ids, most=50)

    def albums(self, ids: Iterable[str]) -> dict[str, JsonObject | None]:
        """Full albums by id, as `tracks`."""
        return self._catalogue("albums", ids, most=20)

    def audio_features(self, ids: Iterable[str]) -> dict[str, JsonObject | None]:
        """Audio features by track id, as `tracks`. Apps registered since November 2024 are refused with 403."""
        return self._catalogue("audio-features", ids, most=100)

    def saved_tracks(self) -> list[JsonObject]:
        """The user's library: ``{added_at, track}``, newest first."""
        return self._all_pages("/me/tracks", "reading the saved tracks")

    def top_items(self, kind: TopItemKind, time_range: TimeRange) -> list[JsonObject]:
        """Spotify's own ranking of the user's artists or tracks, the top first."""
        return self._all_pages(f"/me/top/{kind}", f"reading the top {kind}", time_range=time_range)

    def playlists(self) -> list[JsonObject]:
        """Simplified playlists that the user owns or follows."""
        return self._all_pages("/me/playlists", "reading the playlists")

    def playlist_items(self, playlist_id: str) -> list[JsonObject]:
        """All rows of a playlist, ``{added_at, item}``. Of others' playlists Spotify may refuse them with 403."""
        path = f"/playlists/{quote(playlist_id, safe='')}/items"
        # Without the types, episodes come disguised as tracks.
        return self._all_pages(path, "reading the items of a playlist", additional_types="track,episode")

    def _request(self, path: str, purpose: str, **params: str) -> Request:
        return Request("GET", f"{self._api_url}/v1{path}", params=params, user_id=self._user_id, purpose=purpose)

    def _catalogue(self, kind: str, ids: Iterable[str], *, most: int) -> dict[str, JsonObject | None]:
        found: dict[str, JsonObject | None] = dict.fromkeys(ids)
        sendable = [spotify_id for spotify_id in found if _CATALOGUE_ID.fullmatch(spotify_id)]
        for start in range(0, len(sendable), most):
            batch = sendable[start : start + most]
            found.update(zip(batch, self._batch(kind, batch), strict=True))
        return found

    def _batch(self, kind: str, ids: Sequence[str]) -> list[JsonObject | None]:
        """One call; answers keep the order of the ids, and an object may carry another id (relinked tracks)."""
        request = self._request(f"/{kind}", f"reading {kind}", ids=",".join(ids))
        response = self._handler(request)
        objects = _objects(request, response, json_object(request, response), kind.replace("-", "_"))
        if len(objects) != len(ids):
            raise unexpected_body(request, response, f"one entry for each of the {len(ids)} ids")
        return objects

    def _all_pages(self, path: str, purpose: str, **params: str) -> list[JsonObject]:
        """All entries of an offset-paged list; entries that Spotify sends as null are left out."""
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
        """Address of the next page. It is followed with the user's token, so it must stay with the API."""
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


def _objects(request: Request, response: Response, body: JsonObject, name: str) -> list[Any]:
    """The named list of the body, each entry an object or null."""
    entries = body.get(name)
    if not isinstance(entries, list) or not all(entry is None or isinstance(entry, dict) for entry in entries):
        raise unexpected_body(request, response, f"the list {name!r}")
    return entries
