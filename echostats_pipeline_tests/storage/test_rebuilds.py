"""The queue of rebuilds: in any interleaving, a change of the history that the rollups lack has a mark."""

import secrets
from contextlib import AbstractContextManager, ExitStack
from datetime import date, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.rebuilds import NEWEST, WHOLE, RebuildQueue
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.hypothesis_profiles import examples

FIRST = date(2025, 1, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(3)]
SOME_DAYS = st.sets(st.sampled_from(DAYS), min_size=1)


class BrokenOffError(Exception):
    """The block of a writer or of a rebuild is interrupted."""


class Protocol(RuleBasedStateMachine):
    """Concurrent writers and rebuilds: their steps interleave in any order, and each may fail at any point.

    The history is a version number per day; a rollup is the version it was built from.
    """

    queue: RebuildQueue
    writers = Bundle("writers")
    rebuilds = Bundle("rebuilds")
    read = Bundle("read")

    def __init__(self) -> None:
        super().__init__()
        self.user = secrets.token_hex(6)
        self.versions = count(1)
        self.history = dict.fromkeys(DAYS, 0)
        self.rollups = dict.fromkeys(DAYS, 0)
        self.active: dict[ExitStack, set[date]] = {}

    def entered(self, block: AbstractContextManager[None], days: set[date]) -> tuple[ExitStack, set[date]]:
        stack = ExitStack()
        stack.enter_context(block)
        self.active[stack] = days
        return stack, days

    def left(self, block: ExitStack, failure: Exception | None = None) -> None:
        del self.active[block]
        if failure is None:
            block.close()
        else:
            assert not block.__exit__(type(failure), failure, None)

    @rule(target=writers, days=SOME_DAYS)
    def begin_a_change(self, days: set[date]) -> tuple[ExitStack, set[date]]:
        return self.entered(self.queue.changing(self.user, days), days)

    @rule(writer=consumes(writers), written=st.booleans(), fails=st.booleans())
    def end_a_change(self, writer: tuple[ExitStack, set[date]], written: bool, fails: bool) -> None:
        block, days = writer
        if written:
            self.history |= {day: next(self.versions) for day in days}
        self.left(block, BrokenOffError() if fails else None)

    @rule(writer=writers, number=st.integers(0, 2))
    def write_in_between(self, writer: tuple[ExitStack, set[date]], number: int) -> None:
        day = sorted(writer[1])[number % len(writer[1])]
        self.history[day] = next(self.versions)

    @rule(target=rebuilds, days=SOME_DAYS)
    def begin_a_rebuild(self, days: set[date]) -> tuple[ExitStack, set[date]]:
        dates = [day.isoformat() for day in days]
        return self.entered(self.queue.rebuilding(self.user, "daily_rollups", dates), days)

    @rule(target=read, rebuild=consumes(rebuilds))
    def read_the_history(self, rebuild: tuple[ExitStack, set[date]]) -> tuple[ExitStack, dict[date, int]]:
        block, days = rebuild
        return block, {day: self.history[day] for day in days}

    @rule(rebuild=consumes(read), written=st.booleans())
    def end_a_rebuild(self, rebuild: tuple[ExitStack, dict[date, int]], written: bool) -> None:
        block, built = rebuild
        if written:
            self.rollups |= built
        self.left(block, None if written else BrokenOffError())

    @invariant()
    def nothing_is_stale_without_a_mark(self) -> None:
        """Every stale day has a mark, except days that a process is still working on."""
        stale = {day for day in DAYS if self.rollups[day] != self.history[day]}
        assert stale <= self.queue.pending_days(self.user).union(*self.active.values())

    def teardown(self) -> None:
        for block in list(self.active):
            self.left(block, BrokenOffError())
        self.nothing_is_stale_without_a_mark()


