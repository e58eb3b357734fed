"""Plays known only by names: their names are the user's own, whatever other users import, in any order."""

import csv
import itertools
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from echostats_pipeline.model.users import User
from echostats_pipeline.report.reads import ReportStore
from echostats_pipeline.stages.imports import import_export
from echostats_pipeline.stages.statistics import rebuild_snapshots
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, Counted
from echostats_pipeline_tests.stages.statistics_oracle import catch_up, check_truth, rebuild_waiting

Row = tuple[str, str, str, str]
"""Artist, album, title, and the minute of the start."""
MY_FILES: tuple[list[Row], ...] = (
    [("abba", "Gold", "One", "01 Mar 2024 10:00"), ("ABBA", "Gold", "One", "01 Mar 2024 11:00")],
    [("ABBA", "gold", "One", "02 Mar 2024 10:00"), ("ABBA", "Arrival", "One", "02 Mar 2024 11:00")],
    [("Queen", "Gold", "Two", "03 Mar 2024 10:00"), ("ABBA", "", "Two", "03 Mar 2024 11:00")],
)
THEIRS: list[Row] = [("aBBa", "Theirs", "One", "01 Jan 2024 10:00"), ("QUEEN", "Of theirs", "Two", "01 Jan 2024 11:00")]
EXTENDED = [
    ("Tyler, The Creator", "See You Again (feat. Kali)", "2024-05-01T10:03:20Z"),
    ("Dave", '"Heroes" - Remaster', "2024-05-01T11:03:20Z"),
    ("Solo", "Duo", "2024-05-01T12:03:20Z"),
    ("Queen", "Song - 2011 Remaster", "2024-05-01T13:03:20Z"),
]
SCROBBLES: list[Row] = [
    ("Tyler The Creator", "Album", "See You Again (feat. Kali)", "01 May 2024 10:00"),
    ("Dave", "Album", "Heroes - Remaster", "01 May 2024 11:00"),
    ("Solo feat. Guest", "Album", "Duo", "01 May 2024 12:00"),
    ("Queen", "Album", "Song", "01 May 2024 13:00"),
]
LISTENS = [
    ("Tyler, The Creator feat. Kali", "See You Again", "2024-05-01T10:00:00+00:00"),
    ("Solo & Guest", "Duo", "2024-05-01T12:00:00+00:00"),
]


def listener(store: Store, name: str) -> User:
    return store.users.connect({"spotify_id": name}, authorized_at=NOW, simulated=False)


def imports(store: Store, user: User, path: Path) -> None:
    import_export(store, user, [path], progress=Counted(), clock=lambda: NOW)


def scrobbles(folder: Path, name: str, rows: Sequence[Row]) -> Path:
    path = folder / f"{name}.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def all_time(store: Store, user: User) -> Document:
    found = store.db["analytics_snapshots"].find_one(
        {"user_id": user.user_id, "period": "all_time"}, {"_id": 0, "computed_at": 0, "user_id": 0}
    )
    assert found is not None
    return found


def tops(snapshot: Document, kind: str) -> dict[str, int]:
    return {line["name"]: line["play_count"] for line in snapshot[f"top_{kind}"]}


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_neither_other_users_nor_the_order_of_imports_name_what_i_heard(
    store: Store, scratch: Store, tmp_path: Path, order: tuple[int, ...]
) -> None:
    me, other = listener(store, "me"), listener(store, "other")
    for number in order:
        if number < len(MY_FILES):
            imports(store, me, scrobbles(tmp_path, f"mine{number}", MY_FILES[number]))
        else:
            imports(store, other, scrobbles(tmp_path, "theirs", THEIRS))
        catch_up(store, NOW)  # in the order of arrival, so that the winner changes
    check_truth(store, scratch, NOW)
    reported = all_time(store, me)
    assert tops(reported, "artists") == {"ABBA": 5, "Queen": 1}
    assert tops(reported, "tracks") == {"One": 4, "Two": 1}
    assert [(line["name"], line["play_count"]) for line in reported["top_albums"]] == [
        ("Gold", 3),
        ("Arrival", 1),
        ("Gold", 1),
    ]
    assert reported["unique_albums"] == 3
    shown = {line["spotify_id"] for line in reported["top_tracks"]}
    assert sorted(ReportStore(store.db).credits(me.user_id, shown).values()) == ["ABBA", "ABBA", "Queen"]


def test_days_that_an_earlier_version_built_learn_whose_albums_they_tell_of(
    store: Store, scratch: Store, tmp_path: Path
) -> None:
    me = listener(store, "me")
    for number, rows in enumerate(MY_FILES):
        imports(store, me, scrobbles(tmp_path, f"mine{number}", rows))
    catch_up(store, NOW)
    now = all_time(store, me)
    store.db["daily_rollups"].update_many({}, {"$unset": {"named_tracks": 1}})
    store.db["statistics_years"].delete_many({})
    rebuild_snapshots(store, me, NOW)
    assert len(store.marks.pending_days(me.user_id)) == len(MY_FILES)
    rebuild_waiting(store, me)
    check_truth(store, scratch, NOW)
    assert all_time(store, me) == now


def extended(folder: Path) -> Path:
    rows: list[dict[str, Any]] = [
        {
            "ts": ts,
            "ms_played": 200_000,
            "master_metadata_track_name": title,
            "master_metadata_album_artist_name": artist,
            "master_metadata_album_album_name": "Album",
            "spotify_track_uri": f"spotify:track:{number:022}",
        }
        for number, (artist, title, ts) in enumerate(EXTENDED)
    ]
    path = folder / "Streaming_History_Audio_2024_0.json"
    path.write_text(json.dumps(rows))
    return path


def listens(folder: Path) -> Path:
    path = folder / "listens.jsonl"
    lines = [
        {
            "listened_at": int(datetime.fromisoformat(started).timestamp()),
            "track_metadata": {"artist_name": artist, "track_name": title, "release_name": "Album"},
        }
        for artist, title, started in LISTENS
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[::2])
def test_plays_do_not_double_where_an_exporter_spells_otherwise(
    store: Store, tmp_path: Path, order: tuple[int, ...]
) -> None:
    me = listener(store, "me")
    paths = (extended(tmp_path), scrobbles(tmp_path, "scrobbles", SCROBBLES), listens(tmp_path))
    for number in order:
        imports(store, me, paths[number])
    plays = list(store.db["listening_history"].find().sort("played_at"))
    assert [play["track"]["spotify_id"] for play in plays] == [f"{number:022}" for number in range(len(EXTENDED))]
    assert [len(play["also_imported"]) for play in plays] == [2, 1, 2, 1]
