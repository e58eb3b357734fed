from collections.abc import Callable
from datetime import datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostats_pipeline.errors import WaitRequired
from echostats_pipeline.spotify.families import Family
from echostats_pipeline.spotify.quota import Budget, CallLedger, MemoryLedger, Quota
from echostats_pipeline.spotify.transport import Request, Response
from echostats_pipeline_tests.spotify.fake_transport import Script, Time, answer

API = "https://api.spotify.com"
REQUESTS: dict[Family, Request] = {
    "recently-played": Request("GET", f"{API}/v1/me/player/recently-played"),
    "tracks": Request("GET", f"{API}/v1/tracks/t1"),
    "artists": Request("GET", f"{API}/v1/artists?ids=a1"),
    "token": Request("POST", "https://accounts.spotify.com/api/token"),
    "reccobeats": Request("GET", "https://api.reccobeats.com/v1/audio-features", service="reccobeats"),
}
OTHERS = [family for family in REQUESTS if family not in ("tracks", "token", "reccobeats")]
GOOD = answer({})
USED_UP = {"error": {"status": 429, "message": "Too many requests", "reason": "QUOTA_EXCEEDED"}}
LIMITED = {"error": {"status": 429, "message": "API rate limit exceeded"}}


def good(request: Request) -> Response:
    return GOOD


class Setup:
    """A quota, its ledger and its clock."""

    def __init__(
        self, handler: Callable[[Request], Response] = good, ledger: CallLedger | None = None, **budget: int
    ) -> None:
        self.time = Time()
        self.ledger = MemoryLedger() if ledger is None else ledger
        self.budget = Budget(**budget)  # type: ignore[arg-type]
        self.quota = Quota(handler, self.ledger, self.budget, self.time, self.time.sleep)

    def wait(self, family: Family) -> WaitRequired | None:
        """The wait that a call of the family gets; None if the call was made."""
        try:
            self.quota(REQUESTS[family])
        except WaitRequired as wait:
            return wait
        return None


def most_in_any(window: timedelta, stamps: list[datetime]) -> int:
    return max((sum(start <= stamp < start + window for stamp in stamps) for start in stamps), default=0)


arrivals = st.lists(
    st.tuples(st.sampled_from(sorted(REQUESTS)), st.sampled_from([0, 1, 20, 3_600, 7_200, 43_200, 86_399, 86_400]))
    | st.tuples(st.sampled_from(sorted(REQUESTS)), st.floats(0, 90_000)),
    max_size=60,
)


@settings(max_examples=200)
@given(arrivals=arrivals, calls=st.integers(1, 5), burst=st.integers(1, 8))
def test_no_window_ever_holds_more_calls_than_allowed(
    arrivals: list[tuple[Family, float]], calls: int, burst: int
) -> None:
    made: list[tuple[Family, datetime]] = []

    def handler(request: Request) -> Response:
        made.append((request.family, setup.time()))
        return GOOD

    setup = Setup(handler, calls=calls, burst=burst)
    for family, gap in arrivals:
        setup.time.move(gap)
        before = len(made)
        wait = setup.wait(family)
        assert (wait is None) is (len(made) == before + 1)
        assert wait is None or wait.until > setup.time()
    stamps = {family: [at for who, at in made if who == family] for family in REQUESTS}
    for family in ("tracks", "artists", "reccobeats"):
        assert most_in_any(setup.budget.window, stamps[family]) <= calls
    web_api = [at for family in ("tracks", "artists", "recently-played") for at in stamps[family]]
    for group in (sorted(web_api), stamps["token"], stamps["reccobeats"]):
        assert most_in_any(setup.budget.burst_window, group) <= burst
    assert max(setup.time.slept, default=0) <= 30


@given(arrivals=arrivals)
def test_what_the_budget_holds_back_may_be_called_exactly_when_it_says(arrivals: list[tuple[Family, float]]) -> None:
    setup = Setup(calls=2)
    for family, gap in arrivals:
        setup.time.move(gap)
        wait = setup.wait(family)
        if wait is not None:
            assert wait.family == family
            setup.time.now = wait.until - timedelta(microseconds=1)
            assert setup.wait(family) is not None
            setup.time.now = wait.until
            assert setup.wait(family) is None


@pytest.mark.parametrize("family", ["recently-played", "token"])
def test_the_vital_families_are_counted_and_not_held_back(family: Family) -> None:
    setup = Setup(calls=1)
    for _ in range(5):
        assert setup.wait(family) is None
    assert setup.ledger.calls(family, setup.time() - timedelta(hours=1)) == (5, setup.time())


def test_one_family_does_not_use_up_the_budget_of_another() -> None:
    setup = Setup(calls=1)
    assert [setup.wait(family) for family in REQUESTS] == [None] * len(REQUESTS)
    assert setup.wait("tracks") is not None


