"""Sensors that close what a run has left open. They start no runs."""

import dagster as dg

from echostats_pipeline.orchestration.automation.readiness import ON
from echostats_pipeline.orchestration.instance.dead_runs import close_dead_runs
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.store import StoreResource


@dg.run_failure_sensor(
    minimum_interval_seconds=5, default_status=ON, description="Closes the job records of failed runs."
)
def failed_runs(context: dg.RunFailureSensorContext, store: StoreResource, clock: ClockResource) -> None:
    """Close the job records of a run that failed without closing them itself."""
    store.get().close_run(context.dagster_run.run_id, clock.now(), context.failure_event.message or "The run failed")


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.CANCELED,
    minimum_interval_seconds=5,
    default_status=ON,
    description="Closes the job records of canceled runs.",
)
def canceled_runs(context: dg.RunStatusSensorContext, store: StoreResource, clock: ClockResource) -> None:
    """Close the job records of a canceled run."""
    store.get().close_run(context.dagster_run.run_id, clock.now(), "The run was canceled")


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=ON,
    description="Closes the job records of runs that died unnoticed. It keeps no cursor.",
)
def dead_runs(context: dg.SensorEvaluationContext, store: StoreResource, clock: ClockResource) -> dg.SkipReason:
    """Close job records that no other sensor closes."""
    dead = close_dead_runs(context.instance, store.get(), clock.now())
    return dg.SkipReason(f"Closed the jobs of {', '.join(dead)}" if dead else "No job was left open by a dead run")
