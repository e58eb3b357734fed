"""Further releases: one song under several ids, what only looks like it, and ISRCs that come late or never."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import polars as pl

from echostats_pipeline.simulator.catalogue import Track, build_catalogue
from echostats_pipeline.simulator.releases import build_releases
from echostats_pipeline.simulator.world import World
from echostats_pipeline.transforms.statistics.songs import alike, songs

NOW = datetime(2025, 6, 1, tzinfo=UTC)


def joined(world: World, tracks: list[Track], *, lengths: bool = True, isrcs: bool = True) -> dict[str, str]:
    """The songs of tracks by id, from what Spotify says of them."""
    rows = [
        {
            "track_id": each.id,
            "name": each.name,
            "artist_id": each.artists[0].id,
            "artist_name": each.artists[0].name,
            "album_name": each.album.name,
            "duration_ms": each.duration_ms if lengths else 0,
            "isrc": (world.releases.isrc(each, NOW) or "") if isrcs else "",
            "plays": 1 if each.id in world.catalogue.tracks else 0,
            "ms": 0,
        }
        for each in tracks
    ]
    found = songs(alike(pl.DataFrame(rows)))
    return dict(found.select("track_id", "song").iter_rows())


def test_equal_seeds_give_equal_releases_and_the_catalogue_stays(world: World) -> None:
    catalogue = build_catalogue(world.seed, len(world.catalogue.tracks))
    assert catalogue == world.catalogue
    assert build_releases(world.seed, catalogue, world.epoch) == world.releases


def test_every_kind_of_release_is_there_and_every_track_can_be_asked_for(world: World) -> None:
    releases = world.releases
    more = {each.id for listed in releases.of.values() for each in listed}
    assert 0.1 < len(releases.of) / len(world.catalogue.tracks) < 0.14
    assert releases.tracks.keys() == world.catalogue.tracks.keys() | more == releases.song_of.keys()
    assert all(releases.album_tracks[releases.tracks[each].album.id] == (releases.tracks[each],) for each in more)
    same = [each for each in more if releases.song_of[each] != each]
    assert 0.6 < len(same) / len(more) < 0.9
    isrcs = Counter(track.isrc for track in releases.tracks.values())
    assert max(isrcs.values()) > 1


def test_some_isrcs_are_late_and_some_never_come(world: World) -> None:
    releases = world.releases
    late = [releases.tracks[track_id] for track_id in releases.isrc_known_from]
    states = Counter(
        (
            releases.isrc(track, datetime.max.replace(tzinfo=UTC) - timedelta(days=1)) is not None,
            releases.isrc(track, NOW) is not None,
        )
        for track in late
    )
    assert states.keys() == {(False, False), (True, False), (True, True)}


def test_plays_are_of_all_releases_and_keep_their_place(world: World) -> None:
    user = world.users[0]
    heard = world.plays(user, NOW - timedelta(days=60), NOW)
    further = [play for play in heard if play.track and play.track.id not in world.catalogue.tracks]
    assert 0.01 < len(further) / len(heard) < 0.1
    assert all(play.played_at - play.started_at >= timedelta(milliseconds=play.ms_played) for play in heard)
    assert all(play.ms_played <= play.track.duration_ms for play in further if play.track)


def test_songs_are_what_the_world_says_they_are(world: World) -> None:
    """Whatever of ISRCs and lengths is known; but for tracks without a title, and titles that an artist has twice."""
    releases = world.releases
    tracks = [each for each in releases.tracks.values() if "Untitled" not in each.name]
    namesakes = Counter((each.name, each.artists[0].id) for each in world.catalogue.tracks.values())
    clear = [
        each for each in tracks if namesakes[releases.tracks[releases.song_of[each.id]].name, each.artists[0].id] < 2
    ]
    for known in ({}, {"isrcs": False}, {"lengths": False}, {"lengths": False, "isrcs": False}):
        found = joined(world, clear, **known)
        assert {each.id: found.get(each.id, each.id) for each in clear} == {
            each.id: releases.song_of[each.id] for each in clear
        }
