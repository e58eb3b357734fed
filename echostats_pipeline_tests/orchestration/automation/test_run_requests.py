from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from bson import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st

from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.automation.run_requests import (
    MOST_SYNC_DAYS,
    catalog_families,
    closing_requests,
    is_due,
    neighbours,
    rectangles,
    rollup_requests,
    stale_users,
    sync_request,
    sync_requests,
    users_per_run,
    users_requests,
)
from echostats_pipeline.orchestration.partitions import RANGE_END, RANGE_START, last_day, windows_of_run
from echostats_pipeline.orchestration.tags import USER_TAG, USERS_TAG
from echostats_pipeline.settings import Settings, SyncSensors
from echostats_pipeline.transforms.days import DayWindow

NOW = datetime(2025, 1, 15, 12, 34, 56, tzinfo=UTC)
instants = st.datetimes(datetime(2010, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))
zones = st.sampled_from(("UTC", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "Pacific/Kiritimati"))


def person(name: str = "ada", *, timezone: str = "UTC", last_synced_at: datetime | None = None) -> User:
    number = ObjectId(name.encode().hex().rjust(24, "0"))
    return User(_id=number, spotify_id=name, partition_key=name, timezone=timezone, last_synced_at=last_synced_at)


def days_of(request: dg.RunRequest) -> tuple[date, date]:
    """First and last date of a request; both ends name the user of its tag."""
    ends = [request.tags[tag].split("|") for tag in (RANGE_START, RANGE_END)]
    assert {user for _, user in ends} == {request.tags[USER_TAG]}
    first, last = (date.fromisoformat(day) for day, _ in ends)
    return first, last


def test_the_first_sync_spans_the_days_that_fifty_plays_reach() -> None:
    assert days_of(sync_request(person(), NOW, 15)) == (NOW.date() - timedelta(days=2), NOW.date())


@given(now=instants, since=st.timedeltas(timedelta(hours=-1), timedelta(days=40)), zone=zones)
def test_a_sync_spans_the_local_days_since_the_last_but_never_too_many(
    now: datetime, since: timedelta, zone: str
) -> None:
    first, last = days_of(sync_request(person(timezone=zone, last_synced_at=now - since), now, 15))
    today = now.astimezone(ZoneInfo(zone)).date()
    synced = (now - since).astimezone(ZoneInfo(zone)).date()
    assert last == today
    assert first == min(today, max(synced, today - timedelta(days=14)))
    assert MOST_SYNC_DAYS == 14


@settings(max_examples=20)
@given(now=instants, zone=zones)
def test_the_days_of_a_sync_are_partitions_that_exist(now: datetime, zone: str) -> None:
    _, last = days_of(sync_request(person(timezone=zone), now, 15))
    assert last_day(now) - timedelta(days=3) <= last <= last_day(now)


@pytest.mark.parametrize(
    ("minutes_later", "same_slot"), [(0, True), (10, True), (10.065, True), (10.07, False), (15, False)]
)
def test_a_slot_is_asked_for_once(minutes_later: float, same_slot: bool) -> None:
    now = datetime(2025, 1, 15, 12, 4, 56, tzinfo=UTC)
    keys = {sync_request(person(), at, 15).run_key for at in (now, now + timedelta(minutes=minutes_later))}
    assert (len(keys) == 1) is same_slot


def test_two_users_never_share_a_run_key() -> None:
    assert sync_request(person("ada"), NOW, 15).run_key != sync_request(person("bob"), NOW, 15).run_key


def test_waiting_days_become_one_run_per_idle_user() -> None:
    users = [person(name) for name in ("ada", "bob", "cy", "dee")]
    ada, bob, cy, _ = (user.user_id for user in users)
    pending = {
        ada: ["2025-01-02", "2025-01-05", "2025-02-01"],
        bob: ["2025-01-03"],
        cy: ["2025-01-04"],
        "gone": ["2025-01-01"],
    }
    requests = rollup_requests(users, pending, busy={cy})
    assert [(request.tags[USER_TAG], *days_of(request)) for request in requests] == [
        ("ada", date(2025, 1, 2), date(2025, 2, 1)),
        ("bob", date(2025, 1, 3), date(2025, 1, 3)),
    ]
    # The days that wait may change while a run is queued, so each tick requests again.
    assert {request.run_key for request in requests} == {None}


