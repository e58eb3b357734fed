"""``echostats backfill``: which days it rebuilds in which runs, its output, and what it refuses."""

import os
import re
import signal
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from echostats_pipeline.cli.backfill import days_of
from echostats_pipeline.cli.instance import open_instance
from echostats_pipeline.errors import EchostatsError, StorageError
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.partitions import RANGE_END, RANGE_START, last_day
from echostats_pipeline.orchestration.quiet_days import NOTHING_TO_DO
from echostats_pipeline.stages import statistics
from echostats_pipeline.storage.statistics import StatisticsStore
from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline_tests.cli.conftest import Echostats, Ended, refused
from echostats_pipeline_tests.conftest import NOW, Installation, documents
from echostats_pipeline_tests.docs.pages import blocks

pytestmark = pytest.mark.dagster

FIRST = date(2025, 3, 1)


def listener(installation: Installation, name: str, days: int = 10, *, timezone: str = "UTC") -> User:
    """A user with a play at 23:30 UTC on this number of days."""
    user = installation.store.users.connect(
        {"spotify_id": name, "display_name": name.title()}, authorized_at=NOW, simulated=True, timezone=timezone
    )
    track = {"spotify_id": "t", "name": "Name", "artist_name": "Artist", "album_name": "Album", "duration_ms": 200_000}
    if days:
        installation.store.db["listening_history"].insert_many(
            {
                "user_id": user.user_id,
                "played_at": datetime(2025, 3, 1, 23, 30, tzinfo=UTC) + timedelta(days=number),
                "ms_played": 200_000,
                "track": {**track, "album_image_url": ""},
                "source": "import",
            }
            for number in range(days)
        )
    return user


def keys_of(user: User, first: date, last: date) -> set[str]:
    return {f"{day}|{user.partition_key}" for day in DayWindow(first, last).dates()}


def runs_of(installation: Installation, job: str) -> list[dg.DagsterRun]:
    """The runs of a job, the oldest first."""
    with open_instance(installation.settings) as instance:
        return list(instance.get_runs(dg.RunsFilter(job_name=job)))[::-1]


def materialized(installation: Installation, asset: str) -> set[str]:
    """The days that were built. Days without work are also reported as built; they are left out here."""
    with open_instance(installation.settings) as instance:
        found = instance.fetch_materializations(dg.AssetKey(asset), limit=10_000).records
    built = [each.asset_materialization for each in found if each.asset_materialization is not None]
    return {str(each.partition) for each in built if each.description != NOTHING_TO_DO}


def rollup_dates(installation: Installation, user: User) -> list[str]:
    found = installation.store.db["daily_rollups"].find({"user_id": user.user_id}).sort("date")
    return [rollup["date"] for rollup in found]


def nothing_was_done(installation: Installation) -> bool:
    return not runs_of(installation, "rollup_build") and documents(installation.store.db, "sync_jobs") == []


def row_of(said: str, user: User) -> list[str]:
    """The cells of a user's row in the table."""
    return next(row for line in said.splitlines() if (row := line.split())[:1] == [user.partition_key])


def succeeded(ended: Ended) -> str:
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_without_options_everybodys_own_history_is_rebuilt(installation: Installation, echostats: Echostats) -> None:
    ann, bob = listener(installation, "ann"), listener(installation, "bob", 3, timezone="Asia/Tokyo")
    said = succeeded(echostats("backfill"))
    wanted = keys_of(ann, FIRST, date(2025, 3, 10)) | keys_of(bob, date(2025, 3, 2), date(2025, 3, 4))
    assert materialized(installation, "daily_rollups") == wanted
    assert materialized(installation, "listening_history") == wanted
    assert materialized(installation, "analytics_snapshots") == {ann.partition_key, bob.partition_key}
    assert len(rollup_dates(installation, ann)) == 10
    assert rollup_dates(installation, bob) == ["2025-03-02", "2025-03-03", "2025-03-04"]
    runs = [*runs_of(installation, "rollup_build"), *runs_of(installation, "snapshot_build")]
    assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS] * 4
    assert all(run.run_id in said for run in runs)
    assert "echostats up" in said
    row = row_of(said, ann)
    assert row[:7] == [ann.partition_key, "2025-03-01", "2025-03-10", "10", "10", "10", "completed"]
    assert {job["status"] for job in documents(installation.store.db, "sync_jobs")} == {"completed"}


