"""An extended streaming history of any length: Spotify's export of the plays of `benchmarks.history`."""

import json
import random
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from benchmarks.history import FIRST, LAST, history

ROWS_PER_FILE = 16_000
BURST_EVERY, BURST_ROWS = 250, 12
"""Plays without a connection are reported together, and all have the timestamp of the last one."""
NOTHING_HEARD_MS = (0, 0, 1_370)
SKIPS_KNOWN_FROM, SECONDS_FROM = 2021, 2023
"""Years in which Spotify began to report skips, and to give ``offline_timestamp`` in seconds."""
NO_MUSIC: dict[str, Any] = dict.fromkeys(
    (
        "episode_name",
        "episode_show_name",
        "spotify_episode_uri",
        "audiobook_title",
        "audiobook_uri",
        "audiobook_chapter_uri",
        "audiobook_chapter_title",
    )
)


def write_export(path: Path, rows: int, rows_per_file: int = ROWS_PER_FILE) -> None:
    """Write a zip of `rows` plays over 14 years, row by row. All tracks of `history` are in it if all its plays are."""
    coming = _rows(rows)
    with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(-(-rows // rows_per_file)):
            first = next(coming)
            last_year = (FIRST + (LAST - FIRST) * min((number + 1) * rows_per_file / rows, 1)).year
            name = f"Streaming_History_Audio_{first['ts'][:4]}-{last_year}_{number}.json"
            with archive.open(f"Spotify Extended Streaming History/{name}", "w", force_zip64=True) as file:
                file.write(b"[\n" + _text(first))
                for row in islice(coming, rows_per_file - 1):
                    file.write(b",\n" + _text(row))
                file.write(b"\n]")


def _text(row: dict[str, Any]) -> bytes:
    # The same text as with `indent`, which makes json many times slower.
    fields = json.dumps(row, separators=(",\n    ", ": "), ensure_ascii=False)[1:-1]
    return f"  {{\n    {fields}\n  }}".encode()


def _rows(count: int) -> Iterator[dict[str, Any]]:
    """Rows in order of time, with bursts that share a timestamp, plays of no length, and nulls."""
    dice = random.Random(count)
    step = (LAST - FIRST) / count
    for number, play in zip(range(count), cycle(history())):
        in_burst = number % BURST_EVERY < BURST_ROWS
        place = number - number % BURST_EVERY + BURST_ROWS if in_burst else number + dice.random()
        ended_at = FIRST + step * min(place, count)
        track, chance = play["track"], dice.random()
        ms_played = play["ms_played"] or track["duration_ms"]
        if chance < 0.02:  # noqa: PLR2004
            ms_played = dice.choice(NOTHING_HEARD_MS)
        started_s = ended_at.timestamp() - ms_played / 1000
        named = chance > 0.002  # noqa: PLR2004 - Spotify deletes the names of withdrawn tracks
        yield {
            "ts": f"{ended_at:%Y-%m-%dT%H:%M:%SZ}",
            "platform": dice.choice(("ios", "Android OS 11 API 30 (velno, VM-A515F)", "web_player", "windows")),
            "ms_played": ms_played,
            "conn_country": "ZZ" if chance > 0.99 else "DE",  # noqa: PLR2004
            "ip_addr": f"203.0.113.{number % 254 + 1}",
            "master_metadata_track_name": track["name"] if named else None,
            "master_metadata_album_artist_name": track["artist_name"] if named else None,
            "master_metadata_album_album_name": track["album_name"] if named else None,
            "spotify_track_uri": f"spotify:track:{track['spotify_id']}",
            **NO_MUSIC,
            "reason_start": dice.choice(("trackdone", "clickrow", None)),
            "reason_end": dice.choice(("trackdone", "fwdbtn", "")),
            "shuffle": number % 3 == 0,
            "skipped": number % 9 == 0 if ended_at.year >= SKIPS_KNOWN_FROM else None,
            "offline": in_burst,
            "offline_timestamp": int(started_s if ended_at.year >= SECONDS_FROM else started_s * 1000),
            "incognito_mode": False,
        }
