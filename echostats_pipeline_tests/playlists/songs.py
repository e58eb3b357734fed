"""Songs to make playlists of, without a database."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from echostats_pipeline.model.catalog import AVERAGED_FEATURES
from echostats_pipeline.playlists.pool import (
    HEARD_SCHEMA,
    LIBRARY_SCHEMA,
    OFFERED_SCHEMA,
    TRACKS_SCHEMA,
    PoolInput,
    build_pool,
)

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
TAGS = ("jazz", "indie rock", "dream pop", "techno", "folk")


def track_id(number: int) -> str:
    """An id of Spotify's form."""
    return f"{number:022d}"


def some_tracks(count: int, seed: int = 1, *, unknown: int = 10) -> list[dict[str, Any]]:
    """Tracks of a few kinds of sound; every `unknown`-th has no audio features."""
    dice = Random(seed)
    found = []
    for number in range(count):
        centre = (number % 5) / 5 + 0.1
        features: dict[str, float | None] = {
            name: min(max(dice.gauss(centre, 0.15), 0.0), 1.0) for name in AVERAGED_FEATURES
        }
        features["tempo"] = 70 + 110 * min(max(dice.gauss(centre, 0.2), 0.0), 1.0)
        features["instrumentalness"] = dice.choice((0.0, 0.1, 0.9))
        if unknown and number % unknown == 0:
            features = dict.fromkeys(AVERAGED_FEATURES)
        found.append(
            {
                "track_id": track_id(number),
                "name": f"Song {number}",
                "artist_id": f"artist{number // 3}",
                "artist_name": f"Artist {number // 3}",
                "album_name": f"Album {number // 6}",
                "isrc": "",
                "duration_ms": dice.randrange(120_000, 330_000),
                "explicit": number % 7 == 0,
                "year": 1960 + number % 65,
                "tags": [TAGS[number % 5]],
                "key": dice.randrange(12),
                "mode": dice.randrange(2),
                **features,
            }
        )
    return found


def pool_of(
    tracks: Sequence[Mapping[str, Any]],
    plays: Sequence[tuple[int, float, bool]] = (),
    saved: Sequence[int] = (),
    offered: Sequence[Mapping[str, Any]] = (),
    **more: Any,
) -> pl.DataFrame:
    """A pool of tracks.

    Args:
        tracks: As `some_tracks`.
        plays: Number of the track, days ago, whether it was heard out.
        saved: Numbers of tracks in the library.
        offered: Rows of `OFFERED_SCHEMA`.
        more: Further arguments of `PoolInput`.
    """
    frame = pl.DataFrame(tracks, schema=TRACKS_SCHEMA)
    heard = pl.DataFrame(
        [
            {
                "track_id": track_id(number),
                "played_at": NOW - timedelta(days=ago),
                "date": (NOW - timedelta(days=ago)).date(),
                "liked": liked,
                "left_out": False,
            }
            for number, ago, liked in plays
        ],
        schema=HEARD_SCHEMA,
    )
    library = pl.DataFrame(
        [{"track_id": track_id(number), "added_at": NOW - timedelta(days=number)} for number in saved],
        schema=LIBRARY_SCHEMA,
    )
    given = PoolInput(
        frame,
        frame.select("track_id", song="track_id"),
        heard,
        library,
        pl.DataFrame(offered, schema=OFFERED_SCHEMA),
        **more,
    )
    return build_pool(given, NOW, BERLIN)
