import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.model.base import Document, known_fields
from echostats_pipeline.model.catalog import Album, Artist, ArtistRef, AudioFeatures, Track
from echostats_pipeline.spotify import mapping
from echostats_pipeline_tests.spotify.fake_transport import DREAMLAND, EPISODE, GLASS_ANIMALS, HEAT_WAVES, LOCAL_FILE

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LOCAL_ID = mapping.stable_id("local", "my  BAND", "basement")
CONTEXT = {"type": "playlist", "uri": "spotify:playlist:37i9dQZF1DXcBWIGoYBM5M", "href": "", "external_urls": {}}


def played(track: object, played_at: object = "2021-10-25T05:13:13.658Z", context: object = None) -> dict[str, object]:
    return {"track": track, "played_at": played_at, "context": context}


def test_a_play_keeps_spotifys_facts() -> None:
    items, counts = mapping.recently_played_items({"items": [played(HEAT_WAVES, context=CONTEXT)]})
    assert counts == mapping.RecentlyPlayedCounts(rows=1, tracks=1, without_track=0, not_music=0, unreadable=0)
    assert items[0].model_dump() == {
        "track": {
            "spotify_id": "02MWAaffLxlfxAUY7c5dvx",
            "name": "Heat Waves",
            "artist_name": "Glass Animals",
            "album_name": "Dreamland (+ Bonus Levels)",
            "album_image_url": "https://i.scdn.co/image/640",
            "duration_ms": 238805,
        },
        "played_at": datetime(2021, 10, 25, 5, 13, 13, 658_000, tzinfo=UTC),
        "context_type": "playlist",
        "context_uri": "spotify:playlist:37i9dQZF1DXcBWIGoYBM5M",
    }


ROWS = {
    "tracks": [played(HEAT_WAVES), played(LOCAL_FILE), played({"id": "x1"}), played(HEAT_WAVES, context="odd")],
    "without_track": [played(None), {}, None],
    "not_music": [played(EPISODE), played({"type": "chapter"})],
    "unreadable": [played(HEAT_WAVES, stamp) for stamp in (None, "", "soon", 5, "2021-10-25T05:13:13")],
}


@given(st.lists(st.sampled_from([(outcome, row) for outcome, rows in ROWS.items() for row in rows]), max_size=50))
def test_every_row_of_recently_played_has_one_outcome(rows: list[tuple[str, Any]]) -> None:
    items, counts = mapping.recently_played_items({"items": [row for _, row in rows]})
    outcomes = [outcome for outcome, _ in rows]
    assert counts.rows == len(rows) == counts.tracks + counts.without_track + counts.not_music + counts.unreadable
    assert all(getattr(counts, outcome) == outcomes.count(outcome) for outcome in ROWS)
    assert len(items) == counts.tracks


def test_a_local_file_gets_the_same_id_wherever_it_occurs() -> None:
    (play,), _ = mapping.recently_played_items({"items": [played(LOCAL_FILE)]})
    playlist = mapping.playlist_document({"id": "p", "name": "P"}, [{"item": LOCAL_FILE, "is_local": True}], "u1", NOW)
    assert play.track.spotify_id == playlist.tracks[0].spotify_id == mapping.track_id(LOCAL_FILE) == LOCAL_ID
    assert (play.track.album_name, play.track.album_image_url) == ("Demos", "")


def test_a_profile_leaves_out_what_the_app_may_not_see() -> None:
    restricted = {"account_id": "aB3", "id": "ann123", "display_name": None, "images": []}
    assert mapping.user_profile(restricted) == {"spotify_id": "ann123", "display_name": "", "image_url": ""}
    full = restricted | {"display_name": "Ann", "images": [{"url": "u"}], "country": "DE", "product": "premium"}
    assert mapping.user_profile(full) == {
        "spotify_id": "ann123",
        "display_name": "Ann",
        "image_url": "u",
        "country": "DE",
        "product": "premium",
    }