def test_a_range_of_users_added_one_after_the_other_is_one_run(
    installation: Installation, echostats: Echostats
) -> None:
    users = [listener(installation, name) for name in ("ann", "bob", "cy", "dee")]
    ann, bob, cy, dee = users
    with open_instance(installation.settings) as instance:
        instance.add_dynamic_partitions("users", [user.partition_key for user in users])
    options = ("--from", "2025-03-02", "--to", "2025-03-05", "--no-snapshots")
    named = [option for user in (dee, bob, ann) for option in ("--user", user.partition_key)]
    succeeded(echostats("backfill", *options, *named, "--user", "Bob"))
    wanted = [keys_of(user, date(2025, 3, 2), date(2025, 3, 5)) for user in users]
    assert materialized(installation, "daily_rollups") == wanted[0] | wanted[1] | wanted[3]
    ends = [(run.tags[RANGE_START], run.tags[RANGE_END]) for run in runs_of(installation, "rollup_build")]
    assert ends == [
        (f"2025-03-02|{ann.partition_key}", f"2025-03-05|{bob.partition_key}"),
        (f"2025-03-02|{dee.partition_key}", f"2025-03-05|{dee.partition_key}"),
    ]
    assert runs_of(installation, "snapshot_build") == []
    assert rollup_dates(installation, cy) == []
    assert len(rollup_dates(installation, dee)) == 4


def test_what_is_there_already_is_not_written_again(installation: Installation, echostats: Echostats) -> None:
    ann = listener(installation, "ann")
    succeeded(echostats("backfill"))
    before = documents(installation.store.db, "daily_rollups", without=())
    said = succeeded(echostats("backfill", "--user", "ann"))
    row = row_of(said, ann)
    assert row[3:6] == ["10", "10", "0"]
    assert documents(installation.store.db, "daily_rollups", without=()) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--from", "2001-12-31"), ("2001-12-31", "2002-01-01")),
        (("--to", "2200-01-01"), ("2200-01-01", "tomorrow")),
        (("--from", "yesterday"), ("yesterday", "not a date")),
        (("--from", "2025-02-30"), ("2025-02-30", "not a date")),
        (("--to", "20250301"), ("20250301", "not a date")),
        (("--from", "2025-03-02", "--to", "2025-03-01"), ("2025-03-02", "2025-03-01", "after")),
    ],
)
def test_a_range_that_cannot_be_is_refused(
    installation: Installation, echostats: Echostats, options: tuple[str, ...], said: Iterable[str]
) -> None:
    listener(installation, "ann")
    ended = echostats("backfill", *options)
    assert ended.returncode == 2
    assert all(part in ended.stderr for part in said), ended.stderr
    assert nothing_was_done(installation)


def test_users_who_are_not_there_are_refused(installation: Installation, echostats: Echostats) -> None:
    assert "echostats connect" in refused(echostats("backfill"))
    ann, bob = listener(installation, "ann"), listener(installation, "bob", 0)
    said = refused(echostats("backfill", "--user", "ann", "--user", "nobody"))
    assert "'nobody'" in said
    assert ann.partition_key in said
    assert f"{bob.partition_key} has no plays" in refused(echostats("backfill", "--user", "ann", "--user", "bob"))
    assert "2025-03-10" in refused(echostats("backfill", "--user", "ann", "--from", "2025-03-11"))
    assert nothing_was_done(installation)


def test_of_all_users_those_without_plays_in_the_range_are_left_out(
    installation: Installation, echostats: Echostats
) -> None:
    early, late, silent = (
        listener(installation, "early", 3),
        listener(installation, "late", 10),
        listener(installation, "silent", 0),
    )
    said = succeeded(echostats("backfill", "--from", "2025-03-08", "--no-snapshots"))
    assert materialized(installation, "daily_rollups") == keys_of(late, date(2025, 3, 8), date(2025, 3, 10))
    assert f"Left out: {early.partition_key}" in said
    assert f"Left out: {silent.partition_key}" in said


