"""Jobs that people and sensors launch: each selects the assets of a run."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from echostats_pipeline.orchestration.assets.catalog import albums, artist_tags, artists, audio_features, tracks
from echostats_pipeline.orchestration.assets.ingestion import (
    listening_history,
    recently_played,
    streaming_history_import,
)
from echostats_pipeline.orchestration.assets.library import playlists, saved_tracks, top_items
from echostats_pipeline.orchestration.assets.marts import (
    answered_queries,
    echotune,
    playlist_generator,
    spotify_analytics,
)
from echostats_pipeline.orchestration.assets.playlists import generated_playlists
from echostats_pipeline.orchestration.assets.recommendations import (
    artist_albums,
    item_neighbours,
    model_evaluation,
    recommendations,
    taste_vectors,
)
from echostats_pipeline.orchestration.assets.report import listening_report
from echostats_pipeline.orchestration.assets.rollups import daily_rollups
from echostats_pipeline.orchestration.assets.scrobbles import sent_plays
from echostats_pipeline.orchestration.assets.snapshots import analytics_snapshots
from echostats_pipeline.orchestration.assets.warehouse import warehouse_plays, warehouse_profile, warehouse_tracks
from echostats_pipeline.orchestration.checks import (
    before_rollups,
    of_analytics,
    of_echotune,
    of_models,
    of_playlist_generator,
    of_rollups,
    of_snapshots,
    of_tracks,
    of_warehouse,
)
from echostats_pipeline.orchestration.instance.retention import retention
from echostats_pipeline.orchestration.tags import AFTER_PLAYS, READS_ONLY, RETRIED, at_most
from echostats_pipeline.settings import Mart


def _selection(
    assets: Iterable[dg.AssetsDefinition], checks: Iterable[dg.AssetChecksDefinition] = ()
) -> dg.AssetSelection:
    """Assets with only the checks named here. All other checks wait for the audit, so that runs stay short."""
    return dg.AssetSelection.assets(*assets).without_checks() | dg.AssetSelection.checks(*checks)


def import_config(paths: Iterable[Path | str], handed_over: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The configuration of a run of `history_import`. A relative path is resolved in the user's import folder.

    Args:
        paths: The exports.
        handed_over: Names and versions of exports in the database, in place of paths.
    """
    config: dict[str, Any] = {"paths": [str(path) for path in paths]}
    if handed_over:
        config["handed_over"] = dict(handed_over)
    return {"ops": {streaming_history_import.op.name: {"config": config}}}


user_sync = dg.define_asset_job(
    "user_sync",
    _selection([recently_played, listening_history, daily_rollups], [before_rollups, of_rollups]),
    description="Read a user's recent plays, merge them into the history, rebuild the days that changed.",
    tags=at_most(minutes=15),
)
rollup_build = dg.define_asset_job(
    "rollup_build",
    _selection([listening_history, daily_rollups], [before_rollups, of_rollups]),
    description="Rebuild a range of days from the history.",
)
snapshot_build = dg.define_asset_job(
    "snapshot_build",
    _selection([analytics_snapshots], [of_snapshots]),
    description="Rebuild the statistics of all periods of a user.",
    tags=at_most(minutes=15),
)
model_build = dg.define_asset_job(
    "model_build",
    _selection([item_neighbours, model_evaluation], [of_models]),
    description="Find songs that are heard together, and compare the models of recommendations with simple baselines.",
    tags=at_most(minutes=120),
)
album_reading = dg.define_asset_job(
    "album_reading",
    _selection([artist_albums]),
    description="Read albums of much played artists, for recommendations, with calls that nothing else needs.",
    tags={**at_most(minutes=60), **AFTER_PLAYS},
)
recommendation_build = dg.define_asset_job(
    "recommendation_build",
    _selection([taste_vectors, recommendations]),
    description="Make the lists of recommended songs of a user.",
    tags=at_most(minutes=60),
)
report_build = dg.define_asset_job(
    "report_build",
    _selection([listening_report]),
    description="Write a user's listening report, of all time or of the year in the run's configuration.",
    tags=at_most(minutes=15),
)
scrobble_build = dg.define_asset_job(
    "scrobble_build",
    _selection([sent_plays]),
    description="Send a user's new plays to the services that the user has chosen.",
    tags=at_most(minutes=60),
)
library_sync = dg.define_asset_job(
    "library_sync",
    [playlists, saved_tracks, top_items],
    description="Read a user's playlists, saved tracks and top items.",
    tags={**RETRIED, **AFTER_PLAYS},
)
history_import = dg.define_asset_job(
    "history_import",
    [streaming_history_import],
    description="Import a user's exports: those in the run's configuration, or all in the user's import folder.",
    config=import_config(["."]),
    tags={**at_most(minutes=12 * 60), **RETRIED},
)
catalog_enrichment = dg.define_asset_job(
    "catalog_enrichment",
    _selection([tracks, artists, albums, audio_features, artist_tags], [of_tracks]),
    description="Complete the catalogue for all played tracks.",
)


