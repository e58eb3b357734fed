"""Days rebuilt again and again while imports and syncs merge plays of the same user: nothing is lost."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.simulator.exports import write_extended_export
from echostats_pipeline.stages.imports import import_export
from echostats_pipeline.stages.statistics import rebuild_rollups
from echostats_pipeline.storage.database import Document
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.track_credits import TrackCredits
from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline.transforms.statistics.rollups import Listener, build_daily_rollups
from echostats_pipeline_tests.conftest import NOW, Counted, Pipeline, documents
from echostats_pipeline_tests.stages.test_ingestion import sync

SPAN = DayWindow(NOW.date() - timedelta(days=60), NOW.date() + timedelta(days=1))
ROUNDS = 8


@contextmanager
def rebuilding_all_the_time(store: Store, user: User, dice: random.Random) -> Iterator[None]:
    """Rebuild parts of the span one after the other in another thread until the block ends."""
    ended = threading.Event()

    def rebuild() -> int:
        built = 0
        while not ended.is_set():
            first = dice.randrange(SPAN.length)
            days = list(SPAN.dates())[first : first + dice.choice((1, 7, SPAN.length))]
            built += rebuild_rollups(store, user, days, min_play_ms=30_000, progress=Counted()).days
        return built

    with ThreadPoolExecutor(1) as executor:
        rebuilt = executor.submit(rebuild)
        try:
            yield
        finally:
            ended.set()
        assert rebuilt.result() > 0


def stale_days(store: Store, user: User) -> set[date]:
    """The days whose rollups differ from the history."""
    days = list(SPAN.dates())
    plays = store.plays.read(user.user_id, *SPAN.instants(ZoneInfo(user.timezone)))
    track_credits = TrackCredits(store.db).of(plays["track_id"])
    listener = Listener(user.user_id, user.timezone, plays, days)
    (rollups,) = build_daily_rollups([listener], track_credits, min_play_ms=30_000)
    wanted = by_date(rollups)
    there = by_date(documents(store.db, "daily_rollups"))
    return {day for day in days if wanted.get(str(day)) != there.get(str(day))}


def by_date(rollups: list[Document]) -> dict[str, Document]:
    return {rollup["date"]: rollup for rollup in rollups}


def test_a_rebuild_beside_imports_and_syncs_loses_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    installation, store, dice = pipeline.installation, pipeline.store, random.Random(1)
    user, world = pipeline.connect(), pipeline.installation.simulator.world
    person = installation.person(user)
    pieces = list(DayWindow(SPAN.first + timedelta(days=3), NOW.date() - timedelta(days=1)).pieces(8))
    dice.shuffle(pieces)
    installation.clock.advance(-timedelta(hours=ROUNDS))
    for number, piece in enumerate(pieces[:ROUNDS]):
        start, end = piece.instants(ZoneInfo("UTC"))
        path = tmp_path / f"{number}.zip"
        write_extended_export(world, person, start, end, path)
        with rebuilding_all_the_time(store, user, dice):
            import_export(store, user, [path], progress=Counted(), clock=installation.now)
            sync(installation, user)
        installation.clock.advance(timedelta(hours=1))
        assert stale_days(store, user) <= store.marks.pending_days(user.user_id)
    waiting = store.marks.pending_days(user.user_id)
    assert waiting <= set(SPAN.dates())
    assert pipeline.run("rollup_build", tags=range_tags(SPAN.first, SPAN.last, user.partition_key)).success
    assert store.marks.pending_days(user.user_id) == set()
    assert stale_days(store, user) == set()
    stored = documents(store.db, "daily_rollups")
    assert sum(rollup["total_rows"] for rollup in stored) == store.db["listening_history"].count_documents({}) > 100
