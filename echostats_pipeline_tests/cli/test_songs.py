"""``echostats songs duplicates``: what counts as one song, and why."""

import json
from datetime import date, timedelta
from typing import Any

import pytest

from echostats_pipeline.model.users import User
from echostats_pipeline.spotify.mapping import track_document
from echostats_pipeline.stages.statistics import rebuild_rollups, rebuild_snapshots
from echostats_pipeline_tests.cli.conftest import Echostats
from echostats_pipeline_tests.conftest import NOW, Counted, Installation

TRACKS = (
    # Letter of the id, title, album, length, ISRC, plays.
    ("a", "Song", "Album", 200_000, "DEAAA2600001", 3),
    ("b", "Song", "Song", 202_000, "de-aaa-26-00001", 2),
    ("c", "Song - Remastered 2011", "Album (Deluxe)", 201_000, "DEAAA2600002", 1),
    ("d", "Song - Live", "Album (Deluxe)", 200_000, "DEAAA2600001", 4),
    ("e", "Another", "Album", 200_000, "", 1),
)


@pytest.fixture
def ann(installation: Installation) -> User:
    """A user who has played one song under three ids, and its live version."""
    store, plays = installation.store, 0
    user = store.users.connect({"spotify_id": "ann", "display_name": "Ann"}, authorized_at=NOW, simulated=True)
    for letter, name, album, duration_ms, isrc, count in TRACKS:
        body: dict[str, Any] = {
            "id": letter * 22,
            "name": name,
            "duration_ms": duration_ms,
            "artists": [{"id": "artist", "name": "Artist"}],
            "album": {"id": album, "name": album, "images": []},
            "external_ids": {"isrc": isrc} if isrc else {},
        }
        store.catalog.put("tracks", [track_document(body, NOW)], missing=(), at=NOW)
        track = {"spotify_id": letter * 22, "name": name, "artist_name": "Artist", "album_name": album}
        for _ in range(count):
            plays += 1
            ended = NOW - timedelta(minutes=5 * plays)
            play = {"user_id": user.user_id, "played_at": ended, "ms_played": duration_ms, "source": "import"}
            store.db["listening_history"].insert_one({**play, "track": {**track, "duration_ms": duration_ms}})
    days = {date(NOW.year, NOW.month, NOW.day) - timedelta(days=day) for day in range(2)}
    rebuild_rollups(store, user, days, min_play_ms=30_000, progress=Counted())
    return user


def test_ids_of_one_song_are_listed_with_the_reason_and_counted_once(
    installation: Installation, ann: User, echostats: Echostats
) -> None:
    ended = echostats("songs", "duplicates", "--user", "ann", "--json")
    assert ended.returncode == 0, ended.stderr
    (song,) = json.loads(ended.stdout)
    assert (song["spotify_id"], song["name"], song["play_count"]) == ("a" * 22, "Song", 6)
    assert [(each["spotify_id"][0], each["album_name"], each["play_count"], each["why"]) for each in song["ids"]] == [
        ("a", "Album", 3, "shown"),
        ("b", "Song", 2, "isrc"),
        ("c", "Album (Deluxe)", 1, "length"),
    ]
    shown = echostats("songs", "duplicates", "--user", "ann").stdout
    assert "same ISRC" in shown
    assert f"1 song of {ann.partition_key} has several ids: 3 in all." in shown
    for same_recording, top, tracks in (
        (True, {"a": 6, "d": 4, "e": 1}, 3),
        (False, dict(zip("dabce", (4, 3, 2, 1, 1), strict=True)), 5),
    ):
        rebuild_snapshots(installation.store, ann, NOW, same_recording=same_recording)
        built = installation.store.statistics.snapshot(ann.user_id, "all_time")
        assert {line.spotify_id[0]: line.play_count for line in built.top_tracks} == top
        assert (built.unique_tracks, built.unique_track_ids, built.counts_songs) == (tracks, 5, same_recording)


def test_nothing_joined_is_said_plainly(installation: Installation, echostats: Echostats) -> None:
    ben = installation.store.users.connect(
        {"spotify_id": "ben", "display_name": "Ben"}, authorized_at=NOW, simulated=True
    )
    ended = echostats("songs", "duplicates", "--user", "ben")
    assert ended.stdout == f"Nothing was joined: {ben.partition_key} has played every song under one id.\n"
    assert json.loads(echostats("songs", "duplicates", "--user", "ben", "--json").stdout) == []
