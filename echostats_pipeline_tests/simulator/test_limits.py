"""Quotas and the short limit: rolling windows, successful calls only, and the statistics of calls."""

from datetime import UTC, datetime, timedelta

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.simulator.behaviour import FAMILIES, Behaviour, Fault
from echostats_pipeline.simulator.limits import Meter, Window
from echostats_pipeline.simulator.refusal import ApiError
from echostats_pipeline.simulator.running import RunningSimulator
from echostats_pipeline.simulator.world import World
from echostats_pipeline_tests.simulator.conftest import Get, connect, getter

START = datetime(2025, 1, 1, tzinfo=UTC)
STEPS = st.lists(st.timedeltas(timedelta(0), timedelta(hours=9)), min_size=1, max_size=60)


@given(STEPS, st.integers(1, 9))
def test_no_rolling_day_ever_holds_more_successful_calls_than_the_quota(steps: list[timedelta], quota: int) -> None:
    meter, behaviour, now, passed = Meter(), Behaviour(quota=quota), START, []
    for step in steps:
        now += step
        in_window = [instant for instant in passed if instant > now - timedelta(hours=24)]
        try:
            meter.admit(behaviour, "tracks", now)
        except ApiError as error:
            assert len(in_window) == quota
            wait = timedelta(seconds=int(error.retry_after))
            assert timedelta(0) <= wait - (in_window[0] + timedelta(hours=24) - now) <= timedelta(seconds=1)
            meter.record("tracks", "ann", 429, now)
        else:
            assert len(in_window) < quota
            passed.append(now)
            meter.record("tracks", "ann", 200, now)
    (row,) = meter.report(now)
    assert row["total"] == {"successful": len(passed), "refused": len(steps) - len(passed)}


@given(STEPS, st.integers(1, 9))
def test_after_the_announced_wait_a_call_passes(steps: list[timedelta], limit: int) -> None:
    window, now = Window(timedelta(hours=24)), START
    for step in steps:
        now += step
        window.add(now)
        wait = window.retry_after(now, limit)
        assert (wait is None) == (window.count(now) < limit)
        if wait is not None:
            ahead = Window(timedelta(hours=24))
            ahead._instants.extend(window._instants)
            assert ahead.retry_after(now + timedelta(seconds=wait), limit) is None


def test_a_clock_that_moves_back_forgets_what_has_not_happened_yet() -> None:
    window = Window(timedelta(seconds=30))
    window.add(START + timedelta(days=1))
    assert window.count(START) == 0


@pytest.mark.parametrize("number", [None, 0])
def test_no_number_and_zero_are_no_limit(number: int | None) -> None:
    meter = Meter()
    for _ in range(700):
        meter.admit(Behaviour(rate_limit=number, quota=number), "me", START)
        meter.record("me", "ann", 200, START)
    for limit in (Behaviour(rate_limit=700), Behaviour(quota=700)):
        with pytest.raises(ApiError):
            meter.admit(limit, "me", START)


def test_a_used_up_quota_is_said_in_spotifys_words_until_the_oldest_call_leaves(
    own_simulator: RunningSimulator, own_get: Get
) -> None:
    own_simulator.behave(quota=2)
    assert own_get("/me").status_code == 200
    own_simulator.clock.advance(timedelta(hours=1))
    assert own_get("/me").status_code == 200
    refused = own_get("/me")
    assert refused.status_code == 429
    assert refused.json() == {"error": {"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"}}
    assert int(refused.headers["Retry-After"]) == 23 * 3600
    assert own_get("/me/tracks").status_code == 200, "another family has its own quota"
    own_simulator.clock.advance(timedelta(hours=23))
    assert own_get("/me").status_code == 200
    assert own_get("/me").status_code == 429


def test_a_quota_is_shared_by_client_ids_and_users(own_simulator: RunningSimulator, world: World) -> None:
    own_simulator.behave(quota={"me": 1})
    first, second = (getter(own_simulator, person.id) for person in world.users[:2])
    assert [first("/me").status_code, second("/me").status_code] == [200, 429]
    assert second("/me/tracks").status_code == 200


def test_a_client_id_of_its_own_does_not_help(own_simulator: RunningSimulator, world: World) -> None:
    own_simulator.behave(quota=1)
    statuses = []
    for client_id in ("one", "another"):
        code = own_simulator.consent(world.users[0].id, client_id=client_id, redirect_uri="https://x", scope="")
        token = own_simulator.tokens.access_token(own_simulator.tokens.redeem(code, client_id, "https://x", None))
        headers = {"Authorization": f"Bearer {token}"}
        statuses.append(requests.get(f"{own_simulator.base_url}/v1/me", headers=headers, timeout=10).status_code)
    assert statuses == [200, 429]


def test_refused_calls_use_nothing_up(own_simulator: RunningSimulator, own_get: Get) -> None:
    own_simulator.behave(quota=1, faults={"server-error": Fault(calls=(1, 2))})
    assert [own_get("/me/tracks").status_code for _ in range(2)] == [500, 502]
    assert own_get("/me/tracks", limit=0).status_code == 400
    assert [own_get("/me/tracks").status_code for _ in range(2)] == [200, 429]


def test_the_short_limit_counts_all_families_over_thirty_seconds(own_simulator: RunningSimulator, own_get: Get) -> None:
    own_simulator.behave(rate_limit=2)
    assert [own_get(path).status_code for path in ("/me", "/me/tracks")] == [200, 200]
    own_simulator.clock.advance(timedelta(seconds=10))
    refused = own_get("/me/playlists")
    assert refused.json() == {"error": {"status": 429, "message": "API rate limit exceeded"}}
    assert refused.headers["Retry-After"] == "20"
    own_simulator.clock.advance(timedelta(seconds=20))
    assert own_get("/me/playlists").status_code == 200


def test_calls_are_counted_per_family_and_user(own_simulator: RunningSimulator, own_get: Get, world: World) -> None:
    connect(own_simulator, world.users[0].id)
    for path in ("/me", "/me/top/tracks", "/me/top/artists", "/tracks/x"):
        own_get(path)
    requests.get(f"{own_simulator.base_url}/v1/me", timeout=10)
    own_simulator.clock.advance(timedelta(hours=24))
    getter(own_simulator, world.users[1].id)("/me")
    body = requests.get(f"{own_simulator.base_url}/simulator/calls", timeout=10).json()
    ann, bob = (person.id for person in world.users[:2])
    last_24h = {(row["family"], row["user_id"]): tuple(row["last_24h"].values()) for row in body["calls"]}
    total = {(row["family"], row["user_id"]): tuple(row["total"].values()) for row in body["calls"]}
    assert total == {
        ("me", ""): (0, 1),
        ("me", ann): (1, 0),
        ("me", bob): (1, 0),
        ("token", ann): (1, 0),
        ("top-items", ann): (2, 0),
        ("tracks", ann): (0, 1),
    }
    assert last_24h == {key: (1, 0) if key == ("me", bob) else (0, 0) for key in total}
    assert next(row["statuses"] for row in body["calls"] if row["family"] == "tracks") == {"400": 1}
    assert (body["since"], body["now"]) == ("2025-06-15T12:00:00.000Z", "2025-06-16T12:00:00.000Z")
    assert {family for family, _ in total} - {"token"} <= set(FAMILIES)
