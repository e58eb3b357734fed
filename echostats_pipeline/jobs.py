"""The jobs people and sensors launch: which assets make up a run."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dagster as dg

from echostats_pipeline.assets.analytics import analytics_snapshots
from echostats_pipeline.assets.catalog import albums, artists, audio_features, tracks
from echostats_pipeline.assets.ingestion import listening_history, recently_played, streaming_history_import
from echostats_pipeline.assets.library import playlists, saved_tracks, top_items
from echostats_pipeline.assets.rollups import daily_rollups

USER_TAG = "echostats/user"
"""Run tag with the partition key of the user a run serves; two runs of one user never execute at once."""

user_sync = dg.define_asset_job(
    "user_sync",
    [recently_played, listening_history, daily_rollups],
    description="Read a user's recent plays, merge them into the history, rebuild the days they touch.",
)
rollup_build = dg.define_asset_job(
    "rollup_build",
    [listening_history, daily_rollups],
    description="Rebuild a range of days from the history.",
)
snapshot_build = dg.define_asset_job(
    "snapshot_build", [analytics_snapshots], description="Rebuild the statistics of all periods of a user."
)
library_sync = dg.define_asset_job(
    "library_sync",
    [playlists, saved_tracks, top_items],
    description="Read a user's playlists, saved tracks and top items.",
)
history_import = dg.define_asset_job(
    "history_import",
    [streaming_history_import],
    description="Import a user's extended streaming history from a path given in the run's configuration.",
)
catalog_enrichment = dg.define_asset_job(
    "catalog_enrichment",
    [tracks, artists, albums, audio_features],
    description="Complete the catalogue for everything that has been played.",
)


def import_config(paths: Iterable[Path]) -> dict[str, Any]:
    """The configuration of a run of `history_import`."""
    return {"ops": {streaming_history_import.op.name: {"config": {"paths": [str(path) for path in paths]}}}}


JOBS = (user_sync, rollup_build, snapshot_build, library_sync, history_import, catalog_enrichment)
