"""Real exports, if present: outcomes against a count by hand, and the same history in any order."""

import csv
import hashlib
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from echostats_pipeline.accounts.consent import move_days
from echostats_pipeline.model.operations import FileImport
from echostats_pipeline.model.plays import RecentlyPlayedItem, RecentlyPlayedPage, TrackSnapshot
from echostats_pipeline.model.users import User
from echostats_pipeline.stages.imports import import_export
from echostats_pipeline.stages.ingestion import merge_pages
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import Counted, documents
from echostats_pipeline_tests.stages.statistics_oracle import MIN_PLAY_MS, catch_up, check_truth, stored_plays
from echostats_pipeline_tests.transforms import oracle

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
EXTENDED = SAMPLES / "Spotify Extended Streaming History"
BASIC, ECHOTUNE = SAMPLES / "MyData", SAMPLES / "listening_history_57_columns.csv"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
pytestmark = [
    pytest.mark.scale,
    pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"the real exports are not here: {SAMPLES}"),
]

Heard = Counter[tuple[str, int]]
"""Number of plays of a track with this number of milliseconds."""


@pytest.fixture
def user(store: Store) -> User:
    return store.users.connect({"spotify_id": "ann"}, authorized_at=NOW, simulated=False)


def read(store: Store, user: User, *paths: Path) -> list[FileImport]:
    return import_export(store, user, paths, progress=Counted(), clock=lambda: NOW)


def extended_rows() -> list[dict[str, Any]]:
    return [row for path in sorted(EXTENDED.glob("*.json")) for row in json.loads(path.read_bytes())]


def heard_extended() -> Heard:
    return Counter((row["spotify_track_uri"][-22:], row["ms_played"]) for row in extended_rows())


def heard_basic() -> Heard:
    rows = [row for path in BASIC.glob("*.json") for row in json.loads(path.read_bytes())]
    return Counter((f"{row['artistName']}/{row['trackName']}", row["msPlayed"]) for row in rows)


def heard_echotune() -> Heard:
    with ECHOTUNE.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["spotify_track_uri"]]
    return Counter((row["spotify_track_uri"][-22:], int(row["ms_played_x"])) for row in rows)


def heard(store: Store, *, by_name: bool = False) -> Heard:
    name = (lambda track: f"{track['artist_name']}/{track['name']}") if by_name else lambda track: track["spotify_id"]
    return Counter((name(play["track"]), play["ms_played"]) for play in store.db["listening_history"].find())


@pytest.mark.parametrize(
    ("path", "count", "rows", "rejected", "days"),
    [
        (EXTENDED, heard_extended, 2_831, 0, 20),
        (BASIC, heard_basic, 52_677, 0, 100),
        (ECHOTUNE, heard_echotune, 12_409, 1_051, 100),
    ],
    ids=["extended", "basic", "echotune"],
)
def test_every_row_of_a_real_export_is_a_play_as_counted_by_hand_and_every_day_as_brute_force_finds(
    store: Store, user: User, path: Path, count: Callable[[], Heard], rows: int, rejected: int, days: int
) -> None:
    files = read(store, user, path)
    assert sum(file.rows for file in files) == rows
    assert sum(file.inserted for file in files) == rows - rejected
    assert sum(file.rejected for file in files) == rejected
    for file in files:
        assert file.rows == sum(file.model_dump()[outcome] for outcome in OUTCOMES)
    assert heard(store, by_name=path == BASIC) == count()
    before = digest(store)
    again = read(store, user, path)
    assert sum(file.duplicate for file in again) == rows - rejected
    assert digest(store) == before
    catch_up(store, NOW)
    wanted_days = oracle.rollups(stored_plays(store.db, user), user.timezone, MIN_PLAY_MS, user.user_id)
    found_days = {date.fromisoformat(each["date"]): each for each in documents(store.db, "daily_rollups")}
    assert found_days == wanted_days
    assert len(found_days) > days


OUTCOMES = ("inserted", "merged", "duplicate", "not_music", "rejected")


