"""Keeps three of EchoTune's keys in Redis warm: recommendations, audio features, and preferences.

Redis is optional. Without it, EchoTune reads the same from its database. A Redis that does not answer stops nothing.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bson import ObjectId

from echostats_pipeline.errors import SettingsError
from echostats_pipeline.marts.ids import object_id

if TYPE_CHECKING:
    from redis import Redis

RECOMMENDATIONS_S = PREFERENCES_S = 3_600
FEATURES_S = 86_400
"""Seconds until a key expires."""
LIMIT = 20
"""EchoTune asks for this number of recommendations unless a user wants another."""
STRATEGIES = {
    "collaborative": "collaborative",
    "content_based": "content",
    "hybrid": "hybrid",
    "mood_based": "mood",
}
"""Names of strategies in keys, by type of recommendations."""
TIMEOUT_S = 2
logger = logging.getLogger(__name__)


class EchoTuneCache:
    """EchoTune's keys in Redis."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis

    @classmethod
    def of(cls, url: str) -> "EchoTuneCache":
        """The cache on the server at this address; nothing is sent before the first key.

        Raises:
            SettingsError: the package ``redis`` is not installed, or the address is none.
        """
        try:
            from redis import Redis  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise SettingsError(
                "ECHOSTATS_REDIS_URL needs the package redis. Install it with: pip install 'echostats-pipeline[redis]'"
            ) from error
        try:
            return cls(Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S))
        except ValueError as error:
            raise SettingsError("ECHOSTATS_REDIS_URL is no address of a Redis server.") from error

    def drop(self, user: ObjectId) -> str:
        """Delete the keys of a user, whose plays have changed or who is removed; return why not, or an empty text."""
        return self._unless_down(lambda: self._drop(user))

    def warm(
        self,
        user: ObjectId,
        sets: Iterable[Mapping[str, Any]],
        preferences: Mapping[str, Any] | None,
        features: Mapping[str, Mapping[str, Any]],
    ) -> str:
        """Write the keys of a user; return why not, or an empty text.

        Args:
            user: The user's id in EchoTune's database.
            sets: Their valid documents of `music_documents.EchoTuneRecommendations`, the oldest first.
            preferences: Their document of `documents.EchoTunePreferences`.
            features: Audio features of recommended tracks by track id.
        """
        keys = {
            recommendations_key(user, each["recommendation_type"]): (each["tracks"][:LIMIT], RECOMMENDATIONS_S)
            for each in sets
        }
        if preferences is not None:
            keys[preferences_key(user)] = (preferences, PREFERENCES_S)
        keys |= {features_key(track): (values, FEATURES_S) for track, values in features.items()}
        return self._unless_down(lambda: self._set(keys))

    def _drop(self, user: ObjectId) -> None:
        found = [*self._redis.scan_iter(match=f"recs:{user}:*", count=1_000), preferences_key(user)]
        self._redis.delete(*found)

    def _set(self, keys: Mapping[str, tuple[Any, int]]) -> None:
        with self._redis.pipeline(transaction=False) as together:
            for key, (value, seconds) in keys.items():
                together.set(key, json.dumps(value, default=_as_javascript), ex=seconds)
            together.execute()

    def _unless_down(self, work: Any) -> str:
        from redis import RedisError  # noqa: PLC0415

        try:
            work()
        except RedisError as error:
            return f"{type(error).__name__}: Redis did not answer"
        return ""


def forget_keys(url: str, user_id: str) -> None:
    """Delete the keys of a removed user at once. If Redis does not answer, they expire within the hour."""
    if said := EchoTuneCache.of(url).drop(object_id("echotune_users", user_id)):
        logger.warning("Keys of a removed user are still in Redis for up to an hour. %s", said)


def recommendations_key(user: ObjectId, kind: str) -> str:
    """The key of a user's recommendations of one type."""
    return f"recs:{user}:{STRATEGIES[kind]}:{LIMIT}"


def preferences_key(user: ObjectId) -> str:
    """The key of a user's preferences."""
    return f"user:{user}:prefs"


def features_key(track_id: str) -> str:
    """The key of a track's audio features."""
    return f"features:{track_id}"


def _as_javascript(value: Any) -> str:
    """Write ids and instants as ``JSON.stringify`` does."""
    if isinstance(value, ObjectId):
        return str(value)
    text: str = value.isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
