"""Reads MusicBrainz ids and genres of artists from MusicBrainz (https://musicbrainz.org/doc/MusicBrainz_API).

No key is needed, but a User-Agent that names the app and a contact. Artists are never asked for by name: MusicBrainz
links artists to their pages at Spotify, and these links are looked up in hundreds. Documented are the lookup of several
``resource`` in one request, ``inc=genres+tags`` and the list of all genres. That the search for many ``arid`` answers
with the tags of each artist is inferred from its answers; if it is refused, artists are read one by one.

Identifiers are CC0. Tags and genres are CC BY-NC-SA 3.0 (https://musicbrainz.org/doc/About/Data_License).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from urllib.parse import urlencode

from echostats_pipeline.errors import RequestRefused
from echostats_pipeline.spotify.responses import JsonObject, error_of, json_object, unexpected_body
from echostats_pipeline.spotify.transport import Handler, Request

MUSICBRAINZ_URL = "https://musicbrainz.org"
MOST_RESOURCES = 100
"""The most links in one lookup."""
MOST_FOUND = 100
"""The most artists in one answer of the search."""
LICENCE = "CC BY-NC-SA 3.0"

Votes = list[tuple[str, float]]
"""The tags of an artist, with the votes for each."""

_MBID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SPOTIFY_ARTIST = "https://open.spotify.com/artist/"


class MusicBrainz:
    """Reads from MusicBrainz.

    Args:
        handler: Makes the calls, at the pace that MusicBrainz asks for.
        base_url: Address of the service.
        user_agent: Names this app and a contact.

    Every method raises `WaitRequired` if MusicBrainz must not be called now, and `SpotifyError` if it sent no response
    or an unexpected one.
    """

    def __init__(self, handler: Handler, base_url: str, user_agent: str) -> None:
        self._handler = handler
        self._root = f"{base_url.rstrip('/')}/ws/2"
        self._headers = {"User-Agent": user_agent}

    def mbids(self, spotify_ids: Sequence[str]) -> dict[str, str]:
        """MusicBrainz ids by Spotify's artist id, for at most `MOST_RESOURCES` artists; unknown ones are left out."""
        if not spotify_ids:
            return {}
        links = [("resource", f"{_SPOTIFY_ARTIST}{spotify_id}") for spotify_id in spotify_ids]
        request = self._request("url", [*links, ("inc", "artist-rels")], "looking up artists")
        response = self._handler(request)
        if response.status_code == HTTPStatus.NOT_FOUND:
            return {}  # the answer to a single unknown link
        body = json_object(request, response)
        found = body.get("urls") if len(spotify_ids) > 1 else [body]
        if not isinstance(found, list):
            raise unexpected_body(request, response, "the list 'urls'")
        linked = ((_spotify_id(link), _artist_id(link)) for link in found if isinstance(link, dict))
        wanted = set(spotify_ids)
        return {spotify_id: mbid for spotify_id, mbid in linked if mbid and spotify_id in wanted}

    def votes(self, mbids: Sequence[str]) -> Iterator[tuple[str, Votes]]:
        """The tags of at most `MOST_FOUND` artists, by MusicBrainz id; an artist that is not known yields no tags."""
        try:
            found = self._searched(mbids)
        except RequestRefused as error:
            if error.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                raise
            yield from ((mbid, self._votes_of(mbid)) for mbid in mbids)
            return
        yield from ((mbid, found.get(mbid, [])) for mbid in mbids)

    def genre_names(self) -> list[str]:
        """The names of all genres that MusicBrainz knows."""
        request = self._request("genre/all", [], "reading the list of genres", form="txt")
        response = self._handler(request)
        if not response.ok:
            raise error_of(request, response)
        names = [line.strip() for line in response.body.decode(errors="replace").splitlines() if line.strip()]
        if not names or any("<" in name for name in names):
            raise unexpected_body(request, response, "a name of a genre in each line")
        return names

    def _searched(self, mbids: Sequence[str]) -> dict[str, Votes]:
        query = " OR ".join(f"arid:{mbid}" for mbid in mbids)
        parameters = [("query", query), ("limit", str(MOST_FOUND))]
        request = self._request("artist", parameters, "reading the tags of artists")
        response = self._handler(request)
        artists = json_object(request, response).get("artists")
        if not isinstance(artists, list):
            raise unexpected_body(request, response, "the list 'artists'")
        return {str(artist.get("id")): _votes(artist) for artist in artists if isinstance(artist, dict)}

    def _votes_of(self, mbid: str) -> Votes:
        request = self._request(f"artist/{mbid}", [("inc", "genres tags")], "reading the tags of an artist")
        response = self._handler(request)
        return [] if response.status_code == HTTPStatus.NOT_FOUND else _votes(json_object(request, response))

    def _request(self, path: str, parameters: Iterable[tuple[str, str]], purpose: str, form: str = "json") -> Request:
        query = urlencode([*parameters, ("fmt", form)])
        url = f"{self._root}/{path}?{query}"
        return Request("GET", url, headers=self._headers, service="musicbrainz", purpose=purpose)


def _spotify_id(link: JsonObject) -> str:
    return str(link.get("resource")).rstrip("/").rpartition("/")[2]


def _artist_id(link: JsonObject) -> str:
    """The artist of a link; the smallest id if several artists share a page, and an empty text without any."""
    relations = link.get("relations")
    artists = (
        [each.get("artist") for each in relations if isinstance(each, dict)] if isinstance(relations, list) else []
    )
    ids = [str(artist.get("id")) for artist in artists if isinstance(artist, dict)]
    return min((mbid for mbid in ids if _MBID.fullmatch(mbid)), default="")


def _votes(artist: JsonObject) -> Votes:
    tags = artist.get("tags")
    return [
        (str(tag["name"]), float(tag["count"]))
        for tag in (tags if isinstance(tags, list) else [])
        if isinstance(tag, dict) and isinstance(tag.get("name"), str) and isinstance(tag.get("count"), int | float)
    ]