def test_nothing_waits_for_nobody() -> None:
    assert rollup_requests([person()], {}, busy=()) == []
    assert rollup_requests([person()], {person().user_id: []}, busy=()) == []


def test_snapshots_are_rebuilt_when_they_wait_or_their_day_is_over() -> None:
    users = [person(name) for name in ("waits", "over", "ends", "fresh", "never", "busy")]
    waits, over, ends, fresh, _, busy = (user.user_id for user in users)
    period_ends = {
        waits: NOW + timedelta(hours=3),
        over: NOW - timedelta(hours=1),
        ends: NOW,
        fresh: NOW + timedelta(milliseconds=1),
        busy: NOW - timedelta(days=1),
    }
    assert stale_users(users, {waits, busy}, period_ends, {busy}, NOW) == {"waits", "over", "ends"}


@given(now=instants, zone=zones)
def test_closing_rebuilds_yesterday_and_today_of_each_zone_once_a_local_day(now: datetime, zone: str) -> None:
    users = [person("ada", timezone=zone), person("bob")]
    order = ["ada", "bob"]
    requests = closing_requests(users, now, order=order, batch_size=1)
    today = now.astimezone(ZoneInfo(zone)).date()
    assert days_of(requests[0]) == (today - timedelta(days=1), today)
    assert days_of(requests[1]) == (now.date() - timedelta(days=1), now.date())
    assert [request.run_key for request in requests] == [f"ada@{today}", f"bob@{now.date()}"]
    assert closing_requests(users, now, order=order, batch_size=1) == requests
    together = closing_requests(users, now, order=order, batch_size=2)
    assert len(together) == (1 if now.hour >= 12 else 0), "when it is yesterday no more anywhere"
    for request in together:
        first, last = (date.fromisoformat(request.tags[tag][:10]) for tag in (RANGE_START, RANGE_END))
        for user_today in (today, now.date()):
            assert first <= user_today - timedelta(days=1) < user_today <= last


def test_a_family_that_waits_is_not_asked_and_audio_features_are_as_long_as_one_source_can_be() -> None:
    lacking = ("tracks", "albums", "audio-features")
    assert catalog_families(lacking, {"albums", "audio-features"}, ["reccobeats"]) == {"tracks", "audio-features"}
    assert catalog_families(lacking, {"tracks", "albums", "reccobeats"}, ["spotify"]) == {"audio-features"}
    assert catalog_families(lacking, {"tracks", "albums", "audio-features", "reccobeats"}, []) == set()
    assert catalog_families([], (), ["spotify"]) == set()


NAMES = [f"user{number:02}" for number in range(12)]


@given(keys=st.sets(st.sampled_from(NAMES)), most=st.integers(1, 5), order=st.permutations(NAMES))
def test_neighbours_are_everybody_once_without_a_gap_and_never_too_many(
    keys: set[str], most: int, order: list[str]
) -> None:
    batches = neighbours(keys, order, most)
    assert [key for batch in batches for key in batch] == [key for key in order if key in keys]
    for batch in batches:
        assert 1 <= len(batch) <= most
        start = order.index(batch[0])
        assert order[start : start + len(batch)] == batch


