"""The shared catalogue: stubs, full documents, and entries remembered as unavailable."""

from datetime import timedelta

import polars as pl
import pytest
from pymongo.errors import BulkWriteError

from echostats_pipeline.model.catalog import AVERAGED_FEATURES, Album, AlbumRef, Artist, ArtistRef, AudioFeatures, Image
from echostats_pipeline.model.catalog import Track as TrackModel
from echostats_pipeline.model.plays import Play, TrackSnapshot
from echostats_pipeline.storage.catalog import ASK_AGAIN_AFTER, CatalogName
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.history.identity import stable_id
from echostats_pipeline.transforms.history.play_changes import KnownTrack
from echostats_pipeline_tests.conftest import NOW, documents

LATER = NOW + timedelta(days=1)
FEATURES = AudioFeatures.model_validate(
    dict.fromkeys(AudioFeatures.model_fields, 0.5) | {"key": 1, "mode": 1, "duration_ms": 9, "time_signature": 4}
)


def track(spotify_id: str = "t1", **fields: object) -> TrackModel:
    return TrackModel.model_validate(
        {"spotify_id": spotify_id, "name": "T", "fetched_at": NOW, "updated_at": NOW, **fields}
    )


def test_a_stub_is_added_once_and_never_overwrites(store: Store, db: Db) -> None:
    assert store.catalog.add_stubs("tracks", [track(), track()]) == 1
    store.catalog.put("tracks", [track(name="Full", enriched_at=NOW)], missing=(), at=NOW)
    assert store.catalog.add_stubs("tracks", [track(name="Stub"), track("t2")]) == 1
    assert store.catalog.add_stubs("tracks", []) == 0
    assert {found["spotify_id"]: found["name"] for found in db["tracks"].find()} == {"t1": "Full", "t2": "T"}


