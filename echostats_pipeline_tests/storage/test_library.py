"""What users keep, in the database: replaced as a whole, for one user."""

from echostats_pipeline.model.library import Playlist, PlaylistTrack, RankedItem, SavedTrack, TopItems
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, documents


def playlist(spotify_id: str, user_id: str = "u", **fields: object) -> Playlist:
    track = PlaylistTrack(spotify_id="t", name="", artist_name="$", album_name=".", added_at=NOW, duration_ms=1)
    return Playlist.model_validate(
        {"spotify_id": spotify_id, "user_id": user_id, "name": "", "tracks": [track], "fetched_at": NOW, **fields}
    )


def saved(spotify_id: str, user_id: str = "u") -> SavedTrack:
    return SavedTrack(
        user_id=user_id,
        spotify_id=spotify_id,
        name="n",
        artist_name="a",
        album_name="b",
        duration_ms=1,
        added_at=NOW,
        fetched_at=NOW,
    )


def test_playlists_are_replaced_and_those_gone_are_removed(store: Store, db: Db) -> None:
    store.library.replace_playlists("v", [playlist("1", "v")])
    store.library.replace_playlists("u", [playlist("1"), playlist("2")])
    store.library.replace_playlists("u", [playlist("2", name="new"), playlist("3")])
    kept = [playlist("1", "v"), playlist("2", name="new"), playlist("3")]
    assert documents(db, "playlists") == sorted((each.to_bson() for each in kept), key=repr)


def test_a_playlist_that_stays_keeps_its_document(store: Store, db: Db) -> None:
    store.library.replace_playlists("u", [playlist("1")])
    before = list(db["playlists"].find())
    store.library.replace_playlists("u", [playlist("1")])
    assert list(db["playlists"].find()) == before


def test_saved_tracks_are_replaced_and_those_gone_are_removed(store: Store, db: Db) -> None:
    store.library.put_saved_tracks("v", [saved("1", "v")], all_of_them=True)
    store.library.put_saved_tracks("u", [saved("1"), saved("2")], all_of_them=True)
    store.library.put_saved_tracks("u", [saved("2")], all_of_them=True)
    assert documents(db, "saved_tracks") == [saved("2").to_bson(), saved("1", "v").to_bson()]


def test_an_empty_library_empties_it(store: Store, db: Db) -> None:
    store.library.put_saved_tracks("u", [saved("1")], all_of_them=True)
    store.library.put_saved_tracks("u", [], all_of_them=True)
    store.library.replace_playlists("u", [playlist("1")])
    store.library.replace_playlists("u", [])
    assert documents(db, "saved_tracks") == documents(db, "playlists") == []


def test_rankings_are_one_document_per_kind_and_range(store: Store, db: Db) -> None:
    for name in ("old", "new"):
        items = [RankedItem(rank=1, spotify_id="x", name=name)]
        store.library.put_top_items(
            "u",
            [
                TopItems(user_id="u", kind=kind, time_range=span, items=items, fetched_at=NOW)
                for kind in ("artists", "tracks")
                for span in ("short_term", "long_term")
            ],
        )
    found = documents(db, "top_items")
    assert len(found) == 4
    assert {ranking["items"][0]["name"] for ranking in found} == {"new"}