def test_a_full_track_is_enriched_and_says_what_spotify_did_not() -> None:
    track = mapping.track_document(HEAT_WAVES, NOW)
    assert track.album is not None
    assert (track.spotify_id, track.isrc, track.album.release_date) == (HEAT_WAVES["id"], "GBUM72000433", "2020-08-06")
    assert track.artists == [ArtistRef(spotify_id="4yvcSjfu4PC0CYQyLy4wSq", name="Glass Animals")]
    assert track.external_url == "https://open.spotify.com/track/02MWAaffLxlfxAUY7c5dvx"
    assert track.enriched_at == track.fetched_at == track.updated_at == NOW
    assert (track.popularity, track.preview_url) == (0, None)
    assert not {"popularity", "preview_url", "genres", "audio_features"} & track.model_fields_set
    extended = mapping.track_document(HEAT_WAVES | {"popularity": 0, "preview_url": "p"}, NOW)
    assert "popularity" in extended.model_fields_set
    assert extended.preview_url == "p"


def test_an_object_is_kept_under_the_id_that_was_asked_for() -> None:
    assert mapping.track_document(HEAT_WAVES, NOW, spotify_id="asked").spotify_id == "asked"
    assert mapping.artist_document(GLASS_ANIMALS, NOW, spotify_id="asked").spotify_id == "asked"
    assert mapping.album_document(DREAMLAND, NOW, spotify_id="asked").spotify_id == "asked"


def test_a_full_artist_keeps_genres_and_followers() -> None:
    full = GLASS_ANIMALS | {
        "followers": {"href": None, "total": 7},
        "genres": ["indie"],
        "images": [],
        "popularity": 80,
    }
    artist = mapping.artist_document(full, NOW)
    assert (artist.followers, artist.genres, artist.popularity, artist.images) == (7, ["indie"], 80, [])
    assert artist.enriched_at == NOW
    assert not {"genres", "popularity", "followers"} & mapping.artist_document(GLASS_ANIMALS, NOW).model_fields_set


@pytest.mark.parametrize("date", ["1981", "1981-12", "1981-12-15"])
def test_release_dates_stay_as_precise_as_spotify_gives_them(date: str) -> None:
    album = mapping.album_document(DREAMLAND | {"release_date": date}, NOW)
    track = mapping.track_document(HEAT_WAVES | {"album": DREAMLAND | {"release_date": date}}, NOW)
    assert track.album is not None
    assert album.release_date == track.album.release_date == date


def test_what_a_track_embeds_becomes_stubs() -> None:
    album = mapping.album_stub(HEAT_WAVES, NOW)
    assert album is not None
    assert (album.enriched_at, album.fetched_at, album.total_tracks, album.album_type) == (None, NOW, 18, "album")
    assert [(image.url, image.height) for image in album.images] == [
        ("https://i.scdn.co/image/640", 640),
        ("https://i.scdn.co/image/64", None),
    ]
    (artist,) = mapping.artist_stubs(HEAT_WAVES, NOW)
    assert (artist.spotify_id, artist.name, artist.enriched_at) == ("4yvcSjfu4PC0CYQyLy4wSq", "Glass Animals", None)
    assert not {"genres", "images", "popularity", "followers"} & artist.model_fields_set
    assert (mapping.album_stub(LOCAL_FILE, NOW), mapping.artist_stubs(LOCAL_FILE, NOW)) == (None, [])


def test_only_what_spotify_sent_is_written_over_what_is_known() -> None:
    stamps = {"enriched_at": NOW, "fetched_at": NOW, "updated_at": NOW}
    assert known_fields(mapping.track_document({"id": "t1", "popularity": 0}, NOW)) == {
        "spotify_id": "t1", "popularity": 0, **stamps
    }  # fmt: skip
    assert known_fields(mapping.artist_document({"id": "a1", "genres": []}, NOW)) == {
        "spotify_id": "a1", "genres": [], **stamps
    }  # fmt: skip
    album = mapping.album_document({"id": "b1", "label": "x", "images": [{"url": "u"}]}, NOW)
    assert known_fields(album) == {
        "spotify_id": "b1",
        "images": [{"url": "u", "height": None, "width": None}],
        "enriched_at": NOW,
        "fetched_at": NOW,
    }
    (artist,) = mapping.artist_stubs({"artists": [{"id": "a1"}]}, NOW)
    assert known_fields(artist) == {"spotify_id": "a1", "fetched_at": NOW, "updated_at": NOW}
    assert known_fields(mapping.playlist_document({"id": "p1"}, None, "u1", NOW)) == {
        "spotify_id": "p1", "user_id": "u1", "fetched_at": NOW
    }  # fmt: skip


