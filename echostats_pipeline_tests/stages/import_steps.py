"""Steps of tests of imports: rows of exports, files of them, and what came of these."""

import json
from pathlib import Path
from typing import Any

from echostats_pipeline.model.operations import FileImport
from echostats_pipeline.storage.store import Store

PLAYS = ("user_id", "track", "played_at", "ms_played", "source", "context_type", "context_uri", "import_key")


def total(files: list[FileImport], outcome: str) -> int:
    return sum(getattr(file, outcome) for file in files)


def plays(store: Store) -> list[dict[str, Any]]:
    found = [{name: play.get(name) for name in PLAYS} for play in store.db["listening_history"].find()]
    return sorted(found, key=lambda play: (play["played_at"], repr(play)))


def write_json(path: Path, rows: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def row(ts: str = "2025-06-01T10:00:00Z", **fields: Any) -> dict[str, Any]:
    return {
        "ts": ts,
        "ms_played": 100_000,
        "spotify_track_uri": "spotify:track:4uLU6hMCjMI75M1A2tKUQC",
        "master_metadata_track_name": "Name",
        "master_metadata_album_artist_name": "Artist",
        "master_metadata_album_album_name": "Album",
        **fields,
    }
