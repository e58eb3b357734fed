"""A history of the size of a heavy listener's, generated: 14 years, 208,934 plays, 41,918 tracks, 9,821 artists."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

PLAYS, TRACKS, ARTISTS = 208_934, 41_918, 9_821
FIRST, LAST = datetime(2011, 1, 1, tzinfo=UTC), datetime(2024, 12, 31, 23, 59, tzinfo=UTC)
USER_ID = "0123456789abcdef01234567"


def history(seed: int = 1) -> list[dict[str, Any]]:
    """Documents of ``listening_history`` of one user, each track played at least once, in order of time."""
    random_ = random.Random(seed)
    tracks = [_track(number, number % ARTISTS) for number in range(TRACKS)]
    # A few tracks are played very often and most of them hardly ever.
    favourites = random_.choices(range(TRACKS), weights=[1 / (rank + 10) for rank in range(TRACKS)], k=PLAYS - TRACKS)
    chosen = [*range(TRACKS), *favourites]
    random_.shuffle(chosen)
    span_s = int((LAST - FIRST).total_seconds())
    stamps = sorted(random_.sample(range(span_s), PLAYS))
    plays = []
    for number, (track, stamp) in enumerate(zip(chosen, stamps, strict=True)):
        from_export = number % 20 != 0
        duration = tracks[track]["duration_ms"]
        play = {
            "user_id": USER_ID,
            "track": tracks[track],
            "played_at": FIRST + timedelta(seconds=stamp),
            "ms_played": random_.choice((duration, duration, duration // 2, 4_000)) if from_export else None,
            "source": "import" if from_export else "api",
            "context_type": "",
            "context_uri": "",
            "played_at_estimated": False,
        }
        if from_export:
            play["import_key"] = f"{stamp}|{track}"
            play["playback"] = {"reason_start": "trackdone", "reason_end": "trackdone", "skipped": False}
        plays.append(play)
    return plays


def _track(number: int, artist: int) -> dict[str, Any]:
    return {
        "spotify_id": f"{number:022d}",
        "name": f"Track {number}",
        "artist_name": f"Artist {artist}",
        "album_name": f"Album {number // 10}",
        "album_image_url": f"https://images.invalid/{number // 10:040x}",
        "duration_ms": 120_000 + number * 7 % 240_000,
    }
