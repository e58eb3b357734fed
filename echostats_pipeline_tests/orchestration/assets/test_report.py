"""The asset ``listening_report``: a file, and a link to it on the page of the run."""

from pathlib import Path

import dagster as dg

from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.orchestration.automation.schedules import daily_report
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline_tests.conftest import NOW, Pipeline
from echostats_pipeline_tests.orchestration.instance_factories import OURS, instance_with
from echostats_pipeline_tests.report.page_assertions import assert_loads_nothing


def test_a_run_writes_the_report_and_links_it(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    tags = range_tags(NOW.date(), NOW.date(), user.partition_key)
    assert pipeline.run("user_sync", tags=tags).success
    assert pipeline.run("snapshot_build", partition_key=user.partition_key).success
    result = pipeline.run("report_build", partition_key=user.partition_key)
    assert result.success
    (materialization,) = result.asset_materializations_for_node("listening_report")
    metadata = {name: value.value for name, value in materialization.metadata.items()}
    path = Path(str(metadata["file"]))
    assert path == pipeline.installation.settings.home / "reports" / f"{user.partition_key}.html"
    assert metadata["open"] == path.as_uri()
    assert metadata["size_bytes"] == path.stat().st_size
    assert int(str(metadata["charts"])) >= 3
    assert_loads_nothing(path.read_text(encoding="utf-8"))
    job = next(job for job in pipeline.store.jobs.of_run(result.run_id))
    assert [step.action for step in job.steps] == ["listening_report"]


def test_a_user_without_statistics_has_no_report_and_no_failure(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    result = pipeline.run("report_build", partition_key=user.partition_key)
    assert result.success
    assert list(pipeline.installation.settings.home.glob("reports/*")) == []
    (job,) = pipeline.store.jobs.of_run(result.run_id)
    assert "Nothing to report" in job.steps[0].detail


def test_every_night_everybody_gets_one(pipeline: Pipeline, tmp_path: Path) -> None:
    users = [pipeline.connect(number) for number in range(2)]
    pipeline.store.users.set_status(users[1].user_id, "paused")
    keys = [user.partition_key for user in users]
    with instance_with(OURS, tmp_path / "dagster") as stored:
        stored.add_dynamic_partitions("users", keys)
        repository = build_definitions(pipeline.resources()).get_repository_def()
        with dg.build_schedule_context(
            instance=stored, resources=pipeline.resources(), repository_def=repository
        ) as context:
            ticked = daily_report.evaluate_tick(context)
    assert [request.partition_key for request in ticked.run_requests or []] == keys
