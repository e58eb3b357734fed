"""The catalogue contains what its description promises."""

import re
from collections import Counter

import pytest

from echostats_pipeline.simulator.catalogue import (
    NAMESAKE,
    SHARED_ALBUM_TITLE,
    VARIOUS_ARTISTS_ID,
    build_catalogue,
)
from echostats_pipeline.simulator.names import base62_id
from echostats_pipeline.simulator.world import World

BASE62 = re.compile(r"[0-9A-Za-z]{22}")
RELEASE_DATE = {"year": r"\d{4}", "month": r"\d{4}-\d\d", "day": r"\d{4}-\d\d-\d\d"}


def test_equal_seeds_give_equal_catalogues_and_others_differ() -> None:
    assert build_catalogue(3, 400) == build_catalogue(3, 400)
    assert not build_catalogue(3, 400).tracks.keys() & build_catalogue(4, 400).tracks.keys()


def test_an_id_is_the_same_on_every_machine() -> None:
    assert base62_id(7, "track", 0) == "nmDKeM5iEKUHmKAFa45lk6"


def test_it_is_large_and_every_artist_has_tracks(world: World) -> None:
    catalogue = world.catalogue
    assert len(catalogue.tracks) >= 3000
    assert len(catalogue.artists) >= 300
    assert all(BASE62.fullmatch(item) for item in (*catalogue.tracks, *catalogue.artists, *catalogue.albums))
    assert {"album", "single", "compilation"} == {album.album_type for album in catalogue.albums.values()}
    without = [artist for artist in catalogue.artists if not catalogue.artist_tracks[artist]]
    assert without == [VARIOUS_ARTISTS_ID]


def test_guests_are_credited_and_various_artists_only_on_compilations(world: World) -> None:
    guests = [track for track in world.catalogue.tracks.values() if len(track.artists) > 1]
    assert 0.15 < len(guests) / len(world.catalogue.tracks) < 0.25
    various = [album for album in world.catalogue.albums.values() if album.artists[0].id == VARIOUS_ARTISTS_ID]
    assert {album.album_type for album in various} == {"compilation"}
    assert all(track.artists[0].id != VARIOUS_ARTISTS_ID for track in world.catalogue.tracks.values())


def test_tracks_agree_with_their_albums(world: World) -> None:
    for album_id, tracks in world.catalogue.album_tracks.items():
        album = world.catalogue.albums[album_id]
        assert [track.track_number for track in tracks] == list(range(1, album.total_tracks + 1))
        assert {track.album for track in tracks} == {album}


def test_release_dates_are_as_exact_as_their_precision_says(world: World) -> None:
    seen = Counter()
    for album in world.catalogue.albums.values():
        assert re.fullmatch(RELEASE_DATE[album.release_date_precision], album.release_date)
        seen[album.release_date_precision] += 1
    assert seen.keys() == RELEASE_DATE.keys()


def test_names_that_break_stores_are_in_it(world: World) -> None:
    names = Counter(artist.name for artist in world.catalogue.artists.values())
    assert {"Mr. Osbo", "$ilvalane", "kal.i.mo"} <= names.keys()
    assert names[NAMESAKE] == 2
    assert max(map(len, names)) > 200
    assert all(names)
    shared = [album for album in world.catalogue.albums.values() if album.name == SHARED_ALBUM_TITLE]
    assert len({album.artists[0].id for album in shared}) == 2
    assert all(track.name for track in world.catalogue.tracks.values())


def test_about_one_track_in_twenty_was_never_measured(world: World) -> None:
    share = len(world.catalogue.audio_features) / len(world.catalogue.tracks)
    assert 0.93 < share < 0.97


def test_some_tracks_have_guests_and_isrcs_are_unique(world: World) -> None:
    tracks = world.catalogue.tracks.values()
    assert 0.1 < sum(len(track.artists) > 1 for track in tracks) / len(tracks) < 0.3
    assert len({track.isrc for track in tracks}) == len(tracks)
    assert all(re.fullmatch(r"[A-Z]{2}[A-Z0-9]{3}\d{7}", track.isrc) for track in tracks)
    assert all(len(set(track.artists)) == len(track.artists) for track in tracks)


def test_a_few_tracks_are_too_short_to_count(world: World) -> None:
    short = [track for track in world.catalogue.tracks.values() if track.duration_ms < 30_000]
    assert 10 <= len(short) <= 100


def test_a_catalogue_too_small_for_playlists_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 200"):
        build_catalogue(1, 199)
