"""Plays of the world: deterministic, independent of the window, without overlap; and what Spotify would show."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.simulator.catalogue import Episode
from echostats_pipeline.simulator.library import LocalFile
from echostats_pipeline.simulator.people import SimulatedUser
from echostats_pipeline.simulator.world import World
from echostats_pipeline_tests.simulator.conftest import NOW

YEAR = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
instants = st.datetimes(datetime(2021, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC))
lengths = st.timedeltas(timedelta(0), timedelta(days=9))
user_numbers = st.integers(0, 2)
unhurried = settings(deadline=None)  # the first look at a day generates it


@pytest.fixture(scope="module")
def twin(world: World) -> World:
    return World(seed=world.seed)


@unhurried
@given(user_number=user_numbers, start=instants, first=lengths, second=lengths)
def test_the_plays_of_a_window_are_those_of_its_parts(
    world: World, user_number: int, start: datetime, first: timedelta, second: timedelta
) -> None:
    user, middle, end = world.users[user_number], start + first, start + first + second
    assert world.plays(user, start, middle) + world.plays(user, middle, end) == world.plays(user, start, end)


@unhurried
@given(user_number=user_numbers, start=instants, length=lengths)
def test_another_world_of_the_same_seed_plays_the_same(
    world: World, twin: World, user_number: int, start: datetime, length: timedelta
) -> None:
    window = start, start + length
    assert twin.plays(twin.users[user_number], *window) == world.plays(world.users[user_number], *window)


@unhurried
@given(user_number=user_numbers, start=instants)
def test_plays_never_overlap_also_not_across_midnight(world: World, user_number: int, start: datetime) -> None:
    plays = world.plays(world.users[user_number], start, start + timedelta(days=5))
    for play in plays:
        assert play.played_at >= play.started_at + timedelta(milliseconds=play.ms_played)
        assert play.played_at.microsecond % 1000 == 0
        assert 0 <= play.ms_played <= play.item.duration_ms
    for earlier, later in pairwise(plays):
        assert later.started_at >= earlier.played_at


def test_users_differ_in_zone_and_in_how_much_they_listen(world: World) -> None:
    counts = [len(world.plays(user, *YEAR)) for user in world.users]
    assert len({user.timezone for user in world.users}) == 3
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] > 2000


def test_three_years_of_the_first_user_hold_at_least_22000_rows() -> None:
    fresh = World(seed=1)
    plays = fresh.plays(fresh.users[0], datetime(2022, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC))
    assert 22_000 <= len(plays) <= 35_000


def test_a_year_holds_every_kind_of_play(world: World, user: SimulatedUser) -> None:
    plays = world.plays(user, *YEAR)
    contexts = {play.context.type if play.context else None for play in plays}
    assert contexts == {"album", "artist", "playlist", "collection", "show", None}
    assert any(isinstance(play.item, Episode) for play in plays)
    assert any(isinstance(play.item, LocalFile) for play in plays)
    assert any(play.private for play in plays)
    assert any(play.offline for play in plays)
    assert any(play.ms_played == 0 for play in plays)
    assert 0.05 < sum(play.ms_played < 30_000 for play in plays) / len(plays) < 0.4
    assert {play.shuffle for play in plays} == {True, False}
    assert any(earlier.track and earlier.track == later.track for earlier, later in pairwise(plays))
    assert {"trackdone", "fwdbtn", "backbtn", "endplay"} <= {play.reason_end for play in plays}


def test_an_album_is_played_in_its_order(world: World, user: SimulatedUser) -> None:
    for earlier, later in pairwise(world.plays(user, *YEAR)):
        same = earlier.session_started_at == later.session_started_at
        if same and later.context and later.context.type == "album":
            assert later.track.track_number == earlier.track.track_number + 1
            assert later.context.uri == later.track.album.uri


def test_a_commuter_listens_on_the_way_to_work_in_local_time(world: World, user: SimulatedUser) -> None:
    starts = [play.session_started_at.astimezone(user.zone) for play in world.plays(user, *YEAR)]
    workdays = [start.hour for start in set(starts) if start.weekday() < 5]
    assert workdays.count(7) + workdays.count(8) > 3 * (workdays.count(10) + workdays.count(11))


def test_favourites_drift(world: World, user: SimulatedUser) -> None:
    then = world.top_artists(user, "short_term", datetime(2022, 3, 1, tzinfo=UTC))[:20]
    now = world.top_artists(user, "short_term", datetime(2025, 3, 1, tzinfo=UTC))[:20]
    assert 0 < len(set(then) & set(now)) < 20


def test_recently_played_is_the_last_fifty_shown_plays(world: World, user: SimulatedUser) -> None:
    recent = world.recently_played(user, NOW)
    shown = [
        play
        for play in world.plays(user, NOW - timedelta(days=30), NOW + timedelta(milliseconds=1))
        if play.track and play.ms_played >= 30_000 and not play.private
    ]
    assert list(recent) == shown[:-51:-1]
    assert len(recent) == 50


def test_a_play_is_shown_when_it_has_ended_and_not_before(world: World, user: SimulatedUser) -> None:
    newest = world.recently_played(user, NOW)[0]
    assert world.recently_played(user, newest.played_at)[0] == newest
    assert newest not in world.recently_played(user, newest.played_at - timedelta(milliseconds=1))


def test_nothing_was_played_before_the_epoch(world: World, user: SimulatedUser) -> None:
    dawn = datetime(2019, 1, 1, tzinfo=UTC)
    assert world.plays(user, dawn - timedelta(days=400), dawn) == ()
    assert world.recently_played(user, dawn) == ()


def test_top_tracks_are_ranked_by_plays_of_their_range(world: World, user: SimulatedUser) -> None:
    midnight = NOW.replace(hour=0)
    plays = [
        play.track.id
        for play in world.plays(user, midnight - timedelta(days=28), midnight)
        if play.track and play.ms_played >= 30_000 and not play.private
    ]
    counts = [plays.count(track.id) for track in world.top_tracks(user, "short_term", NOW)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == max(map(plays.count, plays))
    tops = {time_range: world.top_tracks(user, time_range, NOW) for time_range in ("short_term", "long_term")}
    assert tops["short_term"] != tops["long_term"]


def test_a_library_grows_with_the_clock_and_its_snapshot_changes(world: World, user: SimulatedUser) -> None:
    later = NOW + timedelta(weeks=2)
    grown = [playlist for playlist in world.playlists(user) if playlist.rows_at(NOW) != playlist.rows_at(later)]
    assert len(grown) == 1
    assert grown[0].snapshot_id(NOW) != grown[0].snapshot_id(later)
    saved = world.saved_tracks(user, NOW)
    assert len(saved) > 50
    assert [row.added_at for row in saved] == sorted((row.added_at for row in saved), reverse=True)
    assert len(world.saved_tracks(user, later)) > len(saved)


def test_playlists_are_own_and_followed_long_and_dirty(world: World, user: SimulatedUser) -> None:
    playlists = world.playlists(user)
    sizes = [len(playlist.rows_at(NOW)) for playlist in playlists]
    assert max(sizes) > 100
    assert min(sizes) == 0
    assert {playlist.owner_id == user.id for playlist in playlists} == {True, False}
    rows = [row for playlist in playlists for row in playlist.rows]
    assert any(row.item is None for row in rows)
    assert any(isinstance(row.item, LocalFile) for row in rows)


def test_an_unknown_user_is_named_in_the_error(world: World) -> None:
    with pytest.raises(NotFoundError, match="nobody"):
        world.user("nobody")
