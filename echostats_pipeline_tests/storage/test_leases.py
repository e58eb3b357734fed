"""Leases against a real server, whose clock decides."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from echostats_pipeline.errors import LeaseLostError, UserBusyError
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.storage.leases import LASTS, Lease
from echostats_pipeline.storage.store import Store

MINE, THEIRS = (Lease("ann", "history", run) for run in ("mine", "theirs"))


def stand_still(store: Store) -> None:
    """Wait until a lease has expired because its holder did not renew it."""
    store.db["user_leases"].update_many({}, {"$set": {"renewed_at": utc_now() - LASTS - timedelta(seconds=1)}})


def test_one_run_at_a_time_holds_a_lease(store: Store) -> None:
    assert store.leases.take(MINE)
    assert store.leases.take(MINE), "again, as after an answer that was lost"
    assert not store.leases.take(THEIRS)
    assert store.leases.take(Lease("ann", "library", "theirs"))
    assert store.leases.take(Lease("bob", "history", "theirs"))
    assert store.leases.release(MINE)
    assert store.leases.take(THEIRS)


def test_of_many_who_want_it_at_once_one_gets_it(store: Store) -> None:
    leases = [Lease("ann", "history", f"run {number}") for number in range(32)]
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(store.leases.take, leases)) == 1


def test_a_lease_that_nobody_renews_lapses(store: Store) -> None:
    store.leases.take(MINE)
    assert store.leases.renew(MINE)
    stand_still(store)
    assert store.leases.take(THEIRS)
    assert not store.leases.renew(MINE)
    assert not store.leases.release(MINE)
    assert store.leases.holder(MINE) == "theirs"


def test_a_renewed_lease_does_not_lapse(store: Store) -> None:
    store.leases.take(MINE)
    stand_still(store)
    assert store.leases.renew(MINE)
    assert not store.leases.take(THEIRS)


def test_a_block_waits_for_the_other_run_to_end(store: Store) -> None:
    store.leases.take(THEIRS)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            store.leases.release(THEIRS)

    with store.leases.held(MINE, patience_s=60, sleep=sleep) as renew:
        assert renew()
        assert not store.leases.take(THEIRS)
    assert len(waits) == 3
    assert store.leases.take(THEIRS)


def test_patience_ends_and_says_who_is_at_it(store: Store) -> None:
    store.leases.take(THEIRS)
    waits: list[float] = []
    with (
        pytest.raises(UserBusyError, match="Run theirs is changing"),
        store.leases.held(MINE, patience_s=5, sleep=waits.append),
    ):
        pytest.fail("the other run holds it")
    assert sum(waits) == 5


def test_a_block_that_lost_its_lease_says_so(store: Store) -> None:
    def stood_still() -> None:
        with store.leases.held(MINE, patience_s=0):
            stand_still(store)
            store.leases.take(THEIRS)

    with pytest.raises(LeaseLostError, match="theirs"):
        stood_still()
    assert store.leases.holder(MINE) == "theirs"


def test_a_block_that_fails_gives_its_lease_back(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.leases.held(MINE, patience_s=0):
        _ = 1 / 0
    assert store.leases.take(THEIRS)


def test_what_a_dead_run_held_is_free(store: Store) -> None:
    store.leases.take(MINE)
    store.close_run("mine", utc_now(), "killed")
    assert store.leases.take(THEIRS)
