"""Dagster definitions: assets, jobs, sensors, schedules and resources. Nothing is read at import."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg

from echostats_pipeline.orchestration.assets import (
    catalog,
    ingestion,
    library,
    playlists,
    recommendations,
    report,
    rollups,
    scrobbles,
    snapshots,
    sources,
)
from echostats_pipeline.orchestration.assets.marts import (
    answered_queries,
    echotune,
    playlist_generator,
    spotify_analytics,
)
from echostats_pipeline.orchestration.assets.warehouse import warehouse_plays, warehouse_profile, warehouse_tracks
from echostats_pipeline.orchestration.automation.alerts import ALERT_SENSORS
from echostats_pipeline.orchestration.automation.mart_sensors import MART_SENSORS
from echostats_pipeline.orchestration.automation.schedules import SCHEDULES
from echostats_pipeline.orchestration.automation.sensors import SENSORS, sync_sensors
from echostats_pipeline.orchestration.checks import CHECKS, MART_CHECKS
from echostats_pipeline.orchestration.dagster_patches.upstream_partitions import list_no_days_above_steps
from echostats_pipeline.orchestration.instance.sensor_roster import Beginning, Roster
from echostats_pipeline.orchestration.jobs import JOBS, MART_JOBS
from echostats_pipeline.orchestration.partitions import is_by_day, user_days
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.spotify import SpotifyResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.orchestration.resources.tag_sources import TagSourcesResource
from echostats_pipeline.orchestration.runs import SyncJobsResource
from echostats_pipeline.settings import Mart, Settings, load_settings

MODULES = (
    sources,
    ingestion,
    rollups,
    snapshots,
    recommendations,
    playlists,
    report,
    scrobbles,
    library,
    catalog,
)
MARTS: Mapping[Mart, Sequence[dg.AssetsDefinition]] = {
    "echotune": (echotune,),
    "playlist_generator": (answered_queries, playlist_generator),
    "spotify_analytics": (spotify_analytics,),
    "warehouse": (warehouse_plays, warehouse_tracks, warehouse_profile),
}
"""The assets of each mart."""


def build_resources(store: StoreResource | None = None, clock: ClockResource | None = None) -> dict[str, Any]:
    """Build the resources of all assets and sensors.

    Args:
        store: Used in place of the store that the environment names.
        clock: Used in place of real time.
    """
    store, clock = store or StoreResource(), clock or ClockResource()
    return {
        "clock": clock,
        "store": store,
        "spotify": SpotifyResource(store=store, clock=clock),
        "tag_sources": TagSourcesResource(store=store, clock=clock),
        "jobs": SyncJobsResource(store=store, clock=clock),
    }


def build_definitions(
    resources: Mapping[str, Any] | None = None,
    *,
    roster: Sequence[str] = (),
    settings: Settings | None = None,
    first: date | None = None,
) -> dg.Definitions:
    """Build all definitions that Dagster runs.

    Args:
        resources: Used in place of `build_resources`.
        roster: Partition keys of the users.
        settings: Installed marts, sync interval, and whether each user has a sensor of their own; None for the
            defaults.
        first: The day of the first known play, with which the daily partitions begin; None if it is unknown.
    """
    settings = settings or Settings(home=Path())
    marts = settings.installed_marts
    list_no_days_above_steps()
    return dg.Definitions(
        assets=[
            *_since(first, dg.load_assets_from_modules(MODULES)),
            *(asset for mart in marts for asset in MARTS[mart]),
        ],
        asset_checks=[*CHECKS, *(check for mart in marts for check in MART_CHECKS[mart])],
        jobs=[*JOBS, *(job for mart in marts for job in MART_JOBS[mart])],
        sensors=[
            *SENSORS,
            *(sensor for mart in marts for sensor in MART_SENSORS[mart]),
            *ALERT_SENSORS,
            *sync_sensors(roster, settings),
        ],
        schedules=SCHEDULES,
        resources=resources or build_resources(),
        # One process per run: a second one per step costs two CPU seconds and outlives a killed run.
        executor=dg.in_process_executor,
    )


def _since(first: date | None, assets: Sequence[Any]) -> Sequence[Any]:
    """Return the assets with daily partitions that begin with the given day."""
    if first is None:
        return assets
    days = user_days(first)

    def begun(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.replace_attributes(partitions_def=days) if is_by_day(spec.partitions_def) else spec

    return dg.map_asset_specs(begun, assets)


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions; ``workspace.yaml`` loads this function."""
    settings = load_settings()
    first = Beginning(settings.home).read() if settings.one_machine else None
    return build_definitions(roster=Roster(settings.home).read(), settings=settings, first=first)
