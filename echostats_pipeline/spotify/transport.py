"""Makes one HTTP attempt: the request, the response, and the handler that uses the network.

Every layer of this package is a `Handler` around a `Handler`. This module knows nothing of Spotify's bodies (see
`responses`), of tokens (see `authorised`), or of waiting and repeating.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import requests

from echostats_pipeline.errors import SpotifyUnreachable
from echostats_pipeline.spotify.families import Family, Service, family_of

REDACTED = "…"
LOGGED_QUERY_NAMES = frozenset(
    {"additional_types", "after", "before", "fmt", "ids", "inc", "limit", "market", "method", "offset", "time_range"},
)
"""Query parameters whose values may be written to logs and messages; all others are secrets until listed here."""

SERVICE_NAMES: Mapping[Service, str] = {
    "spotify": "Spotify",
    "reccobeats": "ReccoBeats",
    "musicbrainz": "MusicBrainz",
    "lastfm": "Last.fm",
    "listenbrainz": "ListenBrainz",
}
_STATUS_PAGES: Mapping[Service, str] = {
    "spotify": "https://status.spotify.dev",
    "reccobeats": "https://reccobeats.com",
    "musicbrainz": "https://stats.metabrainz.org",
    "lastfm": "https://support.last.fm",
    "listenbrainz": "whether the server runs",
}
_PUBLIC_FORM_NAMES = frozenset({"client_id", "grant_type", "redirect_uri"})
_PLAIN_NAME = re.compile(r"[A-Za-z_]{1,24}")


@dataclass(frozen=True)
class Request:
    """One HTTP request; its ``repr`` shows no header, form field or query value.

    Attributes:
        method: ``GET``, ``POST`` or ``PUT``.
        url: Absolute address; it may contain a query (Spotify's ``next`` does).
        params: Further query parameters.
        form: Fields of a form body; no body if empty.
        json: Object of a JSON body; no such body if None.
        content: Another body, of the type that `headers` name; none if empty.
        user_id: The user for whom the call is made; empty while unknown.
        purpose: The purpose of the call, in words that follow "while": ``reading the saved tracks``.
        service: The service that is called.
    """

    method: str
    url: str = field(repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    content: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    user_id: str = ""
    purpose: str = ""
    service: Service = "spotify"

    @property
    def family(self) -> Family:
        """The family under which the call is counted, budgeted and postponed."""
        return family_of(urlsplit(self.url).path, self.service)

    @property
    def service_name(self) -> str:
        """The name of the service in messages; its host, if many have the same API."""
        return urlsplit(self.url).netloc if self.service == "listenbrainz" else SERVICE_NAMES[self.service]

    @property
    def endpoint(self) -> str:
        """Path and query, suitable for logs: values of parameters outside `LOGGED_QUERY_NAMES` are shown as ``…``.

        A hidden parameter that is given many times is shown once.
        """
        parts = urlsplit(self.url)
        query = "&".join(dict.fromkeys(_shown(name, value) for name, value in self._query()))
        return f"{parts.path}?{query}" if query else parts.path

    @property
    def description(self) -> str:
        """The request in words for an error message: method, endpoint, purpose."""
        return f"{self.method} {self.endpoint}" + (f" while {self.purpose}" if self.purpose else "")

    def redacted(self, text: str) -> str:
        """The text without credentials of this request, for responses that repeat what they were sent."""
        for secret in sorted(self._secrets(), key=len, reverse=True):
            text = text.replace(secret, REDACTED)
        return text

    def _query(self) -> list[tuple[str, str]]:
        return [*parse_qsl(urlsplit(self.url).query, keep_blank_values=True), *self.params.items()]

    def _secrets(self) -> set[str]:
        credentials = {value.rpartition(" ")[2] for name, value in self.headers.items() if name == "Authorization"}
        fields = {value for name, value in self.form.items() if name not in _PUBLIC_FORM_NAMES}
        queried = {value for name, value in self._query() if name not in LOGGED_QUERY_NAMES}
        return (credentials | fields | queried) - {""}


@dataclass(frozen=True)
class Response:
    """One HTTP response. The body may contain tokens, so ``repr`` shows only the status."""

    status_code: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx. A redirect does not count: it is never followed."""
        return 200 <= self.status_code < 300  # noqa: PLR2004 - the bounds of HTTP's class "successful"

    def header(self, name: str) -> str | None:
        """The header's value, by its name in any case; None if it was not sent."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), None)

    @property
    def asked_wait(self) -> str | None:
        """The wait that the response asks for, as its header has it; ListenBrainz has a header of its own."""
        return self.header("Retry-After") or self.header("X-RateLimit-Reset-In")

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: the body is not JSON.
        """
        return json.loads(self.body)


Handler = Callable[[Request], Response]


class RequestsHandler:
    """Sends each request exactly once through a `requests.Session`: no redirects, no cookies, no hidden retries.

    Args:
        session: Kept open by the caller to reuse connections; its cookie jar is disabled here.
        connect_timeout: Seconds to wait for a connection.
        read_timeout: Seconds to wait for each part of the response.
    """

    def __init__(self, session: requests.Session, connect_timeout: float, read_timeout: float) -> None:
        # Cookies of one account must not be sent with the calls of another.
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session = session
        self._timeout = (connect_timeout, read_timeout)

    def __call__(self, request: Request) -> Response:
        """Send the request.

        Raises:
            SpotifyUnreachable: no complete response arrived.
        """
        try:
            answer = self._session.request(
                request.method,
                request.url,
                params=dict(request.params),
                data=dict(request.form) or request.content or None,
                json=None if request.json is None else dict(request.json),
                headers=dict(request.headers),
                timeout=self._timeout,
                allow_redirects=False,
                auth=_as_it_is,
            )
        except requests.RequestException as error:
            raise SpotifyUnreachable(_unreachable(request, error)) from error
        return Response(answer.status_code, answer.headers, answer.content)


def _as_it_is(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep our Authorization header: without an `auth`, requests replaces it by one from ~/.netrc."""
    return prepared


def _shown(name: str, value: str) -> str:
    if name in LOGGED_QUERY_NAMES:
        return f"{name}={quote(value, safe=',')}"
    return f"{name if _PLAIN_NAME.fullmatch(name) else REDACTED}={REDACTED}"


def _unreachable(request: Request, error: requests.RequestException) -> str:
    return (
        f"{urlsplit(request.url).netloc} did not respond to {request.description}: {_cause(error)}. "
        f"Check the network of this machine and {_STATUS_PAGES[request.service]}, then try again."
    )


def _cause(error: requests.RequestException) -> str:
    """The cause in words; never the text of the error, which quotes addresses and headers."""
    causes: tuple[tuple[type[requests.RequestException], str], ...] = (
        (requests.exceptions.ConnectTimeout, "the connection timed out"),
        (requests.exceptions.ReadTimeout, "the response timed out"),
        (requests.exceptions.ProxyError, "the proxy could not be used"),
        (requests.exceptions.SSLError, "no trusted TLS connection could be made"),
        (requests.exceptions.ConnectionError, "the connection was refused, broken off or the name not resolved"),
        (requests.exceptions.ChunkedEncodingError, "the response broke off"),
        (requests.exceptions.ContentDecodingError, "the response could not be decompressed"),
    )
    return next((words for kind, words in causes if isinstance(error, kind)), type(error).__name__)
