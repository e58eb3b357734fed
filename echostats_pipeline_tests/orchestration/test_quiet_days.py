"""Days without plays are not missing: they are reported once, and no day that waits is reported with them."""

from collections.abc import Callable
from datetime import date, timedelta

import dagster as dg
import pytest
from rich.console import Console

from echostats_pipeline.cli.instance import Runner
from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.model.plays import Play, TrackSnapshot
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration import quiet_days
from echostats_pipeline.orchestration.instance.sensor_roster import Beginning, first_day_of
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline_tests.conftest import NOW, Pipeline
from echostats_pipeline_tests.orchestration.test_jobs import range_of

TODAY = NOW.date()
BEGIN = TODAY - timedelta(days=60)
BY_DAY = ("recently_played", "listening_history", "daily_rollups")

Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def run(pipeline: Pipeline) -> Run:
    """Execute a job of definitions whose days begin with `BEGIN`, or another day."""

    def execute(job: str, *users: User, days: int = 1, begin: date = BEGIN) -> dg.ExecuteInProcessResult:
        definitions = build_definitions(pipeline.resources(), first=begin)
        tags = range_of(TODAY - timedelta(days=days - 1), TODAY, *users)
        result = definitions.resolve_job_def(job).execute_in_process(instance=pipeline.instance, tags=tags)
        assert result.success
        return result

    return execute


def played(pipeline: Pipeline, user: User, day: date) -> None:
    """A play that nothing in the pipeline knows of."""
    at = NOW - (TODAY - day)
    play = Play(user_id=user.user_id, track=TrackSnapshot(spotify_id="t" * 22), played_at=at, ms_played=200_000)
    pipeline.store.db["listening_history"].insert_one(play.to_bson())


def missing(pipeline: Pipeline, asset: str, *users: User, begin: date = BEGIN) -> set[str]:
    every = DayWindow(begin, TODAY + timedelta(days=1)).dates()
    keys = {f"{day}|{user.partition_key}" for day in every for user in users}
    return keys - pipeline.materialized(asset)


def test_a_new_user_misses_no_day_after_one_sync(pipeline: Pipeline, run: Run) -> None:
    users = [pipeline.connect(number) for number in range(2)]
    run("user_sync", *users)
    assert {asset: missing(pipeline, asset, *users) for asset in BY_DAY} == {asset: set() for asset in BY_DAY}


def test_days_that_wait_or_have_plays_and_no_rollup_stay_missing(pipeline: Pipeline, run: Run) -> None:
    user = pipeline.connect()
    unbuilt, waiting = TODAY - timedelta(days=40), [TODAY - timedelta(days=number) for number in range(20, 55)]
    played(pipeline, user, unbuilt)
    pipeline.store.marks.ask(user.user_id, "daily_rollups", map(str, waiting))
    run("rollup_build", user)
    assert missing(pipeline, "daily_rollups", user) == {f"{day}|{user.partition_key}" for day in {unbuilt, *waiting}}
    run("rollup_build", user, days=60)
    assert missing(pipeline, "daily_rollups", user) == set()


def test_what_was_reported_is_not_reported_again_and_older_days_follow(pipeline: Pipeline, run: Run) -> None:
    user = pipeline.connect()
    run("rollup_build", user)

    def events() -> int:
        records = pipeline.instance.fetch_materializations(dg.AssetKey("daily_rollups"), limit=10_000).records
        return len(records)

    before = events()
    run("rollup_build", user)
    assert events() == before + 1, "the run's own day"
    earlier = BEGIN - timedelta(days=30)
    run("rollup_build", user, begin=earlier)
    assert events() == before + 2 + 30
    assert missing(pipeline, "daily_rollups", user, begin=earlier) == set()


def test_what_an_earlier_version_has_built_is_not_reported_again(pipeline: Pipeline, run: Run) -> None:
    user = pipeline.connect()
    assert pipeline.run("rollup_build", tags=range_of(BEGIN, TODAY, user)).success
    found = len(pipeline.instance.fetch_materializations(dg.AssetKey("daily_rollups"), limit=10_000).records)
    run("rollup_build", user)
    again = len(pipeline.instance.fetch_materializations(dg.AssetKey("daily_rollups"), limit=10_000).records)
    assert again == found + 2, "the run's own day, and tomorrow"


def test_of_too_many_users_nothing_is_reported(pipeline: Pipeline, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    user = pipeline.connect()
    monkeypatch.setattr(quiet_days, "MOST_KEYS", 61)
    run("rollup_build", user)
    assert pipeline.materialized("daily_rollups") == {f"{TODAY}|{user.partition_key}"}


def test_the_days_begin_with_the_first_play_of_anybody_and_never_later_again(pipeline: Pipeline) -> None:
    users, home = [pipeline.connect(number) for number in range(2)], pipeline.installation.settings.home
    assert first_day_of(pipeline.store, users, NOW) == TODAY - timedelta(days=16)
    played(pipeline, users[1], date(2019, 5, 4))
    assert first_day_of(pipeline.store, users, NOW) == date(2019, 5, 4)
    played(pipeline, users[0], date(1970, 1, 2))
    assert first_day_of(pipeline.store, users, NOW) == date(2002, 1, 1)
    beginning = Beginning(home)
    assert beginning.read() is None
    assert [beginning.move(date(2019, 5, 4)), beginning.move(TODAY), beginning.move(date(2012, 1, 1))] == [
        True,
        False,
        True,
    ]
    assert beginning.read() == date(2012, 1, 1)


def test_a_run_of_the_command_line_belongs_to_its_job_and_is_not_repeated_by_the_daemon(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    console = Console(quiet=True)
    runner = Runner(pipeline.instance, pipeline.store, pipeline.installation.settings, console, pipeline.resources())
    run_id = runner.run("Rebuilding", "rollup_build", tags=range_tags(TODAY, TODAY, user.partition_key))
    made = pipeline.instance.get_run_by_id(run_id)
    assert made is not None
    assert made.remote_job_origin is not None
    assert made.remote_job_origin.location_name == "echostats_pipeline"
    assert (made.job_name, made.remote_job_origin.job_name) == ("rollup_build", "rollup_build")
    assert made.tags["dagster/max_retries"] == "0"
    of_job = dg.RunsFilter(job_name="rollup_build", tags={".dagster/repository": "__repository__@echostats_pipeline"})
    assert [run.run_id for run in pipeline.instance.get_runs(of_job)] == [run_id]