REMOVABLE = [HEAT_WAVES | {"popularity": 3, "preview_url": "p"}, DREAMLAND | {"genres": [], "popularity": 1}]


@given(st.data())
def test_a_removed_field_is_never_written(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from(REMOVABLE))
    kept = data.draw(st.sets(st.sampled_from(sorted(whole))))
    build = mapping.track_document if whole["type"] == "track" else mapping.album_document
    full = known_fields(build(whole, NOW, spotify_id="x"))
    cut = known_fields(build({name: whole[name] for name in kept}, NOW, spotify_id="x"))
    own = {"external_url": "external_urls", "isrc": "external_ids"}
    always = {"spotify_id", "enriched_at", "fetched_at", "updated_at"}
    assert cut == {name: value for name, value in full.items() if name in always or own.get(name, name) in kept}


FEATURES = dict.fromkeys(AudioFeatures.model_fields, 0.5) | {
    "key": -1, "mode": 0, "time_signature": 4, "duration_ms": 1000, "loudness": -7.5
}  # fmt: skip


def test_audio_features_are_whole_or_unknown() -> None:
    features = mapping.audio_features_document(FEATURES | {"id": "x", "type": "audio_features", "new": 1})
    assert features is not None
    assert features.model_dump() == FEATURES
    for name in ("duration_ms", "time_signature"):  # which other sources do not report
        known = mapping.audio_features_document({k: v for k, v in FEATURES.items() if k != name})
        assert known is not None
        assert known.model_dump() == FEATURES | {name: None}
    for name in FEATURES.keys() - {"duration_ms", "time_signature"}:
        assert mapping.audio_features_document({k: v for k, v in FEATURES.items() if k != name}) is None
        assert mapping.audio_features_document(FEATURES | {name: None}) is None


PLAYLIST = {
    "collaborative": False,
    "description": None,
    "external_urls": {"spotify": "https://open.spotify.com/playlist/p1"},
    "id": "p1",
    "images": None,
    "name": "Mix",
    "owner": {"id": "ann123", "display_name": None},
    "public": None,
    "snapshot_id": "AAA",
    "items": {"href": "", "total": 5},
}


def test_a_playlist_keeps_the_tracks_among_its_rows() -> None:
    rows = [
        {"added_at": "2024-05-01T10:00:00Z", "item": HEAT_WAVES},
        {"added_at": None, "item": None, "track": HEAT_WAVES | {"id": "old"}},
        {"added_at": None, "item": None, "track": None},
        {"added_at": None, "item": EPISODE},
        {"added_at": None, "item": LOCAL_FILE, "track": LOCAL_FILE, "is_local": True},
    ]
    playlist = mapping.playlist_document(PLAYLIST, rows, "u1", NOW)
    assert [track.spotify_id for track in playlist.tracks] == [HEAT_WAVES["id"], "old", LOCAL_ID]
    assert playlist.tracks[0].added_at == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert playlist.tracks[0].album_name == "Dreamland (+ Bonus Levels)"
    assert (playlist.total_tracks, playlist.owner_id, playlist.owner_name) == (5, "ann123", "")
    assert (playlist.description, playlist.images, playlist.snapshot_id) == ("", [], "AAA")
    assert (playlist.user_id, playlist.fetched_at) == ("u1", NOW)


def test_a_playlist_is_public_only_when_spotify_says_so() -> None:
    def public(**fields: object) -> bool:
        return mapping.playlist_document(PLAYLIST | fields, [], "u1", NOW).public

    assert (public(public=True), public(public=False), public(public=None)) == (True, False, False)


