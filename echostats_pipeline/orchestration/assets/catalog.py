"""Assets of the catalogue that all users share: tracks, artists, albums, audio features and genres."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg

from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.assets import OWNER
from echostats_pipeline.orchestration.assets.ingestion import listening_history
from echostats_pipeline.orchestration.assets.metadata import progress_numbers, row_counts
from echostats_pipeline.orchestration.assets.schemas import collection_metadata
from echostats_pipeline.orchestration.assets.sources import feature_sources, genre_sources, spotify
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.spotify import SPOTIFY_POOL, SpotifyResource, catalog_reader
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.orchestration.resources.tag_sources import TagSourcesResource
from echostats_pipeline.orchestration.runs import Step, SyncJobsResource
from echostats_pipeline.spotify.client import SpotifyClient
from echostats_pipeline.stages import Progress
from echostats_pipeline.stages.artist_tags import enrich_artist_tags, tag_progress
from echostats_pipeline.stages.catalog import (
    EnrichmentResult,
    enrich_albums,
    enrich_artists,
    enrich_audio_features,
    enrich_tracks,
    objects_a_day,
)
from echostats_pipeline.storage.store import Store

FEATURE_FIELDS = ("spotify_id", "audio_features", "audio_features_checked_at", "audio_features_asked")
"""Fields of a track's document that hold its audio features, and those that identify the track for their sources."""
Enrich = Callable[[SpotifyResource, User, Store, datetime, Progress], EnrichmentResult]


def _with_client(enrich: Callable[[Store, SpotifyClient, datetime, Progress], EnrichmentResult]) -> Enrich:
    """Return an enrichment that reads Spotify's objects on behalf of the reader."""

    def run(
        spotify: SpotifyResource, reader: User, store: Store, now: datetime, progress: Progress
    ) -> EnrichmentResult:
        with spotify.client(reader) as client:
            return enrich(store, client, now, progress)

    return run


def _with_sources(
    spotify: SpotifyResource, reader: User, store: Store, now: datetime, progress: Progress
) -> EnrichmentResult:
    """Return an enrichment for audio features, which have several sources."""
    with spotify.feature_sources(reader) as sources:
        return enrich_audio_features(store, sources, now, progress)


def _catalog_asset(
    name: str,
    description: str,
    enrich: Enrich,
    deps: Sequence[dg.AssetsDefinition | dg.AssetSpec],
    metadata: Mapping[str, Any],
) -> dg.AssetsDefinition:
    """Make one of the four catalogue assets. They differ only in what they read."""

    @dg.asset(
        name=name,
        description=description,
        group_name="catalog",
        kinds={"spotify", "mongodb"},
        owners=[OWNER],
        code_version="1",
        metadata=metadata,
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
            enriched = step.attempted(lambda: enrich(spotify, reader, store.get(), clock.now(), step))
            _tell(step, store.get(), name.replace("_", " "), enriched)
        a_day = objects_a_day(store.settings, store.get(), name.replace("_", "-"), clock.now())
        return dg.MaterializeResult(
            metadata={
                **row_counts(store.get(), metadata["dagster/table_name"], enriched.completed),
                "unavailable": enriched.unavailable,
                "left": enriched.left,
                **progress_numbers(store.get().catalog.progress(name, clock.now(), a_day)),
            }
        )

    return catalog_asset


def _tell(step: Step, store: Store, what: str, enriched: EnrichmentResult) -> None:
    """Say in a step what was read; if a service asks to wait, also store the wait."""
    step.detail = f"Read {enriched.completed} {what}, {enriched.unavailable} unavailable"
    if enriched.waiting is not None:
        wait = enriched.waiting
        store.limits.postpone(wait.family, wait.until, wait.reason)
        step.detail += f"; {enriched.left} left, waiting until {wait.until:%Y-%m-%d %H:%M} UTC: {wait.reason}"


HOW = (
    "\n\nFor readers, and for the names, pictures and genres of all statistics. All users share it. A run reads "
    "missing entries from Spotify, the most played first, until the day's budget of calls is used up."
)

tracks = _catalog_asset(
    "tracks",
    f"One document per track that has been played: names, artists, album, length, popularity.{HOW}",
    _with_client(enrich_tracks),
    [spotify, listening_history],
    collection_metadata("tracks"),
)
artists = _catalog_asset(
    "artists",
    f"One document per artist of a played track: genres, followers, pictures.{HOW}",
    _with_client(enrich_artists),
    [spotify, listening_history, tracks],
    collection_metadata("artists"),
)
albums = _catalog_asset(
    "albums",
    f"One document per album of a played track: release date, covers, number of tracks.{HOW}",
    _with_client(enrich_albums),
    [spotify, listening_history, tracks],
    collection_metadata("albums"),
)
audio_features = _catalog_asset(
    "audio_features",
    "Danceability, energy, tempo and similar values, stored in each track's document; null where no source knows "
    "them.\n\nFor readers, and for the averages of all statistics. All users share them. Read once a track is known, "
    "from Spotify, ReccoBeats or a file, as the settings say.",
    _with_sources,
    [spotify, feature_sources, listening_history, tracks],
    collection_metadata("tracks", only=FEATURE_FIELDS),
)


@dg.asset(
    group_name="catalog",
    kinds={"json", "mongodb"},
    owners=[OWNER],
    code_version="1",
    metadata=collection_metadata("artist_tags"),
    deps=[genre_sources, listening_history, tracks, artists],
)
def artist_tags(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    tag_sources: TagSourcesResource,
    jobs: SyncJobsResource,
    clock: ClockResource,
) -> dg.MaterializeResult:
    """Genres of artists from MusicBrainz and Last.fm, with source, weight and licence; they fill `artists.genres`.

    For readers, and for the genres of all statistics. All users share them. A run asks each source in the order of the
    settings about artists without genres, the most played first, at the pace that the source allows.
    """
    order = store.settings.genres
    with jobs.step(context, catalog_reader(store)) as step, tag_sources.opened() as sources:
        enriched = step.attempted(lambda: enrich_artist_tags(store.get(), sources, order, clock.now(), step))
        _tell(step, store.get(), "artists' genres", enriched)
    return dg.MaterializeResult(
        metadata={
            **row_counts(store.get(), "artist_tags", enriched.completed),
            "unavailable": enriched.unavailable,
            "left": enriched.left,
            **progress_numbers(tag_progress(store.get(), order, clock.now())),
        }
    )
