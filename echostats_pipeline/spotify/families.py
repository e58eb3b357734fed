"""Families of endpoints: what calls are counted, budgeted and postponed by.

Spotify groups its endpoints into quota buckets and does not publish them; what was measured fits "one kind of object,
one bucket", so that is a family here. Reading an object alone and reading it in a batch is the same family.
"""

import re
from typing import Literal

from echostats_pipeline.errors import APP_FAMILY

Service = Literal["spotify", "reccobeats"]
Family = Literal[
    "recently-played",
    "tracks",
    "artists",
    "albums",
    "audio-features",
    "playlists",
    "saved-tracks",
    "top-items",
    "me",
    "token",
    "reccobeats",
    "other",
]

_PATHS: tuple[tuple[str, Family], ...] = (
    (r"/api/token", "token"),
    (r"/v1/me/player/recently-played", "recently-played"),
    (r"/v1/me/tracks", "saved-tracks"),
    (r"/v1/me/top/[^/]+", "top-items"),
    (r"/v1/me/playlists|/v1/playlists/.+", "playlists"),
    (r"/v1/me", "me"),
    (r"/v1/tracks(/.+)?", "tracks"),
    (r"/v1/artists(/.+)?", "artists"),
    (r"/v1/albums(/.+)?", "albums"),
    (r"/v1/audio-features(/.+)?", "audio-features"),
)
_OUTSIDE_THE_APP: frozenset[Family] = frozenset({"token", "reccobeats"})


def family_of(path: str, service: Service = "spotify") -> Family:
    """The family of a path such as ``/v1/tracks/{id}``, without query; ``other`` for paths this package never asks."""
    if service == "reccobeats":
        return "reccobeats"
    path = path.rstrip("/")
    return next((family for pattern, family in _PATHS if re.fullmatch(pattern, path)), "other")


def rate_limit_of(family: Family) -> str:
    """Whose calls share a short-term limit: the whole Web API's do, the accounts service and ReccoBeats stand alone."""
    return family if family in _OUTSIDE_THE_APP else APP_FAMILY
