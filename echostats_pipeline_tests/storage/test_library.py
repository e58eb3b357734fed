"""Users' libraries in the database: each document is replaced at once."""

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


def test_playlists_are_stored_one_by_one_and_those_gone_are_removed(store: Store, db: Db) -> None:
    store.library.put_playlists([playlist("1", "v"), playlist("1"), playlist("2")])
    store.library.put_playlists([playlist("2", name="new")])
    store.library.put_playlists([playlist("3")])
    store.library.keep_playlists("u", ["2", "3"])
    kept = [playlist("1", "v"), playlist("2", name="new"), playlist("3")]
    assert documents(db, "playlists") == sorted((each.to_bson() for each in kept), key=repr)


def test_a_playlist_that_stays_keeps_its_document(store: Store, db: Db) -> None:
    store.library.put_playlists([playlist("1")])
    before = list(db["playlists"].find())
    store.library.put_playlists([playlist("1")])
    assert list(db["playlists"].find()) == before


def test_saved_tracks_that_a_pass_has_not_come_upon_are_removed(store: Store, db: Db) -> None:
    def seen(spotify_id: str, user_id: str, number: int) -> SavedTrack:
        return saved(spotify_id, user_id).model_copy(update={"seen_in": number})

    store.library.put_saved_tracks([seen("1", "v", 1), seen("1", "u", 1), seen("2", "u", 2)])
    store.library.keep_seen_tracks("u", 2)
    for user_id in ("u", "v"):
        store.library.forget_pass(user_id)
    found = {(each["user_id"], each["spotify_id"]): each["seen_in"] for each in documents(db, "saved_tracks")}
    assert found == {("u", "2"): None, ("v", "1"): None}


def test_what_others_have_added_to_a_document_stays(store: Store, db: Db) -> None:
    store.library.put_saved_tracks([saved("1")])
    db["saved_tracks"].update_one({}, {"$set": {"theirs": 1}})
    store.library.put_saved_tracks([saved("1")])
    assert documents(db, "saved_tracks") == [{**saved("1").to_bson(), "theirs": 1}]


def test_rankings_are_one_document_per_kind_and_range(store: Store, db: Db) -> None:
    for name in ("old", "new"):
        items = [RankedItem(rank=1, spotify_id="x", name=name)]
        for kind in ("artists", "tracks"):
            for span in ("short_term", "long_term"):
                store.library.put_top_items(
                    TopItems(user_id="u", kind=kind, time_range=span, items=items, fetched_at=NOW)
                )
    found = documents(db, "top_items")
    assert len(found) == 4
    assert {ranking["items"][0]["name"] for ranking in found} == {"new"}
