"""The limits in the database equal those in memory, for every process."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.spotify.endpoint_access import InMemoryRefusals, RefusalMemory
from echostats_pipeline.spotify.quota import CallLedger, MemoryLedger
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.limits import LimitStore
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW

FAMILIES = ("app", "tracks", "recently-played")
NAMES = st.sampled_from(FAMILIES)
INSTANTS = st.integers(-100_000, 100_000).map(lambda seconds: NOW + timedelta(seconds=seconds))
ENDPOINTS = ("/tracks?ids", "/audio-features?ids")
STEPS = st.one_of(
    st.tuples(st.just("record"), NAMES, INSTANTS),
    st.tuples(st.just("postpone"), NAMES, INSTANTS),
    st.tuples(st.just("refuse"), st.sampled_from(ENDPOINTS), INSTANTS),
)
FEW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def emptied(store: Store) -> LimitStore:
    for name in ("spotify_calls", "spotify_limits", "refused_endpoints"):
        store.db[name].delete_many({})
    return store.limits


@FEW
@given(history=st.lists(STEPS, max_size=25), asked=st.lists(INSTANTS, min_size=1, max_size=4))
def test_after_any_history_the_database_answers_as_memory_does(
    store: Store, history: list[tuple[str, str, datetime]], asked: list[datetime]
) -> None:
    ledgers: tuple[CallLedger, ...] = (emptied(store), MemoryLedger())
    regimes: tuple[RefusalMemory, ...] = (store.limits, InMemoryRefusals())
    for action, name, at in history:
        for ledger, regime in zip(ledgers, regimes, strict=True):
            match action:
                case "record":
                    ledger.record(name, at)
                case "postpone":
                    ledger.postpone(name, at, "why")
                case _:
                    regime.remember_refused(name, at)
    # The bounds themselves are tested too: `since` is exclusive.
    for since in [*asked, *(at for _, _, at in history)]:
        for name in FAMILIES:
            stored, remembered = (ledger.calls(name, since) for ledger in ledgers)
            assert stored == remembered
    for name in FAMILIES:
        stored_until, remembered_until = (ledger.not_before(name) for ledger in ledgers)
        assert stored_until == remembered_until
    for endpoint in ENDPOINTS:
        stored_until, remembered_until = (regime.refused_until(endpoint) for regime in regimes)
        assert stored_until == remembered_until


@FEW
@given(untils=st.lists(INSTANTS, min_size=1, max_size=8))
def test_the_longest_word_holds_with_its_own_reason(store: Store, untils: list[datetime]) -> None:
    limits = emptied(store)
    for until in untils:
        limits.postpone("tracks", until, f"until {until}")
    longest = max(untils)
    waiting = limits.waiting(["tracks", "albums"], longest - timedelta(seconds=1))
    assert waiting == {"tracks": (longest, f"until {longest}")}
    assert limits.waiting(["tracks"], longest) == {}


def test_only_those_asked_about_wait_and_only_until_then(store: Store) -> None:
    for number, family in enumerate(FAMILIES):
        store.limits.postpone(family, NOW + timedelta(hours=number), family)
    assert store.limits.waiting(FAMILIES, NOW).keys() == {"tracks", "recently-played"}
    assert store.limits.waiting(["tracks"], NOW) == {"tracks": (NOW + timedelta(hours=1), "tracks")}
    assert store.limits.waiting([], NOW) == {}


def test_processes_that_are_told_at_once_agree_on_the_longest(store: Store, db: Db) -> None:
    together = threading.Barrier(8)

    def postpone(number: int) -> None:
        together.wait()
        for step in range(10):
            store.limits.postpone("tracks", NOW + timedelta(seconds=(number * 7 + step * 13) % 80), f"{number}")
            store.limits.record("tracks", NOW)
            store.limits.remember_refused("/tracks?ids", NOW + timedelta(days=7))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(postpone, range(8)))
    longest = max((number * 7 + step * 13) % 80 for number in range(8) for step in range(10))
    assert store.limits.not_before("tracks") == NOW + timedelta(seconds=longest)
    assert store.limits.calls("tracks", NOW - timedelta(seconds=1)) == (80, NOW)
    assert db["spotify_limits"].count_documents({}) == db["refused_endpoints"].count_documents({}) == 1


@pytest.mark.parametrize("name", ["spotify_calls", "spotify_limits", "refused_endpoints"])
def test_what_is_stored_is_what_the_models_say(store: Store, db: Db, name: str) -> None:
    store.limits.record("tracks", NOW)
    store.limits.postpone("tracks", NOW, "why")
    store.limits.remember_refused("/tracks?ids", NOW)
    model = COLLECTIONS[name].document
    found = db[name].find_one()
    assert found is not None
    assert set(found) == {"_id", *(set(model.model_fields) - {"id"})}
    model.model_validate(found)
