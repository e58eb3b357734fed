"""Faults of rows, and the truth about what an app could have read."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostats_pipeline.simulator.behaviour import Behaviour, Fault
from echostats_pipeline.simulator.catalogue import Episode
from echostats_pipeline.simulator.history import LATE_INTERVAL, ApiTruth, History, api_truth
from echostats_pipeline.simulator.people import SimulatedUser
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline.simulator.world import World, is_shown
from echostats_pipeline_tests.hypothesis_profiles import examples
from echostats_pipeline_tests.simulator.conftest import NOW, Get

RECENT = "/me/player/recently-played"
INSTANTS = st.datetimes(datetime(2025, 5, 1), datetime(2025, 6, 15), timezones=st.just(UTC))
RATES = st.sampled_from([0.0, 0.1, 0.5, 1.0])
MANY = settings(max_examples=examples(25), deadline=None)


def behaviour(late_hours: float = 3, **rates: float) -> Behaviour:
    faults = {name.replace("_", "-"): Fault(rate=rate) for name, rate in rates.items()}
    return Behaviour(faults=faults, late_seconds=late_hours * 3600)


def every(minutes: int, start: datetime, end: datetime) -> list[datetime]:
    return [start + timedelta(minutes=minutes) * n for n in range((end - start) // timedelta(minutes=minutes) + 1)]


@pytest.fixture(scope="module")
def person(world: World) -> SimulatedUser:
    return world.users[0]


@MANY
@given(INSTANTS, RATES, RATES, RATES, RATES, RATES)
def test_history_is_at_most_fifty_rows_newest_first_and_never_from_the_future(
    world: World, now: datetime, late: float, doubled: float, start: float, null: float, episode: float
) -> None:
    faulty = behaviour(late_rows=late, doubled_rows=doubled, start_stamps=start, null_track=null, episode_row=episode)
    rows = History(world, world.users[0], faulty).rows(now)
    assert len(rows) == 50
    stamps = [row.played_at for row in rows]
    assert stamps == sorted(stamps, reverse=True)
    assert all(stamp <= now and row.play.played_at <= now for stamp, row in zip(stamps, rows, strict=True))
    assert rows == History(world, world.users[0], faulty).rows(now)


@MANY
@given(INSTANTS)
def test_without_faults_history_is_what_the_world_shows(world: World, now: datetime) -> None:
    rows = History(world, world.users[0], Behaviour()).rows(now)
    assert tuple(row.play for row in rows) == world.recently_played(world.users[0], now)
    assert all((row.played_at, row.item) == (row.play.played_at, row.play.track) for row in rows)


@MANY
@given(INSTANTS, RATES, st.floats(0, 48))
def test_late_rows_come_as_a_whole_interval_with_their_old_stamps(
    world: World, now: datetime, rate: float, late_hours: float
) -> None:
    history = History(world, world.users[0], behaviour(late_hours, late_rows=rate))
    shown = [play for play in world.plays(world.users[0], now - timedelta(days=2), now) if is_shown(play)]
    rows = {row.play.started_at: row for row in history.rows(now)}
    oldest = min((row.play.played_at for row in rows.values()), default=now)
    for play in shown:
        visible_at = history.visible_at(play)
        midnight = play.played_at.replace(hour=0, minute=0, second=0, microsecond=0)
        interval_end = midnight + LATE_INTERVAL * ((play.played_at - midnight) // LATE_INTERVAL + 1)
        assert visible_at in (play.played_at, interval_end + timedelta(hours=late_hours))
        if play.played_at > oldest:
            assert (play.started_at in rows) == (visible_at <= now)
        if play.started_at in rows:
            assert rows[play.started_at].played_at == play.played_at


@MANY
@given(INSTANTS)
def test_a_doubled_row_is_the_same_play_a_few_seconds_off(world: World, now: datetime) -> None:
    rows = History(world, world.users[0], behaviour(doubled_rows=1)).rows(now)
    stamps: dict[datetime, list[datetime]] = {}
    for row in rows:
        stamps.setdefault(row.play.started_at, []).append(row.played_at)
    pairs = [pair for pair in stamps.values() if len(pair) == 2]
    assert len(pairs) >= 23, "all but those cut by the fiftieth row or by now"
    assert all(timedelta(seconds=2) <= abs(one - two) <= timedelta(seconds=20) for one, two in pairs)


@MANY
@given(INSTANTS, st.sampled_from(["start-stamps", "null-track", "doubled-rows", "episode-row"]))
def test_a_numbered_fault_strikes_the_newest_row_only(world: World, now: datetime, fault: str) -> None:
    history = History(world, world.users[0], Behaviour())
    clean, struck = history.rows(now), history.rows(now, frozenset({fault}))
    untouched = {row.play.started_at for row in clean} - {clean[0].play.started_at}
    assert {row for row in struck if row.play.started_at in untouched} <= set(clean)
    assert struck != clean


def test_a_numbered_late_interval_is_back_at_the_next_call(world: World, person: SimulatedUser) -> None:
    history = History(world, person, behaviour(late_hours=12))
    late = history.rows(NOW, frozenset({"late-rows"}))
    assert late == history.rows(NOW - timedelta(hours=12))
    assert late != history.rows(NOW)


@MANY
@given(INSTANTS, RATES)
def test_episodes_and_nulls_hide_nothing_but_their_row(world: World, now: datetime, rate: float) -> None:
    rows = History(world, world.users[0], behaviour(null_track=rate, episode_row=rate)).rows(now)
    for row in rows:
        if isinstance(row.item, Episode):
            assert row.played_at == row.play.played_at - timedelta(seconds=1)
        else:
            assert row.item in (None, row.play.track)
            assert row.played_at == row.play.played_at


def test_rows_with_faults_reach_the_app(own_simulator: RunningSimulator, own_get: Get) -> None:
    clean = own_get(RECENT, limit=50).json()["items"]
    names = ("null-track", "episode-row", "doubled-rows", "start-stamps")
    own_simulator.behave(faults={name: Fault(calls=(number,)) for number, name in enumerate(names, start=1)})
    null, episode, doubled, start, after = (own_get(RECENT, limit=50).json()["items"] for _ in range(5))
    assert null[0] == {**clean[0], "track": None}
    assert after == clean
    assert (episode[0], episode[1]["track"]["type"]) == (clean[0], "episode")
    assert episode[1]["track"]["uri"].startswith("spotify:episode:")
    assert doubled[0]["track"] == doubled[1]["track"] or doubled[0]["track"] in [row["track"] for row in doubled[1:4]]
    assert start[0]["played_at"] < clean[0]["played_at"]
    assert start[1:] == clean[1:]


def test_late_rows_reach_the_app_with_their_old_stamps(own_simulator: RunningSimulator, own_get: Get) -> None:
    own_simulator.behave(faults={"late-rows": Fault(calls=(1,))}, late_seconds=12 * 3600)
    first, second = (own_get(RECENT, limit=50).json()["items"] for _ in range(2))
    assert first[0] in second[1:]
    assert first[0]["played_at"] < (NOW - timedelta(hours=12)).isoformat()


def test_cursors_follow_the_stamps_that_are_shown(own_simulator: RunningSimulator, own_get: Get) -> None:
    own_simulator.behave(faults={"start-stamps": Fault(rate=1), "doubled-rows": Fault(rate=0.3)})
    everything = own_get(RECENT, limit=50).json()["items"]
    rows: list[Any] = []
    page = own_get(RECENT, limit=7).json()
    while page["items"]:
        rows += page["items"]
        page = own_get(RECENT, limit=7, before=page["cursors"]["before"]).json()
    assert {row["played_at"] for row in rows} == {row["played_at"] for row in everything}


@MANY
@given(st.integers(5, 60 * 24), RATES, RATES)
def test_reachable_plays_are_those_that_a_polling_app_reads(
    world: World, minutes: int, late: float, null: float
) -> None:
    person, faulty = world.users[0], behaviour(late_rows=late, null_track=null)
    start, end = NOW - timedelta(days=3), NOW
    polls = every(minutes, start, end)
    truth = api_truth(world, person, start, end, polls, faulty)
    read = {
        (row.item.id, row.played_at)
        for poll in polls
        for row in History(world, person, faulty).rows(poll)
        if row.item is not None
    }
    assert set(truth.reachable) == {
        play for play in truth.shown if play.track and (play.track.id, play.played_at) in read
    }
    assert truth.lost(read) == ()


def test_dense_polling_without_faults_reaches_everything(world: World, person: SimulatedUser) -> None:
    start, end = NOW - timedelta(days=10), NOW
    truth = api_truth(world, person, start, end, every(20, start, end + timedelta(minutes=20)))
    assert truth.reachable == truth.shown
    assert truth.shown == tuple(play for play in world.plays(person, start, end) if is_shown(play))


def test_rare_polling_reaches_fifty_plays_at_a_time(world: World, person: SimulatedUser) -> None:
    truth = api_truth(world, person, NOW - timedelta(days=30), NOW, [NOW - timedelta(days=10), NOW])
    assert len(truth.reachable) == 100
    assert len(truth.shown) > 300


def test_no_poll_reaches_nothing(world: World, person: SimulatedUser) -> None:
    assert api_truth(world, person, NOW - timedelta(days=3), NOW).reachable == ()


def test_numbered_faults_of_rows_count_the_polls(world: World, person: SimulatedUser) -> None:
    once = Behaviour(faults={"null-track": Fault(calls=(1,))})
    newest = world.recently_played(person, NOW)[0]
    window = (NOW - timedelta(days=5), NOW)
    assert newest not in api_truth(world, person, *window, [NOW], once).reachable
    assert newest in api_truth(world, person, *window, [NOW, NOW], once).reachable


def test_a_lost_play_is_named_and_one_row_stands_for_one_play(world: World, person: SimulatedUser) -> None:
    first, second = world.recently_played(person, NOW)[:2]
    assert first.track
    truth = ApiTruth((first, second), (first, second))
    stored = [(play.track.id, play.played_at) for play in (first, second) if play.track]
    assert truth.lost(stored[:1]) == (second,)
    assert truth.lost([(track_id, stamp + timedelta(seconds=59)) for track_id, stamp in stored]) == ()
    assert truth.lost([(first.track.id, first.started_at), stored[1]]) == ()
    twice = ApiTruth((first, first), (first, first))
    assert twice.lost(stored[:1]) == (first,)
