"""One authenticated call of the Web API: its user, its scopes and its parameters.

Belongs here: `Site`, reading ``limit``, ``offset`` and ``ids``, pages. Not here: access checks (``endpoints``) and the
answers of endpoints (``api``).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlencode

from starlette.requests import Request

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.simulator.bodies import Bodies, Json
from echostats_pipeline.simulator.clock import Clock
from echostats_pipeline.simulator.controls import Controls
from echostats_pipeline.simulator.people import SimulatedUser
from echostats_pipeline.simulator.refusal import ApiError
from echostats_pipeline.simulator.tokens import Grant, Tokens
from echostats_pipeline.simulator.world import World

T = TypeVar("T")

DEFAULT_LIMIT, MAX_LIMIT = 20, 50
MAX_OFFSET = 100_000


@dataclass(frozen=True, slots=True)
class Site:
    """The objects that every request needs."""

    world: World
    clock: Clock
    tokens: Tokens
    controls: Controls


class Call:
    """A request of a user to the Web API.

    Raises:
        ApiError: 401, the user of the token does not exist in this world.
    """

    def __init__(self, request: Request, site: Site, grant: Grant, content: bytes = b"") -> None:
        self.request = request
        self.content = content
        self.own_playlists = site.controls.own_playlists
        self.world = site.world
        self.controls = site.controls
        self.now: datetime = site.clock.now()
        self.scopes = grant.scopes
        try:
            self.user: SimulatedUser = site.world.user(grant.user_id)
        except NotFoundError:
            raise ApiError(401, "Invalid access token", challenge="invalid_token") from None

    @cached_property
    def url(self) -> str:
        """The requested address, without the query."""
        return f"{self.request.url.scheme}://{self.request.url.netloc}{self.request.url.path}"

    @cached_property
    def body(self) -> Any:
        """The JSON of the request; an empty object if there is none, None if it is no JSON object or array."""
        if not self.content:
            return {}
        try:
            found = json.loads(self.content)
        except ValueError:
            return None
        return found if isinstance(found, dict | list) else None

    @cached_property
    def bodies(self) -> Bodies:
        """The builder of objects with addresses of the requested host."""
        api = f"{self.request.url.scheme}://{self.request.url.netloc}/v1"
        return Bodies(api, lambda track: self.world.releases.isrc(track, self.now))

    def number(self, name: str, *, default: int, at_least: int, at_most: int) -> int:
        """A whole number of the query.

        Raises:
            ApiError: 400 ``Invalid <name>``.
        """
        text = self.request.query_params.get(name)
        try:
            value = default if text is None else int(text)
        except ValueError:
            raise ApiError(400, f"Invalid {name}") from None
        if not at_least <= value <= at_most:
            raise ApiError(400, f"Invalid {name}")
        return value

    def limit(self, at_most: int = MAX_LIMIT, default: int = DEFAULT_LIMIT) -> int:
        """``limit``: 1..`at_most`, `default` if absent."""
        return self.number("limit", default=default, at_least=1, at_most=at_most)

    def ids(self, at_most: int) -> list[str]:
        """``ids``, comma separated, in the order of the request.

        Raises:
            ApiError: 400 for none or too many.
        """
        ids = [item_id for item_id in self.request.query_params.get("ids", "").split(",") if item_id]
        if not ids:
            raise ApiError(400, "Missing required field: ids")
        if len(ids) > at_most:
            raise ApiError(400, "Too many ids requested")
        return ids

    def page(
        self,
        rows: Sequence[T],
        body: Callable[[T], Json],
        *,
        at_most: int = MAX_LIMIT,
        default: int = DEFAULT_LIMIT,
        **query: str,
    ) -> Json:
        """Return the requested offset page of `rows`; the addresses in the page repeat `query`."""
        limit = self.limit(at_most, default)
        offset = self.number("offset", default=0, at_least=0, at_most=MAX_OFFSET)
        return offset_page(self.url, rows, body, offset=offset, limit=limit, query=query)


def offset_page(
    url: str,
    rows: Sequence[T],
    body: Callable[[T], Json],
    *,
    offset: int,
    limit: int,
    next_limit: int | None = None,
    query: Mapping[str, str] = MappingProxyType({}),
) -> Json:
    """Spotify's offset page: seven keys, absolute addresses; `next_limit` is the next page's limit, if it differs."""

    def address(start: int, size: int) -> str:
        return f"{url}?{urlencode({**query, 'offset': start, 'limit': size})}"

    more, fewer = offset + limit < len(rows), offset > 0
    return {
        "href": address(offset, limit),
        "items": [body(row) for row in rows[offset : offset + limit]],
        "limit": limit,
        "next": address(offset + limit, next_limit or limit) if more else None,
        "offset": offset,
        "previous": address(max(0, offset - limit), limit) if fewer else None,
        "total": len(rows),
    }