def digest(store: Store) -> str:
    """A digest of the history and its catalogue, independent of ids and write times."""
    hashed = hashlib.sha256()
    for name in ("listening_history", "tracks"):
        unstable = {"_id": 0, "user_id": 0, "fetched_at": 0, "updated_at": 0}
        for document in sorted(
            json.dumps(found, default=str, sort_keys=True) for found in store.db[name].find({}, unstable)
        ):
            hashed.update(document.encode())
    return hashed.hexdigest()


def synced_week(user: User) -> RecentlyPlayedPage:
    """Spotify's response for the first long plays of a week, with timestamps that are slightly off."""
    random_ = random.Random(7)
    items = [
        RecentlyPlayedItem(
            track=TrackSnapshot(
                spotify_id=row["spotify_track_uri"][-22:],
                name=row["master_metadata_track_name"],
                artist_name=row["master_metadata_album_artist_name"],
                album_name=row["master_metadata_album_album_name"],
                duration_ms=row["ms_played"],
            ),
            played_at=datetime.fromisoformat(row["ts"]) + timedelta(milliseconds=random_.randrange(-900, 900)),
            context_type="playlist",
        )
        for row in sorted(extended_rows(), key=lambda row: row["ts"])[400:900]
        if row["ms_played"] >= 30_000
    ]
    return RecentlyPlayedPage(user_id=user.user_id, items=items[::-1], fetched_at=NOW)


def in_four_files(folder: Path) -> list[Path]:
    """The rows shuffled into four files. Exact repeats stay together: only their file shows that they are two."""
    random_ = random.Random(4)
    parts: list[list[dict[str, Any]]] = [[] for _ in range(4)]
    by_content: dict[str, list[dict[str, Any]]] = {}
    for row in extended_rows():
        by_content.setdefault(f"{row['ts']}{row['spotify_track_uri']}{row['ms_played']}", []).append(row)
    for rows in random_.sample(list(by_content.values()), k=len(by_content)):
        random_.choice(parts).extend(rows)
    paths = [folder / f"endsong_{number}.json" for number in range(4)]
    for path, part in zip(paths, parts, strict=True):
        path.write_text(json.dumps(part))
    return paths


def as_account_data(folder: Path) -> Path:
    """The extended export in the form of the account data."""
    path = folder / "StreamingHistory_music_0.json"
    rows = [
        {
            "endTime": row["ts"][:16].replace("T", " "),
            "artistName": row["master_metadata_album_artist_name"],
            "trackName": row["master_metadata_track_name"],
            "msPlayed": row["ms_played"],
        }
        for row in extended_rows()
    ]
    path.write_text(json.dumps(rows))
    return path


def test_the_order_of_real_exports_and_syncs_does_not_matter(store: Store, user: User, tmp_path: Path) -> None:
    parts, account_data = in_four_files(tmp_path), as_account_data(tmp_path)

    def history(*steps: Path | None) -> str:
        for name in ("listening_history", "tracks", "recently_played"):
            store.db[name].delete_many({})
        for step in steps:
            if step is None:
                store.pages.keep(synced_week(user))
                merge_pages(store, user, NOW)
            else:
                read(store, user, step)
        return digest(store)

    def spread(paths: Iterable[Path]) -> list[Path | None]:
        mixed: list[Path | None] = [*paths, None]
        random.Random(3).shuffle(mixed)
        return mixed

    once = history(None, EXTENDED)
    sys.stdout.write(f"an extended export and a synced week: {once}\n")
    assert history(EXTENDED, None) == once
    assert history(None, EXTENDED, EXTENDED, *parts) == once
    assert history(*spread(parts)) == once
    assert history(*spread(reversed(parts))) == once
    assert store.db["listening_history"].count_documents({}) == len(extended_rows())
    everything = history(None, EXTENDED, account_data)
    assert history(account_data, *spread(parts)) == everything
    assert store.db["listening_history"].count_documents({}) == len(extended_rows())


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe"])
def test_all_statistics_of_a_real_export_are_what_brute_force_finds(
    store: Store, scratch: Store, user: User, zone: str
) -> None:
    move_days(store, user, zone)
    moved = store.users.find("ann")
    read(store, moved, EXTENDED)
    assert check_truth(store, scratch, NOW) > 40