def test_no_change_is_ever_lost(db: Db, store: Store) -> None:
    class OnThisDatabase(Protocol):
        queue = store.rebuilds

    run_state_machine_as_test(
        OnThisDatabase,
        settings=settings(
            max_examples=examples(60),
            stateful_step_count=20,
            phases=(Phase.generate,),  # shrinking would take minutes
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


def test_a_change_during_a_rebuild_that_read_before_it_waits_for_the_next(store: Store) -> None:
    queue = store.rebuilds
    with queue.rebuilding("u", "daily_rollups", ["2025-01-01"]), queue.changing("u", [FIRST]):
        pass
    assert queue.pending_days("u") == {FIRST}
    with queue.rebuilding("u", "daily_rollups", ["2025-01-01"]):
        pass
    assert queue.pending_days("u") == set()


def test_a_change_that_a_rebuild_read_too_early_for_waits_for_the_next(store: Store) -> None:
    queue = store.rebuilds
    with queue.changing("u", [FIRST]), queue.rebuilding("u", "daily_rollups", ["2025-01-01"]):
        pass  # reads here; then the writer writes
    assert queue.pending_days("u") == {FIRST}


def test_a_writer_killed_while_a_rebuild_runs_has_left_its_mark(store: Store, db: Db) -> None:
    queue = store.rebuilds
    queue.mark("u", "daily_rollups", ["2025-01-01"], opened=True)
    with queue.rebuilding("u", "daily_rollups", ["2025-01-01"]):
        pass  # reads here; then the writer writes and is killed
    assert queue.pending_days("u") == set(), "the writer may still be at it"
    db["rebuild_queue"].update_many({}, [{"$set": {"open_since": {"$subtract": ["$$NOW", 2 * 300_000]}}}])
    assert queue.pending_days("u") == {FIRST}
    with queue.rebuilding("u", "daily_rollups", ["2025-01-01"]):
        pass
    assert queue.pending_days("u") == set()


def test_a_writer_at_work_holds_a_mark_that_no_rebuild_takes_away(store: Store, db: Db) -> None:
    queue = store.rebuilds
    with queue.changing("u", [FIRST]):
        with queue.rebuilding("u", "daily_rollups", ["2025-01-01"]):
            pass
        assert queue.pending_days("u") == set()
        db["rebuild_queue"].update_many({}, [{"$set": {"open_since": {"$subtract": ["$$NOW", 2 * 300_000]}}}])
        assert queue.pending_days("u") == {FIRST}, "as if the writer had been killed here"


def test_a_rebuild_that_another_one_has_overtaken_marks_its_days_again(store: Store) -> None:
    queue = store.rebuilds
    with queue.rebuilding("u", "daily_rollups", ["2025-01-01"]):
        # Has read; now the history changes, and another rebuild reads the new state and removes the mark.
        with queue.changing("u", [FIRST]):
            pass
        with queue.rebuilding("u", "daily_rollups", ["2025-01-01"]):
            pass
        assert queue.pending_days("u") == set()
    assert queue.pending_days("u") == {FIRST}, "the older state was written last"


def test_a_rebuild_takes_away_its_own_dates_only(store: Store) -> None:
    queue = store.rebuilds
    queue.mark("u", "daily_rollups", ["2025-01-01", "2025-01-02"])
    queue.mark("v", "daily_rollups", ["2025-01-01"])
    with queue.rebuilding("u", "daily_rollups", ["2025-01-01"]):
        pass
    assert queue.pending("daily_rollups") == {"u": ["2025-01-02"], "v": ["2025-01-01"]}


def test_targets_wait_apart_and_dates_come_in_order(store: Store) -> None:
    queue = store.rebuilds
    queue.mark("u", "daily_rollups", ["2025-01-03", "2025-01-01"])
    queue.mark("u", "daily_rollups", [])
    queue.mark("u", "analytics_snapshots")
    assert queue.pending("daily_rollups") == {"u": ["2025-01-01", "2025-01-03"]}
    assert queue.pending("analytics_snapshots") == {"u": [WHOLE]}
    with queue.rebuilding("u", "analytics_snapshots"):
        pass
    assert queue.pending("analytics_snapshots") == {}
    assert queue.pending_days("u") == {FIRST, FIRST + timedelta(days=2)}


def test_a_mark_that_a_rebuild_takes_away_while_it_is_renewed_is_set_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.rebuilds.mark("u", "daily_rollups", ["2025-01-01", "2025-01-02"])
    queue = store.rebuilds._queue
    update = type(queue).update_many

    def after_a_rebuild(collection: Any, *arguments: Any, **options: Any) -> Any:
        queue.delete_one({"date": "2025-01-01"})
        return update(collection, *arguments, **options)

    monkeypatch.setattr(type(queue), "update_many", after_a_rebuild)
    store.rebuilds.mark("u", "daily_rollups", ["2025-01-01", "2025-01-02"])
    assert store.rebuilds.pending("daily_rollups") == {"u": ["2025-01-01", "2025-01-02"]}


def test_marks_tell_of_changes_under_way_and_of_the_newest_one(store: Store) -> None:
    queue = store.rebuilds
    assert queue.marks("u", "daily_rollups") == {}
    queue.mark("u", "daily_rollups", ["2025-01-01"])
    plain = queue.marks("u", "daily_rollups")
    with queue.changing("u", [FIRST + timedelta(days=1)]):
        under_way = queue.marks("u", "daily_rollups")
    assert plain.keys() == {NEWEST, "2025-01-01"}
    assert under_way.keys() == {NEWEST, "2025-01-01", "2025-01-02"}
    assert plain[NEWEST] != under_way[NEWEST]
    assert queue.marks("u", "analytics_snapshots") == queue.marks("v", "daily_rollups") == {}