audit = dg.define_asset_job(
    "audit",
    dg.AssetSelection.all_asset_checks(),
    description="Check all data of all users: whether plays, days and periods agree, and whether the pipeline works. "
    "It writes nothing; the results are at the assets, under Checks.",
    tags=READS_ONLY,
)

echotune_build = dg.define_asset_job(
    "echotune_build",
    _selection([echotune], [of_echotune]),
    description="Bring EchoTune's database up to date for a user.",
    tags=at_most(minutes=60),
)
spotify_analytics_build = dg.define_asset_job(
    "spotify_analytics_build",
    _selection([spotify_analytics], [of_analytics]),
    description="Bring the database spotify_analytics up to date for a user.",
    tags=at_most(minutes=60),
)
warehouse_build = dg.define_asset_job(
    "warehouse_build",
    _selection([warehouse_plays, warehouse_tracks, warehouse_profile], [of_warehouse]),
    description="Bring the warehouse in PostgreSQL up to date for a user.",
    tags=at_most(minutes=60),
)


def playlist_config(kind: str, **wish: Any) -> dict[str, Any]:
    """The configuration of a run that makes playlists, with fields of `PlaylistConfig`."""
    return {"ops": {generated_playlists.op.name: {"config": {"kind": kind, **wish}}}}


playlist_build = dg.define_asset_job(
    "playlist_build",
    _selection([generated_playlists]),
    description="Make a playlist of a user from the words in the run's configuration.",
    tags=at_most(minutes=15),
)
weekly_playlists = dg.define_asset_job(
    "weekly_playlists",
    _selection([generated_playlists]),
    description="Make the week's playlists of a user: six moods, and four by rules.",
    config=playlist_config("weekly"),
    tags=at_most(minutes=30),
)
playlist_answers = dg.define_asset_job(
    "playlist_answers",
    _selection([answered_queries, playlist_generator], [of_playlist_generator]),
    description="Answer the texts that applications have inserted into Playlist Generator's database.",
    tags=at_most(minutes=15),
)
playlist_generator_build = dg.define_asset_job(
    "playlist_generator_build",
    _selection([playlist_generator], [of_playlist_generator]),
    description="Bring Playlist Generator's database up to date for a user.",
    tags=at_most(minutes=60),
)


JOBS = (
    user_sync,
    rollup_build,
    snapshot_build,
    model_build,
    album_reading,
    recommendation_build,
    playlist_build,
    weekly_playlists,
    report_build,
    scrobble_build,
    library_sync,
    history_import,
    catalog_enrichment,
    audit,
    retention,
)
MART_JOBS: Mapping[Mart, Sequence[Any]] = {
    "echotune": (echotune_build,),
    "playlist_generator": (playlist_generator_build, playlist_answers),
    "spotify_analytics": (spotify_analytics_build,),
    "warehouse": (warehouse_build,),
}
"""The jobs of each mart."""