def test_a_run_that_fails_is_named_and_the_others_are_executed(
    installation: Installation, echostats: Echostats, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = listener(installation, "ann"), listener(installation, "bob", 5)
    replace = StatisticsStore.replace_rollups

    def refused_for_ann(self: StatisticsStore, *arguments: Any) -> int:
        if ann.user_id in arguments:
            raise StorageError("no room")
        return replace(self, *arguments)

    monkeypatch.setattr(StatisticsStore, "replace_rollups", refused_for_ann)
    ended = echostats("backfill")
    assert ended.returncode == 1
    assert "Building 10 days of Ann failed" in ended.stderr
    assert "failed" in row_of(ended.stdout, ann)
    assert materialized(installation, "daily_rollups") == keys_of(bob, FIRST, date(2025, 3, 5))
    assert materialized(installation, "analytics_snapshots") == {bob.partition_key}
    monkeypatch.setattr(StatisticsStore, "replace_rollups", replace)
    succeeded(echostats("backfill"))
    assert keys_of(ann, FIRST, date(2025, 3, 10)) <= materialized(installation, "daily_rollups")


def test_interrupted_it_says_so_and_run_again_it_completes(
    installation: Installation, echostats: Echostats, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = listener(installation, "ann")
    monkeypatch.setattr(statistics, "MOST_DAYS_AT_ONCE", 3)
    replace, passes = StatisticsStore.replace_rollups, 0

    def pressed_before_the_third(self: StatisticsStore, *arguments: Any) -> int:
        nonlocal passes
        passes += 1
        if passes == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return replace(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(StatisticsStore, "replace_rollups", pressed_before_the_third)
        ended = echostats("backfill")
    assert ended.returncode == 130
    assert "marked failed" in ended.stderr
    assert "Stopped." in ended.stderr
    (job,) = documents(installation.store.db, "sync_jobs")
    assert (job["status"], bool(job["error_message"])) == ("failed", True)
    assert 6 <= len(rollup_dates(installation, ann)) < 10, "what was computed before is written"
    assert materialized(installation, "daily_rollups") == set()
    succeeded(echostats("backfill"))
    assert len(rollup_dates(installation, ann)) == 10
    assert materialized(installation, "daily_rollups") == keys_of(ann, FIRST, date(2025, 3, 10))


def test_the_days_begin_with_the_first_play_however_old(
    installation: Installation, echostats: Echostats, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("ingestion", "rollups"):  # of twenty years without a play, which take ten seconds to report
        monkeypatch.setattr(f"echostats_pipeline.orchestration.assets.{module}.report_quiet_days", lambda *_: None)
    ann, bob = listener(installation, "ann"), listener(installation, "bob", 1)
    history = installation.store.db["listening_history"]
    for user, day in ((ann, 3), (ann, 20), (bob, 7)):
        scrobble = {**documents(installation.store.db, "listening_history")[0], "user_id": user.user_id}
        history.insert_one({**scrobble, "played_at": datetime(2005, 1, day, 12, tzinfo=UTC), "import_key": str(day)})
    history.delete_many({"user_id": bob.user_id, "played_at": {"$gt": datetime(2010, 1, 1, tzinfo=UTC)}})
    succeeded(echostats("backfill", "--to", "2005-02-02", "--no-snapshots"))
    assert rollup_dates(installation, ann) == ["2005-01-03", "2005-01-20"]
    assert rollup_dates(installation, bob) == ["2005-01-07"]
    last = date(2005, 2, 2)
    wanted = keys_of(ann, date(2005, 1, 3), last) | keys_of(bob, date(2005, 1, 7), last)
    assert materialized(installation, "daily_rollups") == wanted


def test_a_range_ends_where_partitions_end(installation: Installation) -> None:
    user = listener(installation, "ann", 0)
    days = days_of(user, (datetime(2020, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)), None, None)
    assert days.last == last_day(utc_now())
    old = datetime(2005, 1, 1, tzinfo=UTC)
    with pytest.raises(EchostatsError, match="2005"):
        days_of(user, (old, old), date(2020, 1, 1), None)


def test_fourteen_years_are_one_run_with_a_status_per_day(installation: Installation, echostats: Echostats) -> None:
    ann, (first, last) = listener(installation, "ann"), (date(2011, 1, 1), date(2024, 12, 27))
    succeeded(echostats("backfill", "--from", str(first), "--to", str(last), "--no-snapshots"))
    assert materialized(installation, "daily_rollups") == keys_of(ann, first, last)
    assert len(keys_of(ann, first, last)) == 5110
    (run,) = runs_of(installation, "rollup_build")
    assert run.status == dg.DagsterRunStatus.SUCCESS


def test_the_example_of_the_docs_works_as_printed(installation: Installation, echostats: Echostats) -> None:
    (line,) = re.findall(r"^echostats (backfill .*)$", "\n".join(blocks("bash", "use/ui.md")), re.MULTILINE)
    ann = listener(installation, "ann")
    assert "completed" in row_of(succeeded(echostats(*line.split())), ann)
    assert len(rollup_dates(installation, ann)) == 10
