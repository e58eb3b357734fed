"""Measures the rebuild of one day: by length of the history, and for many users together."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time
from functools import partial

from benchmarks.history import EVEN_DAYS, Size
from benchmarks.measuring import Taken, timed
from benchmarks.report import Row
from benchmarks.scene import EVEN, MIN_PLAY_MS, Listener, Scene, toggle
from echostats_pipeline.stages.statistics import rebuild_rollups_of
from echostats_pipeline.transforms.days import DayWindow

TOUCHED, TOGETHER, SINGLY = "one touched day", "many users' day in one pass", "one rebuild per user"
ROUNDS, ROUNDS_TOGETHER = 41, 9
GOAL_SPREAD = 1.2
USERS, FIRST_NUMBER = 50, 1_000
ONE_DAY = DayWindow(EVEN.middle, EVEN.middle)
NOON = datetime.combine(EVEN.middle, time(12), UTC)


def measure_touched(scene: Scene, listeners: Sequence[Listener], scale: str, say: Callable[[str], None]) -> Row:
    """Rebuild one day after each change of it, in turn for histories of all sizes."""
    say(f"one touched day, {len(listeners)} sizes")
    single: dict[str, list[Taken]] = defaultdict(list)
    written = 0
    for listener in listeners:
        scene.rebuild(listener, ONE_DAY)
    for _ in range(ROUNDS):
        for listener in listeners:
            toggle(scene, listener.play(NOON))
            taken, rebuilt = timed(scene.server_pid, partial(scene.rebuild, listener, ONE_DAY))
            single[_name(listener)].append(taken)
            written += rebuilt.written
    medians = {name: Taken.median(each) for name, each in single.items()}
    longest, shortest = (choose(medians, key=lambda name: medians[name].wall) for choose in (max, min))
    return Row.of_times(
        TOUCHED,
        scale,
        single,
        measured=[longest],
        floor=[shortest],
        at_most=GOAL_SPREAD,
        goal=f"longest ≤ {GOAL_SPREAD} x shortest",
        met=written == ROUNDS * len(listeners),
        notes=[
            *(f"{name}: {taken}" for name, taken in medians.items() if name not in {longest, shortest}),
            f"{written} rollups written in {ROUNDS} rounds",
        ],
        counts={"rollups_written": written, "medians_s": {name: taken.wall for name, taken in medians.items()}},
    )


def measure_together(scene: Scene, scale: str, say: Callable[[str], None]) -> Row:
    """Build the same day of many users, as a run of many users does, and one by one."""
    say(f"one day of {USERS} users")
    size = Size(plays=EVEN.plays * EVEN_DAYS, tracks=EVEN.plays)
    users = [scene.add(size, number=FIRST_NUMBER + number) for number in range(USERS)]
    single: dict[str, list[Taken]] = defaultdict(list)
    for _ in range(ROUNDS_TOGETHER):
        for name, work in ((SINGLY, one_by_one), (TOGETHER, in_one_pass)):
            for listener in users:
                scene.clear(listener, rollups=True)
            single[name].append(timed(scene.server_pid, partial(work, scene, users))[0])
    each_s = {name: Taken.median(taken).wall / USERS for name, taken in single.items()}
    return Row.of_times(
        TOGETHER,
        scale,
        single,
        measured=[TOGETHER],
        floor=[SINGLY],
        at_most=1.0,
        goal=f"less than {USERS} single rebuilds",
        notes=[f"{name}: {seconds * 1_000:.2f} ms a user" for name, seconds in each_s.items()],
        counts={"seconds_per_user": each_s},
    )


def one_by_one(scene: Scene, users: Sequence[Listener]) -> None:
    """Rebuild one day for each user."""
    for listener in users:
        scene.rebuild(listener, ONE_DAY)


def in_one_pass(scene: Scene, users: Sequence[Listener]) -> None:
    """Rebuild the day of many users as one run does."""
    wanted = [(listener.user, list(ONE_DAY.dates())) for listener in users]
    rebuild_rollups_of(scene.store, wanted, min_play_ms=MIN_PLAY_MS)


def _name(listener: Listener) -> str:
    return f"{listener.size.plays:,} plays"
