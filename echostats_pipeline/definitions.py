"""The whole wiring in one screen. Nothing is read before Dagster asks for the definitions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from echostats_pipeline.alerts import ALERT_SENSORS
from echostats_pipeline.assets import analytics, catalog, ingestion, library, report, rollups
from echostats_pipeline.checks import CHECKS
from echostats_pipeline.jobs import JOBS
from echostats_pipeline.resources.clock import ClockResource
from echostats_pipeline.resources.jobs import SyncJobsResource
from echostats_pipeline.resources.spotify import SpotifyResource
from echostats_pipeline.resources.store import StoreResource
from echostats_pipeline.roster import Roster
from echostats_pipeline.schedules import SCHEDULES
from echostats_pipeline.sensors import SENSORS, sync_sensors
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.steps import list_no_days_above_steps


def build_resources(overrides: Mapping[str, str] | None = None, *, clock_offset_seconds: float = 0.0) -> dict[str, Any]:
    """The resources of all assets and sensors.

    Args:
        overrides: Settings by their environment names that win over the environment.
        clock_offset_seconds: How far ahead of real time this pipeline lives, for simulations.
    """
    clock = ClockResource(offset_seconds=clock_offset_seconds)
    store = StoreResource(overrides=dict(overrides or {}))
    return {
        "clock": clock,
        "store": store,
        "spotify": SpotifyResource(store=store, clock=clock),
        "jobs": SyncJobsResource(store=store, clock=clock),
    }


def build_definitions(
    resources: Mapping[str, Any] | None = None, *, roster: Sequence[str] = (), settings: Settings | None = None
) -> dg.Definitions:
    """Everything Dagster runs.

    Args:
        resources: In place of `build_resources`.
        roster: Partition keys of the users.
        settings: How often they are synced, and whether each by a sensor of their own; the defaults if None.
    """
    settings = settings or Settings(home=Path())
    list_no_days_above_steps()
    return dg.Definitions(
        assets=dg.load_assets_from_modules([ingestion, rollups, analytics, report, library, catalog]),
        asset_checks=CHECKS,
        jobs=JOBS,
        sensors=[*SENSORS, *ALERT_SENSORS, *sync_sensors(roster, settings)],
        schedules=SCHEDULES,
        resources=resources or build_resources(),
        # One process per run: a second one per step costs two CPU seconds and outlives a killed run.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What ``workspace.yaml`` loads."""
    settings = load_settings()
    return build_definitions(roster=Roster(settings.home).read(), settings=settings)
