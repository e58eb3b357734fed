"""The catalogue all users share: tracks, artists, albums and audio features of what has been played."""

from collections.abc import Callable, Sequence
from datetime import datetime

import dagster as dg

from echostats_pipeline.assets import OWNER, SPOTIFY_POOL
from echostats_pipeline.assets.ingestion import listening_history
from echostats_pipeline.model.users import User
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
    objects_a_day,
)
from echostats_pipeline.storage.store import Store

Enrich = Callable[[SpotifyResource, User, Store, datetime, Progress], Enriched]


def _with_client(enrich: Callable[[Store, SpotifyClient, datetime, Progress], Enriched]) -> Enrich:
    """Enrichment that reads Spotify's objects on behalf of the reader."""

    def run(spotify: SpotifyResource, reader: User, store: Store, now: datetime, progress: Progress) -> Enriched:
        with spotify.client(reader) as client:
            return enrich(store, client, now, progress)

    return run


def _with_sources(spotify: SpotifyResource, reader: User, store: Store, now: datetime, progress: Progress) -> Enriched:
    """Enrichment with audio features, which have several sources."""
    with spotify.feature_sources(reader) as sources:
        return enrich_audio_features(store, sources, now, progress)


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
        with jobs.step(context, reader) as step:
            enriched = enrich(spotify, reader, store.get(), clock.now(), step)
            step.detail = f"Read {enriched.completed} {name.replace('_', ' ')}, {enriched.unavailable} unavailable"
            if enriched.completed:
                store.get().mark_all_snapshots()
            if enriched.waiting is not None:
                wait = enriched.waiting
                store.get().limits.postpone(wait.family, wait.until, wait.reason)
                step.detail += f"; {enriched.left} left, waiting until {wait.until:%Y-%m-%d %H:%M} UTC: {wait.reason}"
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": enriched.completed,
                "unavailable": enriched.unavailable,
                "left": enriched.left,
                "progress": store.get().catalog.progress_text(
                    name, clock.now(), objects_a_day(store.settings, store.get(), name.replace("_", "-"), clock.now())
                ),
            }
        )

    return catalog_asset


tracks = _catalog_asset(
    "tracks",
    "One document per track that has been played: names, artists, album, length, popularity.",
    _with_client(enrich_tracks),
    [listening_history],
)
artists = _catalog_asset(
    "artists",
    "One document per artist of a played track: genres, followers, pictures.",
    _with_client(enrich_artists),
    [tracks],
)
albums = _catalog_asset(
    "albums",
    "One document per album of a played track: release date, covers, number of tracks.",
    _with_client(enrich_albums),
    [tracks],
)
audio_features = _catalog_asset(
    "audio_features",
    "Danceability, energy, tempo and the like, kept in each track's document; null where Spotify has none.",
    _with_sources,
    [tracks],
)
