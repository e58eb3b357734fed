"""Maps a user, their playlists, preferences, snapshots and gaps to rows."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId

from echostats_pipeline.marts.warehouse.database import row_id, user_uuid
from echostats_pipeline.model.statistics import PERIODS, AnalyticsSnapshot
from echostats_pipeline.model.users import User
from echostats_pipeline.settings import Settings

GENRES = 5
Row = dict[str, Any]


def user_row(user: User) -> Row:
    """A row of ``users``, without what applications write."""
    return {
        "id": user_uuid(user.user_id),
        "spotify_user_id": text(user.spotify_id),
        "username": text(user.display_name or user.spotify_id),
        "created_at": user.created_at,
        "user_key": user.partition_key,
        "timezone": user.timezone,
        "status": user.status,
        "last_synced_at": user.last_synced_at,
        "country": text(user.country) or None,
    }


def playlist_rows(user: User, playlists: Iterable[Mapping[str, Any]], now: datetime) -> list[Row]:
    """Rows of ``playlists``, in the order of their ids."""
    owner = user_uuid(user.user_id)
    rows = {
        each["spotify_id"]: {
            "id": row_id("playlist", user.user_id, each["spotify_id"]),
            "user_id": owner,
            "spotify_playlist_id": text(each["spotify_id"]),
            "name": text(each.get("name") or ""),
            "description": text(each.get("description") or "") or None,
            "public": bool(each.get("public")),
            "created_at": each.get("first_added_at") or now,
            "owner_name": text(each.get("owner_name") or "") or None,
            "track_count": int(each.get("track_count") or 0),
            "source": "pipeline",
        }
        for each in playlists
    }
    return [rows[key] for key in sorted(rows)]


def preferences_row(user: User, snapshot: AnalyticsSnapshot | None, settings: Settings) -> Row:
    """A row of ``user_preferences``; JSON columns are text."""
    features = None if snapshot is None else snapshot.avg_audio_features
    genres = [] if snapshot is None else [text(each.name) for each in snapshot.top_genres[:GENRES]]
    return {
        "id": row_id("preferences", user.user_id),
        "user_id": user_uuid(user.user_id),
        "preferred_genres": genres,
        "audio_feature_weights": json.dumps({} if features is None else features.model_dump(), sort_keys=True),
        "recommendation_settings": json.dumps({"enabled": settings.recommends, "shares_plays": user.shares}),
    }


def snapshot_rows(user: User, snapshots: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Rows of ``snapshots``, in the order of periods; the document is JSON text."""
    owner = user_uuid(user.user_id)
    by_period = {each["period"]: each for each in snapshots if each.get("period") in PERIODS}
    return [
        {
            "user_id": owner,
            "period": period,
            "period_start": each.get("period_start"),
            "period_end": each.get("period_end"),
            "computed_at": each.get("computed_at"),
            "plays": each["total_tracks_played"],
            "listened_ms": each["total_ms_played"],
            **{name: each[name] for name in ("unique_tracks", "unique_artists", "unique_albums", "unique_genres")},
            "document": as_json({name: value for name, value in each.items() if name != "user_id"}),
        }
        for period in PERIODS
        if (each := by_period.get(period)) is not None
    ]


def gap_rows(user: User, gaps: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Rows of ``gaps``, in order of time."""
    owner = user_uuid(user.user_id)
    rows = {
        each["from"]: {
            "user_id": owner,
            "started_at": each["from"],
            "ended_at": each["to"],
            "kind": each.get("kind") or "unseen",
            "closed_by": each.get("closed_by"),
        }
        for each in gaps
    }
    return [rows[key] for key in sorted(rows)]


def text(value: str) -> str:
    """A text that PostgreSQL can hold: without NUL and lone surrogates."""
    return value.replace("\0", "").encode("utf-8", "replace").decode()


def as_json(value: Any) -> str:
    """A document as JSON: instants in ISO form, ids as text."""
    return text(json.dumps(value, default=_plain, sort_keys=True)).replace("\\u0000", "")


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, ObjectId):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")
