"""Marks of changes: in any interleaving, a change of the history that the rollups lack has a mark."""

import secrets
from contextlib import AbstractContextManager, ExitStack
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any, get_args

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

from echostats_pipeline.model.operations import Source
from echostats_pipeline.settings import MARTS, Settings
from echostats_pipeline.storage.change_marks import CONSUMERS, NEWEST, OPEN_FOR, WHOLE, ChangeMarks, Reads, consumers_of
from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.installed import databases_of
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.hypothesis_profiles import examples

FIRST = date(2025, 1, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(3)]
SOME_DAYS = st.sets(st.sampled_from(DAYS), min_size=1)


def aged(db: Db) -> None:
    """Move the begin of all changes in progress so far back that their writers count as dead."""
    db["change_marks"].update_many(
        {"open_since": {"$ne": None}},
        [{"$set": {"open_since": {"$subtract": ["$$NOW", 2 * int(OPEN_FOR.total_seconds() * 1000)]}}}],
    )


class BrokenOffError(Exception):
    """The block of a writer or of a rebuild is interrupted."""


class Protocol(RuleBasedStateMachine):
    """Concurrent writers and rebuilds: their steps interleave in any order, and each may fail at any point.

    The history is a version number per day; a rollup is the version it was built from.
    """

    marks: ChangeMarks
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
        return self.entered(self.marks.changing(self.user, days), days)

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
        return self.entered(self.marks.reading(self.user, "daily_rollups", dates), days)

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
        assert stale <= self.marks.pending_days(self.user).union(*self.active.values())

    def teardown(self) -> None:
        for block in list(self.active):
            self.left(block, BrokenOffError())
        self.nothing_is_stale_without_a_mark()


def test_no_change_is_ever_lost(db: Db, store: Store) -> None:
    class OnThisDatabase(Protocol):
        marks = store.marks

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
    marks = store.marks
    with marks.reading("u", "daily_rollups", ["2025-01-01"]), marks.changing("u", [FIRST]):
        pass
    assert marks.pending_days("u") == {FIRST}
    with marks.reading("u", "daily_rollups", ["2025-01-01"]):
        pass
    assert marks.pending_days("u") == set()


def test_a_change_that_a_rebuild_read_too_early_for_waits_for_the_next(store: Store) -> None:
    marks = store.marks
    with marks.changing("u", [FIRST]), marks.reading("u", "daily_rollups", ["2025-01-01"]):
        pass  # reads here; then the writer writes
    assert marks.pending_days("u") == {FIRST}


def test_a_writer_killed_while_a_rebuild_runs_has_left_its_mark(store: Store, db: Db) -> None:
    marks = store.marks
    marks.open("u", "listening_history", ["2025-01-01"])
    with marks.reading("u", "daily_rollups", ["2025-01-01"]):
        pass  # reads here; then the writer writes and is killed
    assert marks.pending_days("u") == set(), "the writer may still be at it"
    aged(db)
    assert marks.pending_days("u") == {FIRST}
    with marks.reading("u", "daily_rollups", ["2025-01-01"]):
        pass
    assert marks.pending_days("u") == set()


def test_a_writer_at_work_holds_a_mark_that_no_rebuild_takes_away(store: Store, db: Db) -> None:
    marks = store.marks
    with marks.changing("u", [FIRST]):
        with marks.reading("u", "daily_rollups", ["2025-01-01"]):
            pass
        assert marks.pending_days("u") == set()
        aged(db)
        assert marks.pending_days("u") == {FIRST}, "as if the writer had been killed here"


def test_a_rebuild_that_another_one_has_overtaken_marks_its_days_again(store: Store) -> None:
    marks = store.marks
    with marks.reading("u", "daily_rollups", ["2025-01-01"]):
        # Has read; now the history changes, and another rebuild reads the new state and removes the mark.
        with marks.changing("u", [FIRST]):
            pass
        with marks.reading("u", "daily_rollups", ["2025-01-01"]):
            pass
        assert marks.pending_days("u") == set()
    assert marks.pending_days("u") == {FIRST}, "the older state was written last"


def test_a_rebuild_takes_away_its_own_dates_only(store: Store) -> None:
    marks = store.marks
    marks.mark("u", "listening_history", ["2025-01-01", "2025-01-02"])
    marks.mark("v", "listening_history", ["2025-01-01"])
    with marks.reading("u", "daily_rollups", ["2025-01-01"]):
        pass
    assert marks.pending("daily_rollups") == {"u": ["2025-01-02"], "v": ["2025-01-01"]}


def test_targets_wait_apart_and_dates_come_in_order(store: Store) -> None:
    marks = store.marks
    marks.mark("u", "listening_history", ["2025-01-03", "2025-01-01"])
    marks.mark("u", "listening_history", [])
    marks.mark("u", "catalog")
    assert marks.pending("daily_rollups") == {"u": ["2025-01-01", "2025-01-03"]}
    assert marks.pending("analytics_snapshots") == {"u": [WHOLE]}
    with marks.reading("u", "analytics_snapshots"):
        pass
    assert marks.pending("analytics_snapshots") == {}
    assert marks.pending_days("u") == {FIRST, FIRST + timedelta(days=2)}


