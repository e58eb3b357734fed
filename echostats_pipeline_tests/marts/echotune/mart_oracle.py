"""EchoTune's documents by brute force, from the core's documents: shares nothing with the mart but field names."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import bson
from bson import ObjectId
from pymongo.collection import Collection

from echostats_pipeline.storage.database import Document

COLLECTIONS = (
    "users",
    "listening_history",
    "recommendations",
    "playlists",
    "user_preferences",
    "analytics_events",
    "chat_sessions",
    "track_metadata",
)
STAMPS = ("createdAt", "updatedAt", "runId")
HALF_HOUR, MOST_BETWEEN = 30 * 60_000, 23 * 3_600_000


def owner_id(user_id: str) -> ObjectId:
    return ObjectId(hashlib.sha1(f"echotune_users|{user_id}".encode()).digest()[:12])


def contents(collection: Collection[Document]) -> dict[Any, bytes]:
    """All documents by id, as MongoDB stores them but for the stamps: the order of keys counts, too.

    The stamp of a play is part of its content.
    """
    stamps = STAMPS[1:] if collection.name.endswith("listening_history") else STAMPS
    return {
        each["_id"]: bson.encode({name: value for name, value in each.items() if name not in stamps})
        for each in collection.find()
    }


def milliseconds(earlier: datetime, later: datetime) -> int:
    return (later - earlier) // timedelta(milliseconds=1)


def plays_of(plays: Iterable[Document], tracks: Mapping[str, Document], owner: ObjectId) -> list[Document]:
    """The documents of a user's plays, without `runId`."""
    ordered = sorted(plays, key=lambda play: (play["played_at"], play["track"]["spotify_id"]))
    made: list[Document] = []
    beginning = 0
    for number, play in enumerate(ordered):
        before = ordered[number - 1] if number else None
        after = ordered[number + 1] if number + 1 < len(ordered) else None
        document = _play(play, after, tracks, owner)
        if before is not None and _again(before, play):
            made[beginning]["repeat_count"] += 1
        else:
            beginning = number
        made.append(document)
    return made


def _again(before: Document, play: Document) -> bool:
    """Whether a play repeats the one before it in the same session."""
    between = milliseconds(before["played_at"], play["played_at"])
    lasted = play["ms_played"]
    if lasted is None:
        lasted = min(play["track"]["duration_ms"], between)
    same = before["track"]["spotify_id"] == play["track"]["spotify_id"]
    return same and between <= MOST_BETWEEN and between - lasted <= HALF_HOUR


def _play(play: Document, after: Document | None, tracks: Mapping[str, Document], owner: ObjectId) -> Document:
    track, at = play["track"], play["played_at"]
    known = {} if ":" in track["spotify_id"] else tracks.get(track["spotify_id"], {})
    artists, album = known.get("artists") or [{"name": ""}], known.get("album") or {"name": ""}
    length = track["duration_ms"] or known.get("duration_ms", 0)
    stamp = int(at.timestamp() * 1000 + 0.5)
    key = f"echotune_listening_history|{owner}|{track['spotify_id']}|{stamp}"
    context: Document = {"context_type": play["context_type"] or None}
    if context["context_type"] not in ("playlist", "album", "artist", "search"):
        context["context_type"] = None
    if play["context_uri"]:
        context["context_uri"] = play["context_uri"]
    device = {"ios": "smartphone", "android": "smartphone", "windows": "computer", "osx": "computer"}
    platform = (play.get("playback") or {}).get("platform")
    if platform in device:
        context["device_type"] = device[platform]
    shown = {
        "_id": ObjectId(hashlib.sha1(key.encode()).digest()[:12]),
        "userId": owner,
        "trackId": track["spotify_id"],
        "trackName": track["name"].replace("\0", "") or known.get("name", ""),
        "artistName": artists[0]["name"] or track["artist_name"].replace("\0", ""),
        "albumName": track["album_name"].replace("\0", "") or album["name"],
        "playedAt": at,
        "durationMs": length,
    }
    if known.get("enriched_at"):
        shown["popularity"] = known["popularity"]
    counts = {"skip_count": int(_skipped(play, after, length)), "repeat_count": 0}
    return {**shown, "context": context, **counts, "createdAt": at, "source": "pipeline"}


def _skipped(play: Document, after: Document | None, length: int) -> bool:
    playback = play.get("playback") or {}
    lasted, end, skipped = play["ms_played"], playback.get("reason_end") or "", playback.get("skipped")
    if lasted is None or lasted >= 30_000 or end == "trackdone":
        return False
    if skipped or end in ("fwdbtn", "backbtn", "endplay"):
        return True
    started = "" if after is None else (after.get("playback") or {}).get("reason_start")
    if not end and started == "fwdbtn" and milliseconds(play["played_at"], after["played_at"]) <= MOST_BETWEEN:
        return True
    return skipped is None and not end and (not length or lasted < 0.9 * length)


def events_of(plays: Iterable[Document], documents: Iterable[Document], now: datetime) -> set[tuple[Any, ...]]:
    """Type, track and instant of each event that plays give, of the last 90 days."""
    found = set()
    lasted = {(play["track"]["spotify_id"], play["played_at"]): play["ms_played"] for play in plays}
    for document in documents:
        ms = lasted[document["trackId"], document["playedAt"]]
        if document["playedAt"] < now - timedelta(days=90):
            continue
        if ms is None or ms >= 30_000:
            found.add(("track.played", document["trackId"], document["playedAt"]))
        elif document["skip_count"]:
            found.add(("track.skipped", document["trackId"], document["playedAt"]))
    return found
