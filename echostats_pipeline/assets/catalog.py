"""The catalogue all users share: tracks, artists, albums and audio features of what has been played."""

from collections.abc import Callable, Sequence
from datetime import datetime

import dagster as dg

from echostats_pipeline.assets import OWNER, SPOTIFY_POOL
from echostats_pipeline.assets.ingestion import listening_history
from echostats_pipeline.resources.clock import ClockResource
from echostats_pipeline.resources.jobs import SyncJobsResource
from echostats_pipeline.resources.spotify import SpotifyResource
from echostats_pipeline.resources.store import StoreResource
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.stages import Progress
from echostats_pipeline.stages.catalog import (
    Enriched,
    enrich_albums,
    enrich_artists,
    enrich_audio_features,
    enrich_tracks,
)
from echostats_pipeline.storage.store import Store

Enrich = Callable[[Store, SpotifyClient, datetime, Progress], Enriched]


def _catalog_asset(
    name: str, description: str, enrich: Enrich, deps: Sequence[dg.AssetsDefinition]
) -> dg.AssetsDefinition:
    """The four differ in what they read and nothing else."""

    @dg.asset(
        name=name,
        description=description,
        group_name="catalog",
        kinds={"spotify", "mongodb"},
        owners=[OWNER],
        code_version="1",
        deps=deps,
        pool=SPOTIFY_POOL,
    )
    def catalog_asset(
        context: dg.AssetExecutionContext,
        store: StoreResource,
        spotify: SpotifyResource,
        jobs: SyncJobsResource,
        clock: ClockResource,
    ) -> dg.MaterializeResult:
        reader = spotify.catalog_reader()
        with jobs.step(context, reader) as step, spotify.client(reader) as client:
            enriched = enrich(store.get(), client, clock.now(), step)
            step.detail = f"Read {enriched.completed} {name.replace('_', ' ')}, {enriched.unavailable} unavailable"
            if enriched.completed:
                store.get().mark_all_snapshots()
        return dg.MaterializeResult(
            metadata={"dagster/row_count": enriched.completed, "unavailable": enriched.unavailable}
        )

    return catalog_asset


tracks = _catalog_asset(
    "tracks",
    "One document per track that has been played: names, artists, album, length, popularity.",
    enrich_tracks,
    [listening_history],
)
artists = _catalog_asset(
    "artists", "One document per artist of a played track: genres, followers, pictures.", enrich_artists, [tracks]
)
albums = _catalog_asset(
    "albums",
    "One document per album of a played track: release date, covers, number of tracks.",
    enrich_albums,
    [tracks],
)
audio_features = _catalog_asset(
    "audio_features",
    "Danceability, energy, tempo and the like, kept in each track's document; null where Spotify has none.",
    enrich_audio_features,
    [tracks],
)
