"""Rollups and snapshots updated as data comes in equal those built from scratch."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from echostats_pipeline.model.statistics import PERIODS
from echostats_pipeline.model.users import User
from echostats_pipeline.simulator.exports import ExportTruth, write_extended_export
from echostats_pipeline.stages import statistics as statistics_stage
from echostats_pipeline.stages.imports import import_export
from echostats_pipeline.stages.statistics import RebuildResult, rebuild_rollups, rebuild_snapshots
from echostats_pipeline.storage.plays import PlayStore
from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline_tests.conftest import NOW, Counted, Installation, documents
from echostats_pipeline_tests.stages.test_catalog import enrich
from echostats_pipeline_tests.stages.test_ingestion import sync

SPAN = DayWindow(NOW.date() - timedelta(days=60), NOW.date() + timedelta(days=2))
TIMELESS = ("_id", "computed_at")
PLAYS_READ = PlayStore.read


def rebuild(installation: Installation, user: User, days: set[date]) -> RebuildResult:
    return rebuild_rollups(installation.store, user, days, min_play_ms=30_000, progress=Counted())


def catch_up(installation: Installation, user: User) -> None:
    rebuild(installation, user, installation.store.marks.pending_days(user.user_id))
    rebuild_snapshots(installation.store, user, installation.now())


def statistics(installation: Installation) -> list[list[dict[str, Any]]]:
    return [
        documents(installation.store.db, name, without=TIMELESS) for name in ("daily_rollups", "analytics_snapshots")
    ]


def exported(installation: Installation, user: User, path: Path) -> ExportTruth:
    end = installation.now() - timedelta(days=1)
    world, person = installation.simulator.world, installation.person(user)
    return write_extended_export(world, person, end - timedelta(days=30), end, path)


def test_building_as_it_comes_is_building_from_scratch(installation: Installation, tmp_path: Path) -> None:
    user, store = installation.connect(), installation.store
    installation.clock.advance(-timedelta(days=2))
    for step in range(5):
        sync(installation, user)
        if step == 2:
            exported(installation, user, tmp_path / "export.zip")
            import_export(store, user, [tmp_path / "export.zip"], progress=Counted(), clock=installation.now)
        catch_up(installation, user)
        if step == 3:
            enrich(installation, user)
        installation.clock.advance(timedelta(hours=9))
    catch_up(installation, user)
    incremental = statistics(installation)
    assert len(incremental[0]) > 20
    assert len(incremental[1]) == len(PERIODS)
    for name in ("daily_rollups", "analytics_snapshots", "change_marks"):
        store.db[name].delete_many({})
    rebuild(installation, user, set(SPAN.dates()))
    rebuild_snapshots(store, user, installation.now())
    assert statistics(installation) == incremental


def test_the_rollups_hold_every_play_once(installation: Installation, tmp_path: Path) -> None:
    user = installation.connect()
    truth = exported(installation, user, tmp_path / "export.zip")
    import_export(installation.store, user, [tmp_path / "export.zip"], progress=Counted(), clock=installation.now)
    rebuilt = rebuild(installation, user, set(SPAN.dates()))
    rollups = documents(installation.store.db, "daily_rollups")
    assert sum(rollup["total_rows"] for rollup in rollups) == truth.music_rows == rebuilt.plays
    assert rebuilt.days == 63
    assert rebuilt.rollups == rebuilt.written == len(rollups)


def test_days_with_many_plays_are_built_in_several_passes(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, store = installation.connect(), installation.store
    exported(installation, user, tmp_path / "export.zip")
    import_export(store, user, [tmp_path / "export.zip"], progress=Counted(), clock=installation.now)
    whole = rebuild(installation, user, set(SPAN.dates()))
    at_once = documents(store.db, "daily_rollups", without=TIMELESS)
    store.db["daily_rollups"].delete_many({})
    read: list[int] = []

    def counted(self: PlayStore, *arguments: Any) -> pl.DataFrame:
        found = PLAYS_READ(self, *arguments)
        read.append(found.height)
        return found

    monkeypatch.setattr(PlayStore, "read", counted)
    monkeypatch.setattr(statistics_stage, "MOST_PLAYS_AT_ONCE", whole.plays // 4)
    assert rebuild(installation, user, set(SPAN.dates())) == whole
    assert documents(store.db, "daily_rollups", without=TIMELESS) == at_once
    assert len(read) >= 4
    assert max(read) < whole.plays * 3 // 4


def test_rebuilding_what_has_not_changed_writes_nothing_and_wakes_nobody(installation: Installation) -> None:
    user, store = installation.connect(), installation.store
    sync(installation, user)
    catch_up(installation, user)
    assert store.marks.pending("daily_rollups") == store.marks.pending("analytics_snapshots") == {}
    assert rebuild(installation, user, set(SPAN.dates())).written == 0
    assert store.marks.pending("analytics_snapshots") == {}


def test_rollups_that_changed_make_the_snapshots_wait(installation: Installation) -> None:
    user, store = installation.connect(), installation.store
    sync(installation, user)
    rebuild(installation, user, store.marks.pending_days(user.user_id))
    assert list(store.marks.pending("analytics_snapshots")) == [user.user_id]


def test_a_day_that_lost_its_plays_loses_its_rollup(installation: Installation) -> None:
    user, store = installation.connect(), installation.store
    sync(installation, user)
    catch_up(installation, user)
    store.db["listening_history"].delete_many({})
    rebuild(installation, user, set(SPAN.dates()))
    assert documents(store.db, "daily_rollups") == []
    rebuild_snapshots(store, user, installation.now())
    assert {found["total_tracks_played"] for found in documents(store.db, "analytics_snapshots")} == {0}


def test_the_first_snapshots_tell_of_tracks_that_rollups_still_know(installation: Installation) -> None:
    user, store = installation.connect(), installation.store
    sync(installation, user)
    catch_up(installation, user)
    before = documents(store.db, "analytics_snapshots", without=("_id", "computed_at"))
    assert all(snapshot["top_artists"] for snapshot in before)
    for name in ("statistics_years", "statistics_catalog"):
        store.db[name].delete_many({})
    store.db["listening_history"].delete_many({})
    rebuild_snapshots(store, user, installation.now())
    assert documents(store.db, "analytics_snapshots", without=("_id", "computed_at")) == before


def test_a_user_without_plays_has_empty_snapshots(installation: Installation) -> None:
    user = installation.connect()
    assert set(rebuild_snapshots(installation.store, user, NOW).documents) == set(PERIODS)
    snapshot = installation.store.statistics.snapshot(user.user_id, "all_time")
    assert (snapshot.total_tracks_played, snapshot.top_artists, snapshot.avg_audio_features) == (0, [], None)


def test_no_days_are_no_work(installation: Installation) -> None:
    assert rebuild(installation, installation.connect(), set()) == RebuildResult()