def test_a_stub_that_another_process_adds_meanwhile_stays_as_it_is(
    store: Store, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.catalog.add_stubs("tracks", [track("t1", name="First")])
    stubs = [track(name, name="Second") for name in ("t0", "t1", "t2")]
    with monkeypatch.context() as before:
        # Read before the other process wrote.
        before.setattr(type(db["tracks"]), "find", lambda *_: [])
        assert store.catalog.add_stubs("tracks", stubs) == 2
    found = {document["spotify_id"]: document["name"] for document in db["tracks"].find()}
    assert found == {"t0": "Second", "t1": "First", "t2": "Second"}


def test_a_stub_that_is_refused_for_another_reason_is_an_error(store: Store, db: Db) -> None:
    db.command("collMod", "artists", validator={"name": {"$ne": "bad"}})
    with pytest.raises(BulkWriteError):
        store.catalog.add_stubs("artists", [Artist(spotify_id="a", name="good"), Artist(spotify_id="b", name="bad")])
    assert [found["name"] for found in db["artists"].find()] == ["good"]


def by(artist: str, title: str, spotify_id: str = "t1", **fields: object) -> TrackModel:
    return track(spotify_id, name=title, artists=[{"spotify_id": "", "name": artist}], **fields)


def named(artist: str, title: str) -> str:
    return stable_id("unresolved", artist, title)


def test_only_what_full_documents_say_of_tracks_is_known(store: Store) -> None:
    album = AlbumRef(spotify_id="b", name="B", image_url="cover")
    full = by("A", "T", album=album, duration_ms=9, enriched_at=NOW)
    bare = track("t2", name="", enriched_at=NOW)
    store.catalog.put("tracks", [full, bare], missing=(), at=NOW)
    store.catalog.add_stubs("tracks", [by("A", "T", "stub")])
    assert store.catalog.known_tracks(["t1", "t2", "stub", "unheard of"]) == {
        "t1": KnownTrack("T", "A", "B", "cover", 9),
        "t2": KnownTrack("", "", "", "", 0),
    }
    assert store.catalog.known_tracks([]) == {}


def test_names_resolve_to_the_least_id_that_bears_them(store: Store) -> None:
    stubs = [by("Björk", "Jóga", spotify_id) for spotify_id in ("t3", "t1", "t2")]
    store.catalog.add_stubs("tracks", [*stubs, by("Björk", "Hunter", "t0"), track("nameless", name="")])
    spelled_otherwise = named(" björk", "JÓGA ")
    assert store.catalog.resolved([spelled_otherwise]) == {named("Björk", "Jóga"): "t1"}
    assert store.catalog.resolved([named("Björk", "Hunter"), named("Nobody", "Knows")]) == {
        named("Björk", "Hunter"): "t0"
    }
    assert store.catalog.resolved([named("", ""), named("A", "")]) == store.catalog.resolved([]) == {}


@pytest.mark.parametrize("prefix", ["local", "unresolved"])
def test_names_never_resolve_to_made_up_ids(store: Store, prefix: str) -> None:
    made_up = by("A", "T", f"{prefix}:{'0' * 22}")
    store.catalog.add_stubs("tracks", [made_up])
    assert store.catalog.resolved([named("A", "T")]) == {}
    store.catalog.add_stubs("tracks", [by("A", "T", "zzz")])
    assert store.catalog.resolved([named("A", "T")]) == {named("A", "T"): "zzz"}


def test_a_name_that_a_track_had_goes_on_to_resolve(store: Store, db: Db) -> None:
    store.catalog.add_stubs("tracks", [by("A", "Song - Remastered")])
    for name in ("Song", "Song", "Song (2024)"):
        store.catalog.put("tracks", [by("A", name, enriched_at=NOW)], missing=(), at=NOW)
    every = [named("A", name) for name in ("Song - Remastered", "Song", "Song (2024)")]
    assert store.catalog.resolved(every) == dict.fromkeys(every, "t1")
    (found,) = db["tracks"].find()
    assert sorted(found["name_ids"]) == sorted(every), "each once"


def test_a_track_that_was_never_a_stub_resolves_too_and_artists_have_no_such_ids(store: Store, db: Db) -> None:
    store.catalog.put("tracks", [by("A", "T", enriched_at=NOW)], missing=(), at=NOW)
    store.catalog.put("artists", [Artist(spotify_id="a", name="A", enriched_at=NOW)], missing=(), at=NOW)
    store.catalog.add_stubs("albums", [Album(spotify_id="b", name="B")])
    assert store.catalog.resolved([named("A", "T")]) == {named("A", "T"): "t1"}
    assert not any("name_ids" in document for name in ("artists", "albums") for document in db[name].find())


def test_a_full_document_is_the_stub_completed(store: Store, db: Db) -> None:
    store.catalog.add_stubs("tracks", [track()])
    full = track(name="Full", popularity=7, fetched_at=LATER, updated_at=LATER, enriched_at=LATER)
    for _ in range(2):
        store.catalog.put("tracks", [full], missing=(), at=LATER)
    (found,) = documents(db, "tracks")
    assert found.pop("changed_at") is not None
    assert found == {name: value for name, value in full.to_bson().items() if name != "changed_at"} | {
        "fetched_at": NOW
    }


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("tracks", track(enriched_at=NOW)),
        ("artists", Artist(spotify_id="a", name=".", genres=["$"], images=[Image(url="u")], enriched_at=NOW)),
        ("albums", Album(spotify_id="b", name="", artists=[ArtistRef(spotify_id="a", name="A")], enriched_at=NOW)),
    ],
)
def test_a_document_without_a_stub_comes_back_as_it_was(
    store: Store, name: CatalogName, full: TrackModel | Artist | Album
) -> None:
    store.catalog.put(name, [full], missing=(), at=NOW)
    (found,) = store.catalog.documents(name, [full.spotify_id, "unknown"])
    assert found.pop("changed_at") is not None
    assert found == {field: value for field, value in full.to_bson().items() if field != "changed_at"}


def test_what_other_steps_have_filled_is_kept(store: Store, db: Db) -> None:
    store.catalog.put(
        "tracks", [track(artists=[{"spotify_id": "a", "name": "A"}], enriched_at=NOW)], missing=(), at=NOW
    )
    store.catalog.put_audio_features({"t1": FEATURES}, NOW)
    store.catalog.pass_genres_to_tracks([Artist(spotify_id="a", name="A", genres=["g"])])
    store.catalog.put("tracks", [track(name="Again", enriched_at=LATER)], missing=(), at=LATER)
    found = db["tracks"].find_one()
    assert found is not None
    assert (found["name"], found["genres"], found["audio_features"]) == ("Again", ["g"], FEATURES.model_dump())