def test_open_marks_that_a_rebuild_has_taken_for_those_of_the_dead_are_set_again(store: Store, db: Db) -> None:
    marks = store.marks
    with marks.changing("u", [FIRST, FIRST + timedelta(days=1)]):  # for longer than `OPEN_FOR`
        aged(db)
        with marks.reading("u", "daily_rollups", ["2025-01-01"]):
            pass
        assert marks.pending_days("u") == {FIRST + timedelta(days=1)}
    assert marks.pending("daily_rollups") == {"u": ["2025-01-01", "2025-01-02"]}


def test_a_rebuild_during_which_a_slow_writer_ends_takes_nothing_for_read(store: Store, db: Db) -> None:
    marks = store.marks
    with marks.changing("u", [FIRST]):
        aged(db)
        begun = marks.begin("u", "daily_rollups", ["2025-01-01"])
    marks.finish(begun)
    assert marks.pending_days("u") == {FIRST}


def test_no_writer_closes_what_another_one_has_opened(store: Store, db: Db) -> None:
    marks = store.marks
    marks.open("u", "listening_history", ["2025-01-01"])
    with marks.changing("u", [FIRST]):
        pass
    with marks.reading("u", "daily_rollups", ["2025-01-01"]):
        pass  # reads here; then the first writer writes and is killed
    assert marks.pending_days("u") == set()
    assert marks.changing_days("u") == {FIRST}
    aged(db)
    assert marks.pending_days("u") == {FIRST}


def test_a_date_that_changes_again_and_again_is_one_mark(store: Store, db: Db) -> None:
    for _ in range(3):
        with store.marks.changing("u", [FIRST]):
            pass
        store.marks.mark("u", "listening_history", [str(FIRST)])
    assert db["change_marks"].count_documents({"date": str(FIRST)}) == 1
    assert store.marks.pending_days("u") == {FIRST}


A_MART, SNAPSHOTS = "a mart", "analytics_snapshots"
MART = {
    "daily_rollups": CONSUMERS["daily_rollups"],
    SNAPSHOTS: Reads(("daily_rollups", "catalog")),
    A_MART: Reads(("daily_rollups", "listening_history")),
}
BY_DATE = {**MART, A_MART: Reads(("daily_rollups",), by_date=True)}


def test_each_consumer_reads_a_change_for_itself(db: Db) -> None:
    marks = ChangeMarks(db, MART)
    marks.mark("u", "daily_rollups", ["2025-01-01"])
    for first, second in ((SNAPSHOTS, A_MART), (A_MART, SNAPSHOTS)):
        with marks.reading("u", first):
            pass
        assert (marks.pending(first), marks.pending(second)) == ({}, {"u": [WHOLE]})
        with marks.reading("u", second):
            pass
        assert marks.pending(first) == marks.pending(second) == {}
        assert db["change_marks"].distinct("date") == [NEWEST], "all have read it"
        marks.mark("u", "daily_rollups", ["2025-01-02"])


def test_a_consumer_that_was_overtaken_reads_again_and_no_other_one_does(db: Db) -> None:
    marks = ChangeMarks(db, MART)
    with marks.reading("u", "daily_rollups", ["2025-01-01"]):
        with marks.changing("u", [FIRST]):
            pass
        for consumer in ("daily_rollups", A_MART):
            with marks.reading("u", consumer, ["2025-01-01"]):
                pass
    assert (marks.pending("daily_rollups"), marks.pending(A_MART)) == ({"u": ["2025-01-01"]}, {})


def read_by_all(db: Db, consumers: dict[str, Reads], *, but: str = "") -> None:
    marks = ChangeMarks(db, consumers)
    for consumer in consumers.keys() - {but}:
        for user_id, dates in marks.pending(consumer).items():
            with marks.reading(user_id, consumer, dates):
                pass


WITHOUT_MART = {name: reads for name, reads in MART.items() if name != A_MART}


@pytest.mark.parametrize(("consumers", "later"), [(MART, [WHOLE]), (BY_DATE, ["2025-01-02"])])
def test_a_consumer_that_is_installed_later_is_built_from_nothing_once(
    db: Db, consumers: dict[str, Reads], later: list[str]
) -> None:
    before = ChangeMarks(db, WITHOUT_MART)
    for user_id in ("u", "v"):
        before.mark(user_id, "listening_history", ["2025-01-01"])
        before.mark(user_id, "daily_rollups", ["2025-01-01"])
    read_by_all(db, WITHOUT_MART)
    assert db["change_marks"].distinct("date") == [NEWEST], "no mark tells it of what there is"

    marks = ChangeMarks(db, consumers)
    marks.follow_consumers()
    assert marks.pending(A_MART) == {"u": [WHOLE], "v": [WHOLE]}
    with pytest.raises(BrokenOffError), marks.reading("u", A_MART):
        raise BrokenOffError
    assert marks.pending(A_MART) == {"u": [WHOLE], "v": [WHOLE]}
    with marks.reading("u", A_MART):
        pass
    assert marks.pending(A_MART) == {"v": [WHOLE]}
    assert marks.pending(SNAPSHOTS) == marks.pending("daily_rollups") == {}

    marks.mark("u", "daily_rollups", ["2025-01-02"])
    marks.mark("w", "daily_rollups", ["2025-01-02"])
    assert marks.pending(A_MART) == {"u": later, "v": [WHOLE], "w": later}
    read_by_all(db, consumers)
    assert marks.pending(A_MART) == {}
    assert db["change_marks"].distinct("date") == [NEWEST]


