"""Writes exports with a known number of plays at known instants."""

import json
from datetime import datetime, timedelta
from pathlib import Path

TRACKS, ARTISTS, MS_PLAYED = 300, 40, 100_000


def write_plain_export(path: Path, *, rows: int, first: datetime, apart: timedelta) -> Path:
    """Write an export of this many plays that count, one after the other."""
    content = [
        {
            "ts": f"{first + number * apart:%Y-%m-%dT%H:%M:%SZ}",
            "ms_played": MS_PLAYED,
            "spotify_track_uri": f"spotify:track:{number % TRACKS:022}",
            "master_metadata_track_name": f"Title {number % TRACKS}",
            "master_metadata_album_artist_name": f"Artist {number % ARTISTS}",
        }
        for number in range(rows)
    ]
    path.write_text(json.dumps(content))
    return path
