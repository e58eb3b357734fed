"""Every sensor and schedule, ticked as by the daemon, through Dagster's own evaluation."""

from pathlib import Path

import dagster as dg
import pytest

from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.orchestration.automation.alerts import ALERT_SENSORS
from echostats_pipeline.orchestration.automation.schedules import SCHEDULES
from echostats_pipeline.orchestration.automation.sensors import SENSORS, fan_out_sensor, sync_sensor
from echostats_pipeline.orchestration.partitions import RANGE_START
from echostats_pipeline_tests.conftest import Pipeline
from echostats_pipeline_tests.orchestration.instance_factories import OURS, instance_with

# Sensors that follow runs have a cursor of the daemon; the first tick only sets it.
TICKED = [*SENSORS, *ALERT_SENSORS, fan_out_sensor(15, 50)]


@pytest.mark.parametrize("sensor", TICKED, ids=lambda sensor: sensor.name)
def test_a_first_tick_of_a_sensor_ends_well(pipeline: Pipeline, tmp_path: Path, sensor: dg.SensorDefinition) -> None:
    user = pipeline.installation.connect()
    with instance_with(OURS, tmp_path / "dagster") as stored:
        stored.add_dynamic_partitions("users", [user.partition_key])
        definitions = build_definitions(pipeline.resources())
        with dg.build_sensor_context(
            instance=stored,
            resources=pipeline.resources(),
            repository_def=definitions.get_repository_def(),
            sensor_name=sensor.name,
        ) as context:
            tick = sensor.evaluate_tick(context)
    assert tick.run_requests or tick.skip_message or tick.cursor
    for request in tick.run_requests or []:
        assert request.tags or sensor.name == "incomplete_catalog"


def test_a_tick_of_a_users_sensor_asks_for_their_days(pipeline: Pipeline) -> None:
    user = pipeline.connect()
    with dg.build_sensor_context(instance=pipeline.instance, resources=pipeline.resources()) as context:
        (request,) = sync_sensor(user.partition_key, 15).evaluate_tick(context).run_requests or []
    assert request.tags[RANGE_START].endswith(user.partition_key)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.name)
def test_a_tick_of_a_schedule_asks_for_its_job(
    pipeline: Pipeline, tmp_path: Path, schedule: dg.ScheduleDefinition
) -> None:
    users = [pipeline.installation.connect(number) for number in range(2)]
    with instance_with(OURS, tmp_path / "dagster") as stored:
        stored.add_dynamic_partitions("users", [user.partition_key for user in users])
        repository = build_definitions(pipeline.resources()).get_repository_def()
        with dg.build_schedule_context(
            instance=stored, resources=pipeline.resources(), repository_def=repository
        ) as context:
            requests = schedule.evaluate_tick(context).run_requests or []
    assert len(requests) == (1 if schedule.name.startswith("nightly") else 2)
    assert len({request.run_key for request in requests}) == len(requests)
