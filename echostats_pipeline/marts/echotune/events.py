"""Derives EchoTune's events from plays, playlists and recommendations. Other events are not invented."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from bson import ObjectId

from echostats_pipeline.marts.echotune.plays import SKIPPED_BEFORE_MS
from echostats_pipeline.marts.ids import object_id
from echostats_pipeline.model.playlists import GeneratedPlaylist

KEPT = timedelta(days=90)
"""Events that are older are not written: the server deletes them 90 days after they were written."""
OF_PLAYS = ("track.played", "track.skipped")


def play_events(rows: pl.DataFrame, user: ObjectId) -> Iterator[dict[str, Any]]:
    """The events of plays: played for half a minute or for an unknown time, or skipped.

    Args:
        rows: As `plays.derived_plays` returns it, of the last 90 days.
        user: The user's id in EchoTune's database.
    """
    for row in rows.iter_rows(named=True):
        at, track = row["played_at"], row["track_id"]
        if row["ms_played"] is None or row["ms_played"] >= SKIPPED_BEFORE_MS:
            metadata: dict[str, Any] = {"trackId": track}
            if row["artist_id"]:
                metadata["artistId"] = row["artist_id"]
            metadata["durationMs"] = row["duration_ms"]
            if row["context_uri"]:
                metadata["context"] = row["context_uri"]
            yield event(user, "track.played", track, at, metadata)
        elif row["skip_count"]:
            reason = row["reason_end"] or "lt_30s"
            metadata = {"trackId": track, "playedMs": row["ms_played"], "reason": reason}
            yield event(user, "track.skipped", track, at, metadata)


def playlist_events(
    playlists: Iterable[Mapping[str, Any]], user: ObjectId, since: datetime
) -> Iterator[dict[str, Any]]:
    """The events of the user's own playlists whose first track was added lately; those without tracks have none.

    Spotify does not say when a playlist was made, so the event is marked as inferred.

    Args:
        playlists: Documents of `music_documents.EchoTunePlaylist`.
        user: The user's id in EchoTune's database.
        since: Earlier events are left out.
    """
    for playlist in playlists:
        made = playlist.get("createdAt")
        if made is not None and made >= since and "spotifyPlaylistId" in playlist:
            metadata = {"playlistId": playlist["_id"], "trackCount": playlist["trackCount"], "inferred": True}
            yield event(user, "playlist.created", playlist["spotifyPlaylistId"], made, metadata)


def generation_events(
    made: Iterable[tuple[ObjectId, GeneratedPlaylist]], user: ObjectId, since: datetime
) -> Iterator[dict[str, Any]]:
    """The events of playlists that the pipeline has generated lately: it knows when, and from what.

    Args:
        made: The generated playlists with the ids of their documents.
        user: The user's id in EchoTune's database.
        since: Earlier events are left out.
    """
    for document_id, each in made:
        if each.created_at >= since:
            prompt = {"prompt": each.text} if each.text else {}
            metadata = {"playlistId": document_id, "trackCount": len(each.tracks), **prompt}
            yield event(user, "playlist.created", f"generated|{each.id}", each.created_at, metadata)


def click_events(
    sets: Iterable[Mapping[str, Any]], first_plays: Mapping[str, list[datetime]], user: ObjectId, since: datetime
) -> Iterator[dict[str, Any]]:
    """The events of recommended tracks that the user played for the first time while the set was valid.

    Nothing says that the recommendation was the cause, so the event is marked as inferred.

    Args:
        sets: Documents of `music_documents.EchoTuneRecommendations`.
        first_plays: The ends of plays by track id, in order; what was left within half a minute is no play.
        user: The user's id in EchoTune's database.
        since: Earlier events are left out.
    """
    for each in sets:
        for position, track in enumerate(each["tracks"]):
            later = (at for at in first_plays.get(track["trackId"], ()) if at > each["createdAt"])
            at = next(later, None)
            if at is None or at >= each["expiresAt"] or at < since:
                continue
            metadata = {
                "trackId": track["trackId"],
                "strategy": track["strategy"],
                "position": position,
                "score": track["score"],
                "recommendationId": each["_id"],
                "inferred": True,
            }
            yield event(user, "recommendation.clicked", f"{each['_id']}|{track['trackId']}", at, metadata)


def event(user: ObjectId, kind: str, key: str, at: datetime, metadata: dict[str, Any]) -> dict[str, Any]:
    """An event as `documents.EchoTuneEvent`; `createdAt` is added when it is stored."""
    made = object_id("echotune_analytics_events", user, kind, key, int(at.timestamp() * 1000))
    return {"_id": made, "userId": user, "eventType": kind, "timestamp": at, "metadata": metadata}