@given(
    now=instants,
    lags=st.dictionaries(st.sampled_from(NAMES), st.none() | st.timedeltas(timedelta(0), timedelta(days=30))),
    zone=zones,
    size=st.integers(1, 5),
)
def test_everybody_is_in_exactly_one_run_that_spans_their_days(
    now: datetime, lags: dict[str, timedelta | None], zone: str, size: int
) -> None:
    users = [
        person(name, timezone=zone if number % 2 else "UTC", last_synced_at=now - lag if lag is not None else None)
        for number, (name, lag) in enumerate(lags.items())
    ]
    requests = sync_requests(users, now, 15, order=NAMES, batch_size=size)
    served: dict[str, dg.RunRequest] = {}
    for request in requests:
        for key in windows_of_run(request.tags, NAMES) or ():
            assert key not in served
            served[key] = request
    assert set(served) == set(lags)
    assert len({request.run_key for request in requests}) == len(requests)
    for user in users:
        request = served[user.partition_key]
        first, last = days_of(sync_request(user, now, 15))
        assert request.tags[RANGE_START][:10] <= str(first)
        assert str(last) <= request.tags[RANGE_END][:10]
        assert request.tags.get(USER_TAG, request.tags.get(USERS_TAG))
        assert int(request.tags.get(USERS_TAG, "1")) <= size


@given(keys=st.sets(st.sampled_from(NAMES)), size=st.integers(1, 5))
def test_runs_over_users_serve_each_once_and_say_whom(keys: set[str], size: int) -> None:
    served: list[str] = []
    for request in users_requests(keys, order=NAMES, batch_size=size):
        tags = {**request.tags, **({"dagster/partition": request.partition_key} if request.partition_key else {})}
        users = list(windows_of_run(tags, NAMES) or ())
        assert request.tags.get(USER_TAG, request.tags.get(USERS_TAG)) in {users[0], str(len(users))}
        served += users
    assert served == sorted(keys)


@pytest.mark.parametrize(
    ("sensors", "users", "expected"),
    [("auto", 200, 1), ("auto", 201, 100), ("per_user", 1000, 1), ("fanout", 1, 100)],
)
def test_many_users_share_runs(sensors: SyncSensors, users: int, expected: int) -> None:
    assert users_per_run(Settings(home=Path(), sensors=sensors), users) == expected


@given(now=instants, lag=st.none() | st.timedeltas(timedelta(0), timedelta(hours=2)))
def test_a_user_is_due_once_in_every_slot(now: datetime, lag: timedelta | None) -> None:
    user = person(last_synced_at=None if lag is None else now - lag)
    due = is_due(user, now, 15)
    assert due or lag is None or lag < timedelta(minutes=15)
    assert due is (lag is None or sync_request(user, now - lag, 15).run_key != sync_request(user, now, 15).run_key)
    assert not is_due(user.model_copy(update={"last_synced_at": now}), now, 15)
    assert not is_due(user.model_copy(update={"status": "paused"}), now, 15)


@given(
    st.permutations("abcdefgh").flatmap(
        lambda order: st.tuples(
            st.just(order),
            st.dictionaries(
                st.sampled_from(order),
                st.sampled_from([DayWindow(date(2025, 1, first), date(2025, 1, 9)) for first in (1, 1, 5)]),
            ),
        )
    )
)
def test_every_day_asked_for_is_in_one_run_and_no_fewer_runs_would_do(
    asked: tuple[list[str], dict[str, DayWindow]],
) -> None:
    order, days = asked
    runs = rectangles(days, order)
    served: list[tuple[str, date]] = []
    for run in runs:
        windows = windows_of_run(run.tags(), order)
        assert windows is not None
        assert list(windows) == list(run.users)
        served += [(key, day) for key, window in windows.items() if window for day in window.dates()]
    assert sorted(served) == sorted((key, day) for key, window in days.items() for day in window.dates())
    # A user gets a separate run exactly if the user added before has a different request, or none.
    before = dict(zip(order[1:], order, strict=False))
    assert [run.users[0] for run in runs] == [
        key for key in order if key in days and days.get(before.get(key, "")) != days[key]
    ]


def test_runs_say_whose_they_are() -> None:
    window = DayWindow(date(2025, 1, 1), date(2025, 1, 2))
    (one,), (two,) = rectangles({"ada": window}, ["ada"]), rectangles({"ada": window, "bob": window}, ["bob", "ada"])
    assert one.tags()[USER_TAG] == "ada"
    assert (two.tags()[USERS_TAG], USER_TAG in two.tags()) == ("2", False)
