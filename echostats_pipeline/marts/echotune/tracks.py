"""Maps tracks of the catalogue to EchoTune's metadata."""

import re
from collections.abc import Mapping
from typing import Any

from echostats_pipeline.marts.ids import object_id
from echostats_pipeline.marts.writing import SharedDocument

SHARES = (
    "acousticness",
    "danceability",
    "energy",
    "instrumentalness",
    "liveness",
    "speechiness",
    "valence",
)
FEATURES = (*SHARES[:5], "loudness", *SHARES[5:], "tempo", "key", "mode", "time_signature")
RANGES: Mapping[str, tuple[int, int]] = {"key": (-1, 11), "mode": (0, 1), "time_signature": (3, 7)}


def track_document(track: Mapping[str, Any], album: Mapping[str, Any] | None) -> SharedDocument:
    """A track as `music_documents.EchoTuneTrack`.

    Args:
        track: A document of the core's ``tracks``; other programs may have left out or nulled any field but the id.
        album: The document of its album in ``albums``; None if it was not read yet.
    """
    spotify_id = track["spotify_id"]
    enriched = track.get("enriched_at") is not None
    link, popularity = track.get("external_url"), track.get("popularity")
    of_album = _album(track.get("album") or {}, album or {})
    features = audio_features(track.get("audio_features") or {})
    year = release_year(of_album.get("release_date", ""))
    return SharedDocument(
        object_id("echotune_track_metadata", spotify_id),
        {
            "spotifyId": spotify_id,
            "name": track.get("name") or "",
            "artists": [
                {"id": each.get("spotify_id") or "", "name": each.get("name") or ""}
                for each in track.get("artists") or []
            ],
            **({"album": of_album} if of_album else {}),
            **({"durationMs": track["duration_ms"]} if track.get("duration_ms") else {}),
            "explicit": bool(track.get("explicit")),
            **({"popularity": min(max(popularity, 0), 100)} if enriched and popularity is not None else {}),
            **({"previewUrl": track["preview_url"]} if track.get("preview_url") else {}),
            **({"externalUrls": {"spotify": link}} if link else {}),
            **({"audioFeatures": features} if features else {}),
            "genres": track.get("genres") or [],
            **({} if year is None else {"releaseYear": year}),
        },
    )


def listed_track(track: Mapping[str, Any]) -> SharedDocument:
    """A recommended track that the catalogue does not have, with what the recommender's list says of it."""
    artist = {"spotify_id": track.get("artist_id") or "", "name": track["artist_name"]}
    album = {"name": track["album_name"], "image_url": track.get("image_url") or ""}
    made = track_document(
        {"spotify_id": track["spotify_id"], "name": track["name"], "artists": [artist], "album": album}, None
    )
    return SharedDocument(made.id, {**made.fields, "listedOnly": True})


def _album(album: Mapping[str, Any], full: Mapping[str, Any]) -> dict[str, Any]:
    if not album.get("name") and not album.get("spotify_id"):
        return {}
    released = album.get("release_date") or full.get("release_date")
    covers = [
        {"url": each["url"], **{side: each[side] for side in ("width", "height") if each.get(side)}}
        for each in full.get("images") or []
        if each.get("url")
    ]
    if not covers and album.get("image_url"):
        covers = [{"url": album["image_url"]}]
    return {
        "id": album.get("spotify_id") or "",
        "name": album.get("name") or "",
        **({"release_date": released} if released else {}),
        **({"total_tracks": full["total_tracks"]} if full.get("total_tracks") else {}),
        "images": covers,
    }


def audio_features(stored: Mapping[str, Any]) -> dict[str, Any]:
    """EchoTune's twelve audio features in its order, without values that are unknown or impossible."""
    found = {name: stored[name] for name in FEATURES if stored.get(name) is not None}
    for name, value in list(found.items()):
        lowest, highest = RANGES.get(name, (0, 1) if name in SHARES else (value, value))
        if not lowest <= value <= highest:
            del found[name]
    return found


def release_year(date: str) -> int | None:
    """The year of a release date, which may be `YYYY`, `YYYY-MM` or `YYYY-MM-DD`; None if it is unknown."""
    found = re.match(r"(\d{4})(-\d{2}){0,2}$", date)
    return int(found[1]) if found and int(found[1]) else None