def test_the_former_name_of_the_playlist_total_is_understood() -> None:
    former = {name: value for name, value in PLAYLIST.items() if name != "items"} | {"tracks": {"total": 9}}
    assert mapping.playlist_document(former, [], "u1", NOW).total_tracks == 9


@pytest.mark.parametrize(
    "counts", [{"items": {"total": 9}}, {"tracks": {"total": 9}}, {"items": {}, "tracks": {"total": 9}}]
)
def test_contents_that_are_not_shown_are_not_an_empty_playlist(counts: dict[str, Any]) -> None:
    shown = {name: value for name, value in PLAYLIST.items() if name != "items"} | counts
    playlist = mapping.playlist_document(shown, None, "u1", NOW)
    known = known_fields(playlist)
    assert (known["total_tracks"], known["name"], known["description"]) == (9, "Mix", "")
    assert "tracks" not in known
    assert known_fields(mapping.playlist_document(shown, [], "u1", NOW))["tracks"] == []


@pytest.mark.parametrize(
    "row",
    [
        {"track": HEAT_WAVES},
        {"item": HEAT_WAVES},
        {"item": HEAT_WAVES, "track": EPISODE},
        {"item": None, "track": HEAT_WAVES},
    ],
)
def test_a_row_holds_its_track_under_either_name(row: dict[str, Any]) -> None:
    stamps = {"played_at": "2021-10-25T05:13:13Z", "added_at": "2021-10-25T05:13:13Z"}
    (play,), _ = mapping.recently_played_items({"items": [row | stamps]})
    saved = mapping.saved_track_document(row | stamps, "u1", NOW)
    (listed,) = mapping.playlist_document(PLAYLIST, [row | stamps], "u1", NOW).tracks
    assert saved is not None
    assert {play.track.spotify_id, saved.spotify_id, listed.spotify_id} == {HEAT_WAVES["id"]}
    assert mapping.content(row) == HEAT_WAVES


def test_a_saved_track_needs_a_track_and_an_instant() -> None:
    row = {"added_at": "2016-10-11T13:44:50Z", "track": HEAT_WAVES}
    saved = mapping.saved_track_document(row, "u1", NOW)
    assert saved is not None
    assert (saved.spotify_id, saved.artist_name, saved.duration_ms) == (HEAT_WAVES["id"], "Glass Animals", 238805)
    assert saved.added_at == datetime(2016, 10, 11, 13, 44, 50, tzinfo=UTC)
    assert mapping.saved_track_document(row | {"track": None}, "u1", NOW) is None
    assert mapping.saved_track_document(row | {"added_at": None}, "u1", NOW) is None


def test_top_items_are_numbered_from_one() -> None:
    top = mapping.top_items_document(
        [GLASS_ANIMALS, {"id": "b", "name": "B"}], user_id="u1", kind="artists", time_range="short_term", read_at=NOW
    )
    assert [(item.rank, item.spotify_id, item.name) for item in top.items] == [
        (1, GLASS_ANIMALS["id"], "Glass Animals"),
        (2, "b", "B"),
    ]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@given(st.data())
def test_any_field_may_hold_anything(data: st.DataObject) -> None:
    whole = HEAT_WAVES | PLAYLIST | DREAMLAND | GLASS_ANIMALS | {"track": HEAT_WAVES, "album": DREAMLAND}
    names = data.draw(st.lists(st.sampled_from(sorted(whole)), max_size=6))
    odd = json.loads(json.dumps(whole)) | {name: data.draw(values) for name in names}
    documents: list[Document | None] = [
        mapping.track_document(odd, NOW),
        mapping.artist_document(odd, NOW),
        mapping.album_document(odd, NOW),
        mapping.album_stub(odd, NOW),
        *mapping.artist_stubs(odd, NOW),
        mapping.playlist_document(odd, [odd, {"item": odd}], "u1", NOW),
        mapping.saved_track_document(odd, "u1", NOW),
    ]
    assert [type(document) for document in documents[:3]] == [Track, Artist, Album]
    mapping.recently_played_items({"items": [odd, played(odd)]})
    mapping.user_profile(odd)