def test_a_burst_is_slowed_down_and_not_refused() -> None:
    setup = Setup(burst=3)
    for _ in range(7):
        assert setup.wait("recently-played") is None
    assert setup.time.slept == [30.0, 30.0]
    assert setup.wait("token") is None
    assert len(setup.time.slept) == 2


@pytest.mark.parametrize("seconds_old", [1, 30, 90])
def test_a_burst_of_others_that_does_not_end_is_not_waited_for(seconds_old: int) -> None:
    class Busy(MemoryLedger):
        """A ledger in which another process makes a call at every look."""

        def calls(self, family: str, since: datetime) -> tuple[int, datetime | None]:
            return 90, since + timedelta(seconds=30 - seconds_old)

    setup = Setup(ledger=Busy())
    wait = setup.wait("recently-played")
    assert wait is not None
    assert 0 < sum(setup.time.slept) <= 60


@pytest.mark.parametrize(
    ("body", "header", "name", "seconds"),
    [
        (USED_UP, "48925", "tracks", 48_925),
        (USED_UP, "20", "tracks", 20),
        (USED_UP, "0", "tracks", 3_600),
        (USED_UP, None, "tracks", 3_600),
        (USED_UP, "soon", "tracks", 3_600),
        (LIMITED, "61", "app", 61),
        (LIMITED, "300", "app", 300),
        (LIMITED, "Fri, 20 Nov 2026 12:02:00 GMT", "app", 120),
        (b"Too many requests", "300", "app", 300),
        (LIMITED, "301", "tracks", 301),
        (b"", "79892", "tracks", 79_892),
    ],
)
def test_a_long_wait_is_stored_for_those_it_concerns(body: object, header: str | None, name: str, seconds: int) -> None:
    script = Script(answer(body, 429, {} if header is None else {"Retry-After": header}), *[GOOD] * 9)
    setup = Setup(script)
    until = setup.time() + timedelta(seconds=seconds)
    wait = setup.wait("tracks")
    assert wait is not None
    assert (wait.family, wait.until, wait.affects) == (name, until, "app" if name == "app" else "endpoint")
    assert setup.ledger.not_before(name) == until
    again = setup.wait("tracks")
    assert again is not None
    assert (again.family, again.until, len(script.asked)) == (name, until, 1)
    for family in OTHERS:
        assert (setup.wait(family) is None) is (name == "tracks")
    assert (setup.wait("token"), setup.wait("reccobeats")) == (None, None)
    setup.time.now = until
    assert setup.wait("tracks") is None


@pytest.mark.parametrize("family", ["token", "reccobeats"])
def test_a_long_wait_of_another_service_concerns_it_alone(family: Family) -> None:
    setup = Setup(Script(answer(b"", 429, {"Retry-After": "100"}), GOOD))
    wait = setup.wait(family)
    assert wait is not None
    assert wait.family == family
    assert setup.wait("tracks") is None


@pytest.mark.parametrize("header", ["0", "2", "60", None, "soon"])
@pytest.mark.parametrize("body", [LIMITED, b"Too many requests", b""])
def test_a_short_limit_is_returned_for_others_to_sit_out(body: object, header: str | None) -> None:
    limited = answer(body, 429, {} if header is None else {"Retry-After": header})
    setup = Setup(Script(limited))
    assert setup.quota(REQUESTS["tracks"]) is limited
    assert setup.ledger.not_before("app") is setup.ledger.not_before("tracks") is None


@pytest.mark.parametrize("status", [200, 401, 403, 404, 500])
def test_every_other_answer_is_counted_and_passed_on(status: int) -> None:
    given_answer = answer(b"", status, {"Retry-After": "9999"})
    setup = Setup(Script(given_answer))
    assert setup.quota(REQUESTS["tracks"]) is given_answer
    hour_ago = setup.time() - timedelta(hours=1)
    assert setup.ledger.calls("tracks", hour_ago) == setup.ledger.calls("app", hour_ago) == (1, setup.time())


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=12), st.integers(-1, 10))
def test_the_memory_ledger_counts_what_was_recorded_after(records: list[tuple[str, int]], since: int) -> None:
    ledger, start = MemoryLedger(), Time().now
    for family, minute in records:
        ledger.record(family, start + timedelta(minutes=minute))
    later = [minute for family, minute in records if family == "a" and minute > since]
    oldest = start + timedelta(minutes=min(later)) if later else None
    assert ledger.calls("a", start + timedelta(minutes=since)) == (len(later), oldest)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_of_several_postponements_the_longest_holds(minutes: list[int]) -> None:
    ledger, start = MemoryLedger(), Time().now
    assert ledger.not_before("tracks") is None
    for minute in minutes:
        ledger.postpone("tracks", start + timedelta(minutes=minute), "asked to")
    assert ledger.not_before("tracks") == start + timedelta(minutes=max(minutes))


def test_every_family_is_told_apart_in_the_message() -> None:
    for family in get_args(Family):
        assert family in str(WaitRequired(family, Time().now, "the quota is used up"))