def test_stubs_want_to_be_asked_for_once_and_made_up_ids_never(store: Store) -> None:
    made_up = [track("local:abc"), track("unresolved:abc"), track("")]
    store.catalog.add_stubs("tracks", [track("t2"), track("t1"), *made_up])
    assert store.catalog.wanting("tracks", NOW) == ["t1", "t2"]
    assert store.catalog.lacking(NOW) == {"tracks": 2}
    store.catalog.put("tracks", [track("t1", enriched_at=NOW)], missing=["t2"], at=NOW)
    assert store.catalog.wanting("tracks", NOW) == []
    assert list(store.catalog.wanting_audio_features(NOW)) == ["t1"]
    assert store.catalog.lacking(NOW) == {"audio-features": 1}
    store.catalog.put_audio_features({"t1": None}, NOW)
    assert store.catalog.lacking(NOW) == {}


def test_what_nobody_knew_is_asked_for_again_after_thirty_days_and_no_sooner(store: Store) -> None:
    store.catalog.add_stubs("tracks", [track("t1"), track("t2")])
    store.catalog.put("tracks", [track("t1", enriched_at=NOW)], missing=["t2"], at=NOW)
    store.catalog.put_audio_features({"t1": None}, NOW)
    assert store.catalog.lacking(NOW + ASK_AGAIN_AFTER) == {}
    after = NOW + ASK_AGAIN_AFTER + timedelta(milliseconds=1)
    assert store.catalog.lacking(after) == {"tracks": 1, "audio-features": 1}
    assert (store.catalog.wanting("tracks", after), store.catalog.wanting_audio_features(after)) == (["t2"], {"t1": []})
    store.catalog.put("tracks", [track("t2", enriched_at=after)], missing=(), at=after)
    store.catalog.put_audio_features({"t1": FEATURES, "t2": None}, after)
    assert store.catalog.lacking(after) == {}
    assert {found["unavailable_at"] for found in store.catalog.documents("tracks", ["t1", "t2"])} == {None}


def test_what_is_played_most_by_everybody_is_wanted_first(store: Store, db: Db) -> None:
    plays = {"t1": 1, "t2": 3, "t3": 2, "t4": 2}
    artists = {"t1": "a", "t2": "b", "t3": "a", "t4": "c"}
    for name, count in plays.items():
        artist = {"spotify_id": artists[name], "name": artists[name]}
        album = AlbumRef(spotify_id=f"album-{artists[name]}", name="A")
        store.catalog.add_stubs("tracks", [track(name, artists=[artist], album=album)])
        store.catalog.add_stubs("artists", [Artist(spotify_id=artists[name], name="A")])
        store.catalog.add_stubs("albums", [Album(spotify_id=f"album-{artists[name]}", name="A")])
        db["listening_history"].insert_many(
            Play(
                user_id=f"u{number % 2}",
                track=TrackSnapshot(spotify_id=name),
                played_at=NOW + timedelta(seconds=number),
            ).to_bson()
            for number in range(count)
        )
    assert store.catalog.wanting("tracks", NOW) == ["t2", "t3", "t4", "t1"]
    assert store.catalog.wanting("artists", NOW) == ["a", "b", "c"]
    assert store.catalog.wanting("albums", NOW) == ["album-a", "album-b", "album-c"]
    store.catalog.put("tracks", [track(name, enriched_at=NOW) for name in plays], missing=(), at=NOW)
    assert list(store.catalog.wanting_audio_features(NOW)) == ["t2", "t3", "t4", "t1"]


def test_what_was_read_a_year_ago_is_read_again_after_everything_that_is_missing(store: Store) -> None:
    store.catalog.put("tracks", [track("old", enriched_at=NOW)], missing=(), at=NOW)
    assert store.catalog.wanting("tracks", NOW + timedelta(days=364)) == []
    later = NOW + timedelta(days=366)
    store.catalog.add_stubs("tracks", [track("new")])
    assert store.catalog.wanting("tracks", later) == ["new", "old"]
    store.catalog.put("tracks", [], missing=["old"], at=later)
    assert store.catalog.wanting("tracks", later) == ["new"], "Spotify has just said that it is gone"


