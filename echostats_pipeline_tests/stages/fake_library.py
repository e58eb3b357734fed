"""A fake Spotify with one library of any size, which a test can change: pages and responses, nothing else."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

from echostats_pipeline.errors import WaitRequired
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.spotify.responses import JsonObject
from echostats_pipeline.spotify.transport import Request, Response
from echostats_pipeline_tests.conftest import NOW

API = "https://api.spotify.com"


def track(name: str) -> JsonObject:
    return {"type": "track", "id": name, "uri": f"spotify:track:{name}", "name": name, "artists": [{"name": "A"}]}


def playlist(name: str, rows: int, version: int = 1) -> JsonObject:
    return {
        "id": name,
        "name": name,
        "snapshot_id": f"{name}{version}",
        "items": {"total": rows},
        "owner": {"id": "me"},
    }


@dataclass
class FakeLibrary:
    """A user's library, newest first, and the calls that were made.

    Attributes:
        calls_left: After this number of calls the client must wait; None for no limit.
        statuses: HTTP status of playlists that do not show their contents, by id.
        dies_at: The number of the call in which the process dies.
    """

    saved: list[str] = field(default_factory=list)
    playlists: list[JsonObject | None] = field(default_factory=list)
    contents: dict[str, list[JsonObject | None]] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    calls_left: int | None = None
    dies_at: int | None = None
    asked: list[str] = field(default_factory=list)

    def client(self, user_id: str) -> SpotifyClient:
        return SpotifyClient(self, API, user_id=user_id, clock=lambda: NOW)

    def __call__(self, request: Request) -> Response:
        if self.calls_left == 0:
            raise WaitRequired(request.family, NOW + timedelta(days=1), "no calls are left")
        self.calls_left = None if self.calls_left is None else self.calls_left - 1
        if self.dies_at == len(self.asked):
            raise KeyboardInterrupt
        parts = urlsplit(request.url)
        query = {**dict(parse_qsl(parts.query)), **request.params}
        offset, limit = int(query.get("offset", 0)), int(query["limit"])
        self.asked.append(f"{parts.path}@{offset}")
        rows: list[JsonObject | None]
        if parts.path == "/v1/me/tracks":
            added = [NOW - timedelta(days=1000) + timedelta(minutes=int(name)) for name in self.saved]
            stamps = [f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in added]
            rows = [{"added_at": at, "track": track(name)} for at, name in zip(stamps, self.saved, strict=True)]
        elif parts.path == "/v1/me/playlists":
            rows = self.playlists
        else:
            spotify_id = parts.path.split("/")[3]
            if spotify_id in self.statuses:
                return Response(self.statuses[spotify_id], body=b'{"error": {"status": 0, "message": "no"}}')
            rows = self.contents[spotify_id]
        following = f"{API}{parts.path}?offset={offset + limit}&limit={limit}" if offset + limit < len(rows) else None
        body = {"items": rows[offset : offset + limit], "next": following, "total": len(rows), "offset": offset}
        return Response(200, body=json.dumps(body).encode())

    def fill(self, name: str, rows: int, version: int = 1) -> None:
        """Put a playlist on top, or change one."""
        entry = playlist(name, rows, version)
        others = [each for each in self.playlists if each is None or each.get("id") != name]
        self.playlists = [entry, *others]
        self.contents[name] = [{"added_at": None, "item": track(f"{name}{version}x{row}")} for row in range(rows)]

    def names(self) -> Iterator[str]:
        """Ids of the playlists that have a name."""
        yield from (each["id"] for each in self.playlists if each and isinstance(each.get("id"), str))
