"""Reads the top tags of artists from Last.fm (https://www.last.fm/api/show/artist.getTopTags).

A key is needed. One call reads one artist, by MusicBrainz id if it is known, else by name. Last.fm reports errors as
JSON with a number, with the status 200 or another; a missing artist is such an error. Its terms
(https://www.last.fm/api/tos) ask for credit and a link where the data is shown.
"""

from datetime import timedelta
from http import HTTPStatus

from pydantic import SecretStr

from echostats_pipeline.errors import RequestRefused, SpotifyError, SpotifyUnavailable, WaitRequired
from echostats_pipeline.spotify.responses import JsonObject, error_of, printable_line, unexpected_body
from echostats_pipeline.spotify.retry_after import Clock
from echostats_pipeline.spotify.transport import Handler, Request, Response

LASTFM_URL = "https://ws.audioscrobbler.com"
LICENCE = "Last.fm API terms of service"
TOO_FAST_FOR = timedelta(minutes=1)

_NOT_FOUND, _TOO_FAST = 6, 29
_PASSING = frozenset({8, 11, 16})
"""Errors that pass: operation failed, service offline, temporarily unavailable."""

Votes = list[tuple[str, float]]


class LastFm:
    """Reads from Last.fm.

    Args:
        handler: Makes the calls, at a pace that Last.fm accepts.
        base_url: Address of the service.
        key: Key of the API account.
        user_agent: Names this app and a contact.
        clock: The current instant, aware.
    """

    def __init__(self, handler: Handler, base_url: str, key: SecretStr, user_agent: str, clock: Clock) -> None:
        self._handler = handler
        self._url = f"{base_url.rstrip('/')}/2.0/"
        self._key = key
        self._headers = {"User-Agent": user_agent}
        self._clock = clock

    def votes(self, *, mbid: str = "", name: str = "") -> Votes | None:
        """The tags of one artist with counts of 0 to 100; None if Last.fm does not know the artist.

        Raises:
            WaitRequired: Last.fm must not be called now.
            SpotifyError: Last.fm sent no response, or an unexpected one, or does not accept the key.
        """
        artist = {"mbid": mbid} if mbid else {"artist": name, "autocorrect": "1"}
        secret = {"api_key": self._key.get_secret_value()}
        request = Request(
            "GET",
            self._url,
            params={"method": "artist.getTopTags", **artist, **secret, "format": "json"},
            headers=self._headers,
            service="lastfm",
            purpose="reading the tags of an artist",
        )
        response = self._handler(request)
        body = _json(request, response)
        if body.get("error") == _NOT_FOUND:
            return None
        if "error" in body:
            raise self._failure(request, response, body)
        if not response.ok:
            raise error_of(request, response)
        listed = body.get("toptags")
        if not isinstance(listed, dict):
            raise unexpected_body(request, response, "the object 'toptags'")
        tags = listed.get("tag", [])
        return [
            (str(tag["name"]), float(tag["count"]))
            for tag in ([tags] if isinstance(tags, dict) else tags)  # a list of one may come as its only element
            if isinstance(tag, dict) and isinstance(tag.get("name"), str) and isinstance(tag.get("count"), int | float)
        ]

    def _failure(self, request: Request, response: Response, body: JsonObject) -> SpotifyError:
        """What an error other than an unknown artist means."""
        number, said = body["error"], printable_line(request.redacted(str(body.get("message", ""))))
        if number == _TOO_FAST:
            return WaitRequired("lastfm", self._clock() + TOO_FAST_FOR, "Last.fm limits the number of calls")
        passes = number in _PASSING or response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
        text = f"Last.fm answered with error {number} ({said or 'no reason given'}) to {request.description}."
        if passes:
            return SpotifyUnavailable(f"{text} Try again later.", status_code=response.status_code)
        return RequestRefused(f"{text} Check LASTFM_API_KEY.", status_code=response.status_code)


def _json(request: Request, response: Response) -> JsonObject:
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        return body
    raise unexpected_body(request, response, "a JSON object") if response.ok else error_of(request, response)