def test_progress_says_what_is_known_and_how_long_the_rest_takes(store: Store) -> None:
    store.catalog.add_stubs("tracks", [track(f"t{number}") for number in range(5)])
    store.catalog.put("tracks", [track("t0", enriched_at=NOW)], missing=["t1"], at=NOW)
    found = store.catalog.progress("tracks", NOW, a_day=2)
    assert found.text == "2 of 5 known, ready in at most 2 days at today's budget"
    assert (found.known, found.total, found.percent, found.days_left) == (2, 5, 40.0, 2)
    assert store.catalog.progress("tracks", NOW, a_day=100).text.endswith("at most 1 day at today's budget")
    unreachable = store.catalog.progress("tracks", NOW, a_day=0)
    assert (unreachable.text, unreachable.days_left) == ("2 of 5 known", None), "no source can be asked"
    nothing = store.catalog.progress("artists", NOW, a_day=2)
    assert (nothing.text, nothing.percent, nothing.days_left) == ("0 of 0 known", 100.0, 0)


def test_a_source_that_was_not_asked_about_a_track_is_asked_when_it_can_be(store: Store) -> None:
    store.catalog.put("tracks", [track(name, enriched_at=NOW) for name in ("t1", "t2", "t3")], missing=(), at=NOW)
    asked = {"t1": ["reccobeats"], "t2": ["spotify", "reccobeats"]}
    store.catalog.put_audio_features({"t1": None, "t2": None, "t3": FEATURES}, NOW, asked)
    assert store.catalog.lacking(NOW) == store.catalog.lacking(NOW, ["reccobeats"]) == {}
    assert store.catalog.lacking(NOW, ["spotify"]) == {"audio-features": 1}
    assert store.catalog.lacking(NOW, ["spotify", "mine.csv"]) == {"audio-features": 2}
    assert store.catalog.wanting_audio_features(NOW, ["spotify", "reccobeats"]) == {"t1": ["reccobeats"]}
    after = NOW + ASK_AGAIN_AFTER + timedelta(milliseconds=1)
    assert store.catalog.wanting_audio_features(after, ["spotify"]) == {"t1": [], "t2": []}


def test_that_spotify_has_no_features_is_null_and_never_zero(store: Store, db: Db) -> None:
    store.catalog.put("tracks", [track(enriched_at=NOW)], missing=(), at=NOW)
    store.catalog.put_audio_features({"t1": None}, LATER)
    found = db["tracks"].find_one()
    assert found is not None
    assert (found["audio_features"], found["audio_features_checked_at"]) == (None, LATER)


def test_genres_go_to_the_tracks_of_the_primary_artist(store: Store, db: Db) -> None:
    first, second = ({"spotify_id": name, "name": name} for name in "ab")
    store.catalog.add_stubs("tracks", [track("t1", artists=[first, second]), track("t2", artists=[second, first])])
    store.catalog.pass_genres_to_tracks(
        [Artist(spotify_id="a", name="a", genres=["g"]), Artist(spotify_id="b", name="b")]
    )
    assert {found["spotify_id"]: found["genres"] for found in db["tracks"].find()} == {"t1": ["g"], "t2": []}


def test_frames_hold_what_is_known_and_null_where_nothing_is(store: Store) -> None:
    album = AlbumRef(spotify_id="b", name="B", image_url="cover")
    artists = [{"spotify_id": "a", "name": "A"}, {"spotify_id": "z", "name": "Z"}]
    known = track("t1", artists=artists, album=album, audio_features=FEATURES, isrc="I", duration_ms=7)
    store.catalog.add_stubs("tracks", [known, track("t2")])
    store.catalog.add_stubs("artists", [Artist(spotify_id="a", name="A", genres=["g"], images=[Image(url="face")])])
    store.catalog.add_stubs("albums", [Album(spotify_id="b", name="B", total_tracks=9)])
    frames = store.catalog.frames("u", pl.Series(["t1", "t2", "t3"]))
    rows = {row["track_id"]: row for row in frames.tracks.collect().rows(named=True)}
    assert set(rows) == {"t1", "t2"}
    assert {rows["t1"][name] for name in AVERAGED_FEATURES} == {0.5}
    assert {rows["t2"][name] for name in AVERAGED_FEATURES} == {None}
    assert (rows["t1"]["artist_id"], rows["t1"]["album_id"], rows["t1"]["image_url"]) == ("a", "b", "cover")
    facts = [(row["isrc"], row["duration_ms"], row["artist_ids"]) for row in (rows["t1"], rows["t2"])]
    assert facts == [("I", 7, ["a", "z"]), ("", 0, [])]
    assert frames.artists.rows() == [("a", "A", "face", ["g"])]
    assert frames.albums.rows() == [("b", "B", "", 9)]
