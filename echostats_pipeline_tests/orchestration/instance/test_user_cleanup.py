"""Users removed during a run: the run goes on for the others, and nothing of the removed user stays."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from echostats_pipeline.accounts.removal import remove_user
from echostats_pipeline.importers.reading import read_export
from echostats_pipeline.model.operations import ApiLog
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.assets import ingestion
from echostats_pipeline.orchestration.checks import examined_users
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.orchestration.tags import USER_TAG
from echostats_pipeline.stages import imports
from echostats_pipeline.stages.merging import RowMerger
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW, Pipeline, documents
from echostats_pipeline_tests.orchestration.automation.test_alerts import breaking, told_of
from echostats_pipeline_tests.orchestration.test_jobs import import_config, write_export

TODAY = NOW.date()


def traces(store: Store, user: User) -> list[str]:
    """Collections with a document that contains the user's id or partition key."""
    return [
        name
        for name in store.db.list_collection_names()
        if name != "removed_users"
        and any(word in repr(list(store.db[name].find())) for word in (user.user_id, user.partition_key))
    ]


def sync(pipeline: Pipeline, *users: User) -> dg.ExecuteInProcessResult:
    keys = [user.partition_key for user in users]
    return pipeline.run("user_sync", tags=range_tags(TODAY, TODAY, keys[0], keys[-1]))


def removing(pipeline: Pipeline, user: User, call: Callable[..., Any]) -> Callable[..., Any]:
    """The same function. After its call for a user, it removes the user and writes a document for them."""

    def then_removed(*arguments: Any, **named: Any) -> Any:
        result = call(*arguments, **named)
        if user in arguments:
            remove_user(pipeline.store, user, NOW)
            assert pipeline.store.owned.counts(user) == {}
            pipeline.store.marks.ask(user.user_id, "analytics_snapshots")
            pipeline.store.db["api_logs"].insert_one(ApiLog(user_id=user.user_id).to_bson())
        return result

    return then_removed


@pytest.mark.parametrize("during", ["read_recently_played", "merge_pages"])
def test_a_user_removed_while_they_are_synced_leaves_nothing_and_fails_nobody(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, during: str
) -> None:
    users = [pipeline.connect(number) for number in range(2)]
    monkeypatch.setattr(ingestion, during, removing(pipeline, users[0], getattr(ingestion, during)))
    result = sync(pipeline, *users)
    assert result.success
    assert pipeline.store.removals.leftovers() == {}
    assert traces(pipeline.store, users[0]) == []
    (job,) = pipeline.store.jobs.of_run(result.run_id)
    assert (job.user_id, job.status, len(job.steps)) == (users[1].user_id, "completed", 3)
    assert pipeline.store.users.plays_stored(users[1].user_id) > 0


def test_a_user_removed_before_a_run_begins_is_passed_over(pipeline: Pipeline) -> None:
    users = [pipeline.connect(number) for number in range(2)]
    remove_user(pipeline.store, users[0], NOW)
    result = sync(pipeline, *users)
    assert result.success
    assert traces(pipeline.store, users[0]) == []
    assert [job.user_id for job in pipeline.store.jobs.of_run(result.run_id)] == [users[1].user_id]


