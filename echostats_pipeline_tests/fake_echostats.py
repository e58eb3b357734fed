"""A fake EchoStats, as far as this pipeline meets it: indexes, documents and tokens, written from its schema."""

import secrets
from contextlib import suppress
from datetime import timedelta
from typing import Any

from bson import ObjectId
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pymongo.errors import OperationFailure

from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline_tests.conftest import KEY, NOW

THEIRS = {"note": "theirs"}
"""A field that this package does not know."""
IMAGE = {"url": "https://i.scdn.co/image/ab67", "height": 640, "width": 640}


def echostats_starts(db: Db, *, former: bool = False) -> None:
    """Create the indexes that EchoStats' API creates when it starts, written again from its schema.

    Args:
        db: The database.
        former: Whether to imitate a version from before its history had to be unique.
    """
    history = db["listening_history"]
    unique_play = [("user_id", 1), ("track.spotify_id", 1), ("played_at", 1)]
    if former:
        history.create_index(unique_play)
    else:
        with suppress(OperationFailure):
            history.drop_index("user_id_1_track.spotify_id_1_played_at_1")
        history.create_index(unique_play, unique=True, name="uniq_user_track_played_at")
        db["daily_rollups"].create_index([("user_id", 1), ("date", 1)], unique=True, name="uniq_user_date")
    month: Document = {"expireAfterSeconds": 30 * 24 * 60 * 60}
    db["sync_jobs"].create_index("created_at", name="sync_job_ttl", **month)
    db["artists"].create_index([("name", "text")], name="artist_text_search")
    db["tracks"].create_index([("name", "text"), ("artists.name", "text")], name="track_text_search")
    plain: dict[str, list[Any]] = {
        "spotify_tokens": ["user_id"],
        "listening_history": ["user_id", "played_at", "track.spotify_id", [("user_id", 1), ("played_at", -1)]],
        "tracks": ["artists.spotify_id", "name"],
        "artists": ["genres", "name"],
        "playlists": ["spotify_id", "user_id", [("user_id", 1), ("spotify_id", 1)]],
        "daily_rollups": ["user_id", "date", [("user_id", 1), ("date", -1)]],
        "analytics_snapshots": ["user_id", "period", [("user_id", 1), ("period", 1)]],
        "sync_jobs": ["user_id", "status", [("user_id", 1), ("status", 1)]],
        "api_logs": ["user_id", "timestamp", "service", [("user_id", 1), ("timestamp", -1)]],
        "genre_distributions": [[("user_id", 1), ("date", -1)]],
    }
    plain["daily_rollups"] += [[("user_id", 1), ("date", 1)]] if former else []
    for name in ("users", "tracks", "artists", "albums"):
        db[name].create_index("spotify_id", unique=True)
    for name, all_keys in plain.items():
        for keys in all_keys:
            db[name].create_index(keys)


def encrypted(text: str) -> str:
    """A token in EchoStats' form."""
    nonce = secrets.token_bytes(12)
    return f"{nonce.hex()}:{AESGCM(bytes.fromhex(KEY)).encrypt(nonce, text.encode(), None).hex()}"


def decrypted(value: str) -> str:
    """The token as EchoStats reads it."""
    nonce, ciphertext = map(bytes.fromhex, value.split(":"))
    return AESGCM(bytes.fromhex(KEY)).decrypt(nonce, ciphertext, None).decode()


def listener(db: Db, spotify_id: str, refresh_token: str, name: str = "Atul") -> str:
    """Store a user with tokens, plays, statistics and a running job of EchoStats' worker. Return the user's id."""
    user: Document = {"spotify_id": spotify_id, "display_name": name, "email": "atul@example.org", "created_at": NOW}
    user_id = str(db["users"].insert_one({**user, "last_synced_at": None, **THEIRS}).inserted_id)
    mine: Document = {"user_id": user_id, **THEIRS}
    db["spotify_tokens"].insert_one(
        {
            **mine,
            "access_token_encrypted": encrypted("gone"),
            "refresh_token_encrypted": encrypted(refresh_token),
            "expires_at": NOW - timedelta(hours=1),
            "scope": "user-read-recently-played",
        }
    )
    track = {"spotify_id": "2kRFrWaLWifQkBFasAWgMo", "name": "Kid A", "artist_name": "Radiohead", "album_name": "Kid A"}
    played: Document = {**track, "album_image_url": "", "duration_ms": 250_000}
    reported: Document = {"source": "api", "ms_played": None, "context_type": "", "context_uri": ""}
    plays = [
        {
            **mine,
            **reported,
            "_id": ObjectId(),
            "track": played,
            "played_at": NOW - timedelta(days=day, minutes=4 * each),
        }
        for day in range(2, 6)
        for each in range(3)
    ]
    plays[0] |= {"source": "import", "ms_played": 12_345}
    db["listening_history"].insert_many(plays)
    day = {"hourly": [{"hour": 0, "count": 99, "ms": 99}], "artist_plays": {"Radiohead": 99}, "album_plays": {}}
    top = [{"spotify_id": track["spotify_id"], "name": "Kid A", "artist_name": "Radiohead", "count": 99}]
    for age in (2, 3, 400):
        date = (NOW - timedelta(days=age)).date().isoformat()
        db["daily_rollups"].insert_one(
            {**mine, **day, "date": date, "day_of_week": 0, "total_plays": 99, "total_ms": 99, "track_plays": top}
        )
    for period in ("week", "all_time"):
        db["analytics_snapshots"].insert_one(
            {**mine, "period": period, "period_end": NOW, "total_tracks_played": 99, "computed_at": NOW}
        )
    db["genre_distributions"].insert_one({**mine, "date": NOW, "genres": {"art rock": 99}})
    db["playlists"].insert_one({**mine, "spotify_id": "37i9dQZF1DXcBWIGoYBM5M", "name": "Today", "fetched_at": NOW})
    db["sync_jobs"].insert_one({**mine, "status": "running", "started_at": NOW, "created_at": NOW, "steps": []})
    db["api_logs"].insert_one({**mine, "endpoint": "/v1/me", "status_code": 200, "latency_ms": 1.5, "timestamp": NOW})
    return user_id


def catalogue(db: Db) -> None:
    """Store a track, its artist and its album, with only the fields that the schema requires or EchoStats fills in."""
    ref = {"spotify_id": "4Z8W4fKeB5YxbusRsdQVPb", "name": "Radiohead"}
    album = {"spotify_id": "6GjwtEZcfenmof6l18N7T7", "name": "Kid A", "image_url": "", "release_date": "2000-10-02"}
    track = {
        "spotify_id": "2kRFrWaLWifQkBFasAWgMo",
        "name": "Kid A",
        "artists": [ref],
        "album": album,
        "popularity": 72,
    }
    db["tracks"].insert_many(
        [{**track, **THEIRS}, {"spotify_id": "0" * 22, "name": "No more than is required", **THEIRS}]
    )
    db["artists"].insert_one({**ref, "genres": ["art rock"], "images": [IMAGE], **THEIRS})
    db["albums"].insert_one({**ref, "spotify_id": album["spotify_id"], **THEIRS})
    db["_migrations"].insert_one({"name": "001_dedup_listening_history"})