def test_a_first_build_that_is_overtaken_is_repeated_as_a_whole(db: Db) -> None:
    ChangeMarks(db, WITHOUT_MART).mark("u", "daily_rollups", ["2025-01-01"])
    marks = ChangeMarks(db, BY_DATE)
    with marks.reading("u", A_MART):
        marks.mark("u", "daily_rollups", ["2025-01-02"])
    assert marks.pending(A_MART) == {"u": [WHOLE]}
    read_by_all(db, BY_DATE)
    assert marks.pending(A_MART) == {}


def test_a_consumer_that_stands_still_holds_one_mark_a_date(db: Db) -> None:
    marks = ChangeMarks(db, BY_DATE)
    for _ in range(4):
        for user_id, source in (("u", "daily_rollups"), ("u", "listening_history")):
            marks.open(user_id, source, ["2025-01-01"])  # a writer that is killed
            aged(db)
            read_by_all(db, BY_DATE, but=A_MART)
            with marks.changing(user_id, ["2025-01-01", "2025-01-02"], source):
                pass
        marks.ask("u", SNAPSHOTS)
        read_by_all(db, BY_DATE, but=A_MART)
    assert db["change_marks"].count_documents({"date": {"$ne": NEWEST}}) == 2
    assert marks.pending(A_MART) == {"u": ["2025-01-01", "2025-01-02"]}


def test_a_consumer_that_is_removed_holds_no_mark_and_starts_from_nothing_when_it_returns(db: Db) -> None:
    marks = ChangeMarks(db, MART)
    marks.mark("u", "daily_rollups", ["2025-01-01"])
    read_by_all(db, MART)
    marks.mark("u", "daily_rollups", ["2025-01-02"])
    read_by_all(db, WITHOUT_MART)
    ChangeMarks(db, WITHOUT_MART).follow_consumers()
    assert db["change_marks"].distinct("date") == [NEWEST]
    marks.follow_consumers()
    assert marks.pending(A_MART) == {"u": [WHOLE]}
    assert marks.pending(SNAPSHOTS) == {}


def test_two_slow_writers_that_end_together_leave_a_mark(db: Db) -> None:
    marks = ChangeMarks(db)
    first, second = (marks.open("u", "listening_history", ["2025-01-01"]) for _ in range(2))
    aged(db)
    found_by_first = marks._over(first)
    marks.close(second)
    marks._remove(found_by_first)
    assert marks.pending_days("u") == {FIRST}


def test_each_source_has_a_consumer() -> None:
    consumers = consumers_of(databases_of(Settings(home=Path(), marts=MARTS)))
    assert {source for reads in consumers.values() for source in reads.sources} == set(get_args(Source))


def test_a_source_that_is_added_to_the_rollups_makes_its_days_wait(db: Db) -> None:
    rules: Any = "rules"
    with_rules = {
        **CONSUMERS,
        "daily_rollups": CONSUMERS["daily_rollups"]._replace(sources=("listening_history", "catalog", rules)),
    }
    ChangeMarks(db).mark("u", "catalog")
    with ChangeMarks(db).reading("u", SNAPSHOTS):
        pass
    marks = ChangeMarks(db, with_rules)
    assert marks.pending("daily_rollups") == {}, "rollups exist already"
    with marks.changing("u", [FIRST], rules):
        assert marks.changing_days("u") == {FIRST}
    assert marks.pending_days("u") == {FIRST}
    assert marks.pending("daily_rollups") == {"u": [str(FIRST)]}
    with marks.reading("u", "daily_rollups", [str(FIRST)]):
        pass
    assert marks.pending("daily_rollups") == {}


def test_marks_tell_of_changes_under_way_and_of_the_newest_one(store: Store) -> None:
    marks = store.marks
    assert marks.marks("u", "daily_rollups") == {}
    marks.mark("u", "listening_history", ["2025-01-01"])
    plain = marks.marks("u", "daily_rollups")
    with marks.changing("u", [FIRST + timedelta(days=1)]):
        under_way = marks.marks("u", "daily_rollups")
    assert plain.keys() == {NEWEST, "2025-01-01"}
    assert under_way.keys() == {NEWEST, "2025-01-01", "2025-01-02"}
    assert plain[NEWEST] != under_way[NEWEST]
    assert marks.marks("u", "analytics_snapshots") == marks.marks("v", "daily_rollups") == {}
