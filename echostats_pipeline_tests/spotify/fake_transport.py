"""Fakes for HTTP: handlers that answer from a script, a clock that sleeping moves, and bodies in Spotify's form."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from echostats_pipeline.spotify.transport import Request, Response


def answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response with this JSON body; text and bytes are sent unchanged."""
    content = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return Response(status, headers or {}, content)


class Script:
    """A handler that returns these responses in turn and records the requests."""

    def __init__(self, *answers: Response | BaseException) -> None:
        self._answers = list(answers)
        self.asked: list[Request] = []

    def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        given = self._answers.pop(0)
        if isinstance(given, BaseException):
            raise given
        return given


class Time:
    """A clock that only moves when code sleeps or a test moves it."""

    def __init__(self, now: datetime = datetime(2026, 11, 20, 12, tzinfo=UTC)) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept.append(seconds)
        self.move(seconds)

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def page(items: list[Any], following: str | None = None) -> dict[str, Any]:
    """One page of an offset-paged list."""
    return {
        "href": "",
        "limit": 50,
        "next": following,
        "offset": 0,
        "previous": None,
        "total": len(items),
        "items": items,
    }


GLASS_ANIMALS = {
    "external_urls": {"spotify": "https://open.spotify.com/artist/4yvcSjfu4PC0CYQyLy4wSq"},
    "id": "4yvcSjfu4PC0CYQyLy4wSq",
    "name": "Glass Animals",
    "type": "artist",
}
DREAMLAND = {
    "album_type": "album",
    "total_tracks": 18,
    "external_urls": {"spotify": "https://open.spotify.com/album/0KTj6k94XZh0c6IEMfxeWV"},
    "id": "0KTj6k94XZh0c6IEMfxeWV",
    "images": [
        {"url": "https://i.scdn.co/image/640", "height": 640, "width": 640},
        {"url": "https://i.scdn.co/image/64", "height": None, "width": None},
    ],
    "name": "Dreamland (+ Bonus Levels)",
    "release_date": "2020-08-06",
    "release_date_precision": "day",
    "type": "album",
    "artists": [GLASS_ANIMALS],
}
HEAT_WAVES = {
    "album": DREAMLAND,
    "artists": [GLASS_ANIMALS],
    "disc_number": 1,
    "duration_ms": 238805,
    "explicit": False,
    "external_ids": {"isrc": "GBUM72000433"},
    "external_urls": {"spotify": "https://open.spotify.com/track/02MWAaffLxlfxAUY7c5dvx"},
    "id": "02MWAaffLxlfxAUY7c5dvx",
    "is_local": False,
    "name": "Heat Waves",
    "track_number": 14,
    "type": "track",
    "uri": "spotify:track:02MWAaffLxlfxAUY7c5dvx",
}
"""A full track in the shape of apps registered since February 2026: no popularity, no preview."""
LOCAL_FILE = {
    "album": {"album_type": None, "artists": [], "id": None, "images": [], "name": "Demos", "release_date": None},
    "artists": [{"external_urls": {}, "id": None, "name": "My Band", "type": "artist", "uri": None}],
    "duration_ms": 61000,
    "id": None,
    "is_local": True,
    "name": "Basement",
    "type": "track",
    "uri": "spotify:local:My+Band:Demos:Basement:61",
}
EPISODE = {"id": "512ojhOuo1ktJprKbVcKyQ", "name": "Episode 1", "type": "episode", "duration_ms": 1_800_000}