def test_a_removal_that_has_only_begun_keeps_runs_from_working_for_the_user(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    pipeline.store.removals.remember(user.user_id, NOW)
    assert sync(pipeline, user).success
    assert traces(pipeline.store, user) == []


def test_somebody_nobody_knows_is_still_a_failure(pipeline: Pipeline) -> None:
    pipeline.instance.add_dynamic_partitions("users", ["nobody-abcdef"])
    assert not pipeline.run("user_sync", tags=range_tags(TODAY, TODAY, "nobody-abcdef")).success


def test_an_import_stops_when_its_user_is_removed(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, merge, chunks = pipeline.connect(), RowMerger.merge, 0

    def counted(self: RowMerger, rows: pl.DataFrame) -> Iterator[Any]:
        nonlocal chunks
        chunks += 1
        yield from merge(self, rows)
        if chunks == 2:
            remove_user(pipeline.store, user, NOW)

    monkeypatch.setattr(RowMerger, "merge", counted)
    monkeypatch.setattr(imports, "read_export", partial(read_export, chunk_rows=50))
    path = write_export(pipeline, user, tmp_path / "my_spotify_data.zip", days=60)
    result = pipeline.run("history_import", partition_key=user.partition_key, run_config=import_config(path))
    assert result.success
    assert chunks == 2
    assert pipeline.store.removals.leftovers() == {}
    assert traces(pipeline.store, user) == []


def test_every_night_what_came_late_is_swept_and_said_in_numbers(pipeline: Pipeline) -> None:
    user, other = pipeline.connect(0), pipeline.connect(1)
    imports_dir = pipeline.installation.settings.imports_dir
    remove_user(pipeline.store, user, NOW)
    for key in (user.partition_key, other.partition_key):  # as sensors do that looked a moment before
        (imports_dir / key).mkdir(parents=True)
    pipeline.store.marks.ask(user.user_id, "analytics_snapshots")
    result = pipeline.run("retention")
    assert result.success
    assert pipeline.store.removals.leftovers() == {}
    assert list(pipeline.instance.get_dynamic_partitions("users")) == [other.partition_key]
    assert [path.name for path in imports_dir.iterdir()] == [other.partition_key]
    (output,) = (
        event.step_output_data
        for event in result.all_events
        if event.is_successful_output and "sweep" in event.step_key
    )
    numbers = {name: value.value for name, value in output.metadata.items()}
    assert (numbers["removed_users"], numbers["documents"], numbers["partitions_or_folders"]) == (1, 2, 1)


def test_what_was_dropped_for_a_removed_user_is_not_deleted_unseen(pipeline: Pipeline) -> None:
    user, folder = pipeline.connect(), pipeline.installation.settings.imports_dir
    remove_user(pipeline.store, user, NOW)
    (folder / user.partition_key).mkdir(parents=True)
    (folder / user.partition_key / "my_spotify_data.zip").write_bytes(b"x")
    assert pipeline.run("retention").success
    assert (folder / user.partition_key / "my_spotify_data.zip").exists()


def test_checks_pass_over_users_who_were_removed(pipeline: Pipeline) -> None:
    users = [pipeline.connect(number) for number in range(2)]
    remove_user(pipeline.store, users[0], NOW)
    run = dg.DagsterRun(job_name="any", tags=range_tags(TODAY, TODAY, *[user.partition_key for user in users]))

    class Context:
        instance = pipeline.instance

    Context.run = run  # type: ignore[attr-defined]

    class Opened:
        def get(self) -> Store:
            return pipeline.store

    assert [each.user for each in examined_users(Context(), Opened())] == [users[1]]  # type: ignore[arg-type]


def test_a_run_that_fails_for_a_removed_user_is_nobodys_incident(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    remove_user(pipeline.store, user, NOW)
    for key, opened in ((user.partition_key, 0), ("somebody-else", 1)):
        run_id = breaking.execute_in_process(
            instance=pipeline.instance, raise_on_error=False, tags={USER_TAG: key}
        ).run_id
        told_of(pipeline, run_id)
        assert len(documents(pipeline.store.db, "incidents")) == opened


def test_incidents_that_name_a_removed_user_by_key_alone_are_swept(pipeline: Pipeline) -> None:
    users = [pipeline.connect(number) for number in range(2)]
    keys = [user.partition_key for user in users]
    incident = {"kind": "run", "subject": "s", "cause": "c", "opened_at": NOW, "last_seen_at": NOW, "user_id": ""}
    pipeline.store.db["incidents"].insert_many(
        {**incident, "key": f"run:user_sync:{key}", "user_key": key}
        for key in (keys[0], keys[1], "..".join(keys), "..".join(reversed(keys)), "")
    )
    remove_user(pipeline.store, users[0], NOW)
    assert [each["user_key"] for each in documents(pipeline.store.db, "incidents")] == ["", keys[1]]
