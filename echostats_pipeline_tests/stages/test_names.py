"""Names of any kind from Spotify and its exports arrive in snapshots through history and rollups."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from echostats_pipeline.model.catalog import Album, AlbumRef, Artist, ArtistRef, Track
from echostats_pipeline.model.users import User
from echostats_pipeline.stages.imports import import_export
from echostats_pipeline.stages.ingestion import merge_pages, read_recently_played
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, Counted
from echostats_pipeline_tests.stages.statistics_oracle import check_truth
from echostats_pipeline_tests.stages.test_ingestion import answering
from echostats_pipeline_tests.stages.test_ingestion import row as api_row

AS_THEY_ARE = (
    ".",
    "Mr. Oizo",
    "will.i.am",
    "a.b.c.",
    "..",
    "$",
    "$uicideboy$",
    "$where",
    "$set.x",
    "_id",
    "0",
    "__proto__",
    " ",
    "'\"\\/\n\t",
    "\x1f",
    "\x7f",
    "name:Mr. Oizo",
    "Bjo\u0308rk",
    "Björk",
    "björk",
    "🎵" * 3,
    "\u202eright to left",
    "\ufeff",
    "\uffff",
    "x" * 1_000,
    "." * 1_000,
    "é" * 1_000,
)
"""Names that are kept to the letter, each of another artist."""
CHANGED = {"\0": "", "A\0B": "AB", "\ud800": "?", "C\udfffD": "C?D"}
"""MongoDB stores no NUL in a key and no lone surrogate anywhere. A name loses exactly these characters."""
NAMES = ("", *AS_THEY_ARE, *CHANGED)

Reporter = Callable[[Store, User, Path], None]


@pytest.fixture
def user(store: Store) -> User:
    return store.users.connect({"spotify_id": "ann"}, authorized_at=NOW, simulated=False)


def ends() -> list[datetime]:
    return [NOW - timedelta(hours=6, minutes=5 * number) for number in range(len(NAMES))]


def track_id(number: int) -> str:
    return f"{number:022}"


def by_extended_export(store: Store, user: User, folder: Path) -> None:
    rows = [
        {
            "ts": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "ms_played": 60_000,
            "master_metadata_track_name": name,
            "master_metadata_album_artist_name": name,
            "master_metadata_album_album_name": name,
            "spotify_track_uri": f"spotify:track:{track_id(number)}",
        }
        for number, (name, end) in enumerate(zip(NAMES, ends(), strict=True))
    ]
    import_rows(store, user, folder / "endsong_0.json", rows)


def by_account_data(store: Store, user: User, folder: Path) -> None:
    rows = [
        {"endTime": end.strftime("%Y-%m-%d %H:%M"), "artistName": name, "trackName": name, "msPlayed": 60_000}
        for name, end in zip(NAMES, ends(), strict=True)
        if as_stored(name)  # rows that do not name both are rejected
    ]
    import_rows(store, user, folder / "StreamingHistory0.json", rows)


def import_rows(store: Store, user: User, path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(rows))
    import_export(store, user, [path], progress=Counted(), clock=lambda: NOW)


def by_sync(store: Store, user: User, folder: Path) -> None:
    page = [
        api_row(
            end,
            track_id(number),
            name=name,
            artists=[{"id": f"artist {number}", "name": name}],
            album={"id": f"album {number}", "name": name, "images": []},
        )
        for number, (name, end) in enumerate(zip(NAMES, ends(), strict=True))
    ]
    read_recently_played(store, answering(*page), user, NOW)
    merge_pages(store, user, NOW)


def as_stored(name: str) -> str:
    return CHANGED.get(name, name)


def rollup(store: Store) -> Document:
    (found,) = store.db["daily_rollups"].find()
    return found


def week(store: Store, user: User) -> Document:
    found = store.db["analytics_snapshots"].find_one({"user_id": user.user_id, "period": "week"})
    assert found is not None
    return found


@pytest.mark.parametrize("report", [by_extended_export, by_account_data, by_sync])
def test_names_of_any_kind_are_keys_and_names(
    store: Store, scratch: Store, user: User, tmp_path: Path, report: Reporter
) -> None:
    report(store, user, tmp_path)
    check_truth(store, scratch, NOW)
    found = rollup(store)
    reported = [as_stored(name) for name in NAMES if as_stored(name) or report is not by_account_data]
    counts = {name: reported.count(name) for name in reported}
    assert found["artist_plays"] == counts
    assert found["album_plays"] == ({"": len(reported)} if report is by_account_data else counts)
    shown = {top["name"] for top in week(store, user)["top_artists"]}
    if report is by_account_data:  # whose tracks differ by names alone, whatever the spelling
        assert shown < set(reported)
    else:
        unnamed = set() if report is by_sync else {""}  # an artist with an id counts, even without a name
        assert shown == set(reported) - unnamed
        assert sorted(track["name"] for track in found["track_plays"]) == sorted(reported)


def listen(store: Store, user: User, track: str, *, name: str, artist: str, album: str, ago: timedelta) -> None:
    """Store a play as an import does."""
    snapshot = {"spotify_id": track, "name": name, "artist_name": artist, "album_name": album, "duration_ms": 200_000}
    store.db["listening_history"].insert_one(
        {"user_id": user.user_id, "played_at": NOW - ago, "track": snapshot, "ms_played": 60_000, "source": "import"}
    )
    store.marks.ask(user.user_id, "daily_rollups", [(NOW - ago).date().isoformat()])


def test_what_another_program_wrote_with_a_nul_is_read_without_it(store: Store, scratch: Store, user: User) -> None:
    listen(store, user, "t1", name="T\0", artist="A\0B", album="\0", ago=timedelta(hours=1))
    listen(store, user, "t2", name="T", artist="AB", album="", ago=timedelta(hours=2))
    check_truth(store, scratch, NOW)
    assert (rollup(store)["artist_plays"], rollup(store)["album_plays"]) == ({"AB": 2}, {"": 2})


def catalogue(store: Store, *tracks: tuple[str, ArtistRef, AlbumRef]) -> None:
    known = [Track(spotify_id=track, name="T", artists=[artist], album=album) for track, artist, album in tracks]
    store.catalog.put("tracks", known, missing=(), at=NOW)
    store.mark_all_snapshots()


def test_a_renamed_artist_and_album_do_not_split(store: Store, scratch: Store, user: User) -> None:
    listen(store, user, "t1", name="One", artist="Prince", album="Old", ago=timedelta(days=2))
    listen(store, user, "t1", name="One", artist="Symbol", album="New", ago=timedelta(days=1))
    listen(store, user, "t2", name="Two", artist="Prince", album="Old", ago=timedelta(hours=2))
    artist, album = ArtistRef(spotify_id="prince", name="Prince"), AlbumRef(spotify_id="old", name="Old")
    catalogue(store, ("t1", artist, album), ("t2", artist, album))
    check_truth(store, scratch, NOW)
    for name in ("Prince", "The Artist"):
        store.catalog.put("artists", [Artist(spotify_id="prince", name=name)], missing=(), at=NOW)
        store.catalog.put("albums", [Album(spotify_id="old", name=f"{name}'s")], missing=(), at=NOW)
        store.mark_all_snapshots()
        check_truth(store, scratch, NOW)
        found = week(store, user)
        assert [(top["name"], top["play_count"]) for top in found["top_artists"]] == [(name, 3)]
        assert [(top["name"], top["play_count"]) for top in found["top_albums"]] == [(f"{name}'s", 3)]
        assert (found["unique_artists"], found["unique_albums"]) == (1, 1)


def test_namesakes_do_not_merge(store: Store, scratch: Store, user: User) -> None:
    for number, track in enumerate(("t1", "t1", "t2")):
        listen(store, user, track, name=track, artist="Nirvana", album="Hits", ago=timedelta(hours=number))
    catalogue(
        store,
        *(
            (track, ArtistRef(spotify_id=artist, name="Nirvana"), AlbumRef(spotify_id=album, name="Hits"))
            for track, artist, album in (("t1", "us", "hits us"), ("t2", "uk", "hits uk"))
        ),
    )
    check_truth(store, scratch, NOW)
    found = week(store, user)
    assert [(top["spotify_id"], top["play_count"]) for top in found["top_artists"]] == [("us", 2), ("uk", 1)]
    assert [(top["spotify_id"], top["play_count"]) for top in found["top_albums"]] == [("hits us", 2), ("hits uk", 1)]


def test_a_day_emptied_by_a_deletion_loses_its_rollup_and_its_neighbours_keep_theirs(
    store: Store, scratch: Store, user: User
) -> None:
    for days in (1, 2, 3):
        listen(store, user, "t", name="T", artist="A", album="B", ago=timedelta(days=days))
    check_truth(store, scratch, NOW)
    store.db["listening_history"].delete_many({"played_at": NOW - timedelta(days=2)})
    store.marks.ask(user.user_id, "daily_rollups", [(NOW - timedelta(days=2)).date().isoformat()])
    check_truth(store, scratch, NOW)
    assert sorted(found["date"] for found in store.db["daily_rollups"].find()) == ["2025-06-12", "2025-06-14"]
    assert (week(store, user)["total_tracks_played"], week(store, user)["longest_streak_days"]) == (2, 1)
