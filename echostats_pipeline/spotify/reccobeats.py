"""Reads audio features from ReccoBeats (https://reccobeats.com/docs), which serves apps that Spotify refuses.

No key is needed. The rate limit is unpublished, so calls go through the same layers as Spotify's, without a token.
ReccoBeats has neither `duration_ms` nor `time_signature`; these values stay absent and are not made up.
"""

import math
import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from echostats_pipeline.model.catalog import AudioFeatures
from echostats_pipeline.spotify.responses import JsonObject, json_object, unexpected_body
from echostats_pipeline.spotify.transport import Handler, Request

RECCOBEATS_URL = "https://api.reccobeats.com"
MOST_IDS = 40
"""The most ids in one call; further ids would be dropped silently."""

KnownFeatures = dict[str, float]
"""The known values, under the names of `AudioFeatures`."""

_SPOTIFY_ID = re.compile(r"[0-9A-Za-z]+")
_WHOLE = {name for name, field in AudioFeatures.model_fields.items() if field.annotation is int}


def audio_features(
    handler: Handler, ids: Iterable[str], base_url: str = RECCOBEATS_URL
) -> dict[str, KnownFeatures | None]:
    """Known audio features by Spotify track id; None for tracks that ReccoBeats does not know.

    Raises:
        WaitRequired: ReccoBeats must not be called now.
        SpotifyError: ReccoBeats sent no response, or an unexpected one.
    """
    asked = dict.fromkeys(ids)
    return {**asked, **dict(audio_features_iter(handler, asked, base_url))}


def audio_features_iter(
    handler: Handler, ids: Iterable[str], base_url: str = RECCOBEATS_URL
) -> Iterator[tuple[str, KnownFeatures | None]]:
    """As `audio_features`, one by one as they are read: a later error does not lose objects already yielded."""
    asked = list(dict.fromkeys(ids))
    yield from ((other, None) for other in asked if not _SPOTIFY_ID.fullmatch(other))
    sendable = [spotify_id for spotify_id in asked if _SPOTIFY_ID.fullmatch(spotify_id)]
    for start in range(0, len(sendable), MOST_IDS):
        batch = sendable[start : start + MOST_IDS]
        found = _read(handler, batch, base_url)
        yield from ((spotify_id, found.get(spotify_id)) for spotify_id in batch)


def _read(handler: Handler, ids: list[str], base_url: str) -> dict[str, KnownFeatures]:
    """One call. The response has its own order and its own ids; Spotify's id is the end of each row's address."""
    request = Request(
        "GET",
        f"{base_url.rstrip('/')}/v1/audio-features",
        params={"ids": ",".join(ids)},
        service="reccobeats",
        purpose="reading audio features",
    )
    response = handler(request)
    rows = json_object(request, response).get("content")
    if not isinstance(rows, list):
        raise unexpected_body(request, response, "the list 'content'")
    found: dict[str, KnownFeatures] = {}
    for row in rows:
        if isinstance(row, dict) and (features := _features(row)):
            found.setdefault(_track_id(row), features)
    return found


def _track_id(row: JsonObject) -> str:
    try:
        path = urlsplit(str(row.get("href"))).path
    except ValueError:
        return ""
    return path.rstrip("/").rpartition("/")[2]


def _features(row: JsonObject) -> KnownFeatures:
    features: KnownFeatures = {}
    for name in AudioFeatures.model_fields:
        value = row.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            features[name] = int(value) if name in _WHOLE else float(value)
    return features
