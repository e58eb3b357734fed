"""Families of endpoints, by which calls are counted, budgeted and postponed.

Spotify groups its endpoints into quota buckets and does not publish them. Measurements fit "one bucket per kind of
object", so a family is a kind of object. Reading objects one by one or in batches belongs to the same family.
"""

import re
from typing import Literal

from echostats_pipeline.errors import APP_FAMILY

Service = Literal["spotify", "reccobeats", "musicbrainz", "lastfm", "listenbrainz"]
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
    "musicbrainz",
    "lastfm",
    "listenbrainz",
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
_OUTSIDE_THE_APP: frozenset[Family] = frozenset({"token", "reccobeats", "musicbrainz", "lastfm", "listenbrainz"})


def family_of(path: str, service: Service = "spotify") -> Family:
    """The family of a path like ``/v1/tracks/{id}``, without query; ``other`` for paths that are never used here."""
    if service != "spotify":
        return service
    path = path.rstrip("/")
    return next((family for pattern, family in _PATHS if re.fullmatch(pattern, path)), "other")


def rate_limit_of(family: Family) -> str:
    """The group of calls with one short-term limit: the whole Web API, or another service."""
    return family if family in _OUTSIDE_THE_APP else APP_FAMILY
