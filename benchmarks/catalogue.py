"""The catalogue of the tracks of `benchmarks.history`, as the pipeline stores it after Spotify has responded."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from benchmarks.history import Size, album_of, artist_of, duration_ms, image_url, spotify_id
from echostats_pipeline.model.catalog import Album, Artist, AudioFeatures, Track
from echostats_pipeline.transforms.history.identity import stable_id

Documents = Iterator[dict[str, Any]]

READ_AT = datetime(2025, 1, 1, tzinfo=UTC)
GENRES, GENRES_AT_MOST = 1_500, 4
WIDTHS = (640, 300, 64)
MENTIONED_EVERY = 20
"""One in this number of tracks is known only by the names in its plays."""
WITH_FEATURES = 0.7
"""Share of tracks with known audio features."""
FEATURES = AudioFeatures(
    danceability=0,
    energy=0,
    key=5,
    loudness=-7.25,
    mode=1,
    speechiness=0,
    acousticness=0,
    instrumentalness=0,
    liveness=0,
    valence=0,
    tempo=0,
    duration_ms=200_000,
    time_signature=4,
).model_dump()
UNIT_FEATURES = (
    "danceability",
    "energy",
    "speechiness",
    "acousticness",
    "instrumentalness",
    "liveness",
    "valence",
)


def tracks(size: Size) -> Documents:
    """Documents of ``tracks``."""
    empty = Track(spotify_id="", name="", fetched_at=READ_AT, updated_at=READ_AT).to_bson()
    dice = random.Random(1)
    for number in range(size.tracks):
        mentioned = number % MENTIONED_EVERY == 0
        artist, album, name = artist_of(number), album_of(number), f"Track {number}"
        track = {
            **empty,
            "spotify_id": spotify_id("track", number),
            "name": name,
            "artists": [{"spotify_id": "" if mentioned else spotify_id("artist", artist), "name": f"Artist {artist}"}],
            "album": {
                "spotify_id": "" if mentioned else spotify_id("album", album),
                "name": f"Album {album}",
                "image_url": "" if mentioned else image_url("album", album),
                "release_date": "" if mentioned else _release_date(album),
            },
            "name_ids": [stable_id("unresolved", f"Artist {artist}", name)],
        }
        if not mentioned:
            track |= {
                "duration_ms": duration_ms(number),
                "popularity": number % 100,
                "external_url": f"https://open.spotify.invalid/track/{track['spotify_id']}",
                "genres": _genres(artist),
                "isrc": f"DEXX1{number:07d}",
                "enriched_at": READ_AT,
                "audio_features_checked_at": READ_AT,
                "audio_features": _features(dice) if dice.random() < WITH_FEATURES else None,
            }
        yield track


def artists(size: Size) -> Documents:
    """Documents of ``artists``."""
    empty = Artist(spotify_id="", name="", fetched_at=READ_AT, updated_at=READ_AT, enriched_at=READ_AT).to_bson()
    for number in range(size.artists):
        yield {
            **empty,
            "spotify_id": spotify_id("artist", number),
            "name": f"Artist {number}",
            "genres": _genres(number),
            "popularity": number % 100,
            "followers": number * 37,
            "images": _images("artist", number),
            "external_url": f"https://open.spotify.invalid/artist/{spotify_id('artist', number)}",
        }


def albums(size: Size) -> Documents:
    """Documents of ``albums``."""
    empty = Album(spotify_id="", name="", fetched_at=READ_AT, enriched_at=READ_AT).to_bson()
    for number in range(2 * size.artists):
        artist = number // 2
        yield {
            **empty,
            "spotify_id": spotify_id("album", number),
            "name": f"Album {number}",
            "album_type": "album",
            "artists": [{"spotify_id": spotify_id("artist", artist), "name": f"Artist {artist}"}],
            "images": _images("album", number),
            "release_date": _release_date(number),
            "total_tracks": 12,
            "popularity": number % 100,
            "external_url": f"https://open.spotify.invalid/album/{spotify_id('album', number)}",
        }


@lru_cache(maxsize=1_024)
def _genres(artist: int) -> list[str]:
    """None to `GENRES_AT_MOST`; some genres have many more artists than others."""
    dice = random.Random(artist)
    return [f"genre {int(GENRES * dice.random() ** 3)}" for _ in range(artist % (GENRES_AT_MOST + 1))]


def _features(dice: random.Random) -> dict[str, Any]:
    return {**FEATURES, **{name: round(dice.random(), 4) for name in UNIT_FEATURES}, "tempo": dice.uniform(60, 180)}


def _images(kind: str, number: int) -> list[dict[str, Any]]:
    return [{"url": image_url(kind, number, width), "height": width, "width": width} for width in WIDTHS]


def _release_date(album: int) -> str:
    return f"{1970 + album % 55}-{album % 12 + 1:02d}-{album % 28 + 1:02d}"
