"""Assets of the marts that the settings install: one for each database, per user."""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.marts.echotune.build import EchoTuneMart, MartUpdate
from echostats_pipeline.marts.echotune.database import database
from echostats_pipeline.marts.playlist_generator.database import database as playlist_generator_database
from echostats_pipeline.marts.spotify_analytics.build import AnalyticsMart, AnalyticsUpdate
from echostats_pipeline.marts.spotify_analytics.database import database as analytics_database
from echostats_pipeline.model.playlists import GeneratedPlaylist
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.assets import OWNER
from echostats_pipeline.orchestration.assets.catalog import albums, artists, audio_features, tracks
from echostats_pipeline.orchestration.assets.ingestion import listening_history
from echostats_pipeline.orchestration.assets.library import playlists, saved_tracks
from echostats_pipeline.orchestration.assets.metadata import by_user, playlist_overview, shown
from echostats_pipeline.orchestration.assets.playlists import builder_of, generated_playlists, report_on
from echostats_pipeline.orchestration.assets.recommendations import recommendations
from echostats_pipeline.orchestration.assets.schemas import collection_metadata, columns_of
from echostats_pipeline.orchestration.assets.snapshots import analytics_snapshots
from echostats_pipeline.orchestration.partitions import USERS
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.orchestration.runs import MARTS, Step, SyncJobsResource
from echostats_pipeline.settings import Settings

if TYPE_CHECKING:
    from echostats_pipeline.marts.playlist_generator.build import PlaylistGeneratorMart

GROUP = "marts"


@dg.asset(
    partitions_def=USERS,
    group_name=GROUP,
    kinds={"mongodb", "polars"},
    owners=[OWNER],
    code_version="1",
    backfill_policy=dg.BackfillPolicy.single_run(),
    freshness_policy=dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=26), fail_window=timedelta(hours=50)),
    metadata={
        each.name: dg.TableSchema(list(columns_of(each))) for each in database(Settings(home=Path())).collections
    },
    deps=[
        listening_history,
        analytics_snapshots,
        recommendations,
        playlists,
        tracks,
        artists,
        albums,
        audio_features,
    ],
)
def echotune(
    context: dg.AssetExecutionContext, store: StoreResource, jobs: SyncJobsResource, clock: ClockResource
) -> dg.MaterializeResult:
    """The database of EchoTune: users, plays, recommendations, playlists, preferences, events, chats and tracks.

    For readers and applications that know EchoTune's documents. What has changed in the core is changed here; what
    applications have written stays as it is.
    """
    mart = EchoTuneMart(store.get(), store.settings, clock.now(), context.run.run_id)
    updated = jobs.for_each_user(context, partial(_update, mart), MARTS)
    counted = {user: {"plays_read": each.plays, **each.written} for user, each in updated.items()}
    return shown(context, by_user(counted))


@dg.asset(
    partitions_def=USERS,
    group_name=GROUP,
    kinds={"mongodb", "python"},
    owners=[OWNER],
    code_version="1",
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata=collection_metadata("generated_playlists"),
    deps=[listening_history, saved_tracks, playlists, tracks, audio_features, recommendations],
)
def answered_queries(
    context: dg.AssetExecutionContext, store: StoreResource, jobs: SyncJobsResource, clock: ClockResource
) -> dg.MaterializeResult:
    """Playlists that answer the texts which applications have inserted into Playlist Generator's `moodqueries`.

    For these applications: the answers are stored like all generated playlists, and the next asset writes them into
    Playlist Generator's database. Nothing is written to Spotify.
    """
    made = jobs.for_each_user(context, partial(_answer, store, clock, context.run.run_id))
    return shown(context, playlist_overview(made))


def _answer(
    store: StoreResource, clock: ClockResource, run_id: str, user: User, _: Sequence[date], step: Step
) -> list[GeneratedPlaylist]:
    """Answer the texts of a user. A text that fails does not stop the others."""
    from echostats_pipeline.marts.playlist_generator.build import PlaylistGeneratorMart  # noqa: PLC0415
    from echostats_pipeline.marts.playlist_generator.mappings import made_id_of  # noqa: PLC0415
    from echostats_pipeline.playlists.building import Request  # noqa: PLC0415

    mart = PlaylistGeneratorMart(store.get(), store.settings, clock.now(), run_id)
    builder, made = builder_of(store, clock, run_id), []
    requests = [
        Request(each.text, query_id=each.query_id, made_id=made_id_of(each.query_id)) for each in mart.pending(user)
    ]
    for request in requests:
        mart.show(user, builder.begun(user, request), "pending")
    for request in requests:
        mart.show(user, builder.begun(user, request), "processing")
        try:
            answer = builder.from_words(user, request) if request.text.strip() else None
        except EchostatsError as error:
            made.append(builder.failed(user, request, str(error)))
        else:
            made.append(builder.stored(answer) if answer else builder.failed(user, request, "The text is empty."))
    report_on(step, made)
    return made


@dg.asset(
    partitions_def=USERS,
    group_name=GROUP,
    kinds={"mongodb", "python"},
    owners=[OWNER],
    code_version="1",
    backfill_policy=dg.BackfillPolicy.single_run(),
    freshness_policy=dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=26), fail_window=timedelta(hours=50)),
    metadata={
        each.name: dg.TableSchema(list(columns_of(each)))
        for each in playlist_generator_database(Settings(home=Path())).collections
    },
    deps=[
        listening_history,
        playlists,
        saved_tracks,
        tracks,
        artists,
        albums,
        audio_features,
        generated_playlists,
        answered_queries,
    ],
)
def playlist_generator(
    context: dg.AssetExecutionContext, store: StoreResource, jobs: SyncJobsResource, clock: ClockResource
) -> dg.MaterializeResult:
    """The database of Playlist Generator: users, tracks, libraries, queries, sessions, playlists, feedback and models.

    For readers and applications that know Playlist Generator's documents. What has changed in the core is changed here;
    what applications have written stays as it is.
    """
    from echostats_pipeline.marts.playlist_generator.build import PlaylistGeneratorMart  # noqa: PLC0415

    mart = PlaylistGeneratorMart(store.get(), store.settings, clock.now(), context.run.run_id)
    updated = jobs.for_each_user(context, partial(_update_playlists, mart), MARTS)
    return shown(context, by_user(updated))


def _update_playlists(mart: "PlaylistGeneratorMart", user: User, _: Sequence[date], step: Step) -> dict[str, int]:
    """Update the documents of a user."""
    step.counts = mart.update(user)
    changed = sum(step.counts.values())
    step.done(changed, f"{changed} documents changed")
    return step.counts


@dg.asset(
    partitions_def=USERS,
    group_name=GROUP,
    kinds={"mongodb"},
    owners=[OWNER],
    code_version="1",
    backfill_policy=dg.BackfillPolicy.single_run(),
    freshness_policy=dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=26), fail_window=timedelta(hours=50)),
    metadata={
        each.name: dg.TableSchema(list(columns_of(each)))
        for each in analytics_database(Settings(home=Path())).collections
    },
    deps=[listening_history, tracks, artists, audio_features],
)
def spotify_analytics(
    context: dg.AssetExecutionContext, store: StoreResource, jobs: SyncJobsResource
) -> dg.MaterializeResult:
    """The database spotify_analytics: each play with what the catalogue knows, nested, and flat as in EchoTune's CSV.

    For analysis and search of words. It has no address, user agent or device of a person.
    """
    mart = AnalyticsMart(store.get(), store.settings)
    updated = jobs.for_each_user(context, partial(_update_analytics, mart), MARTS)
    counted = {user: {"plays_read": each.plays, "documents_changed": each.written} for user, each in updated.items()}
    return shown(context, by_user(counted))


def _update_analytics(mart: AnalyticsMart, user: User, _: Sequence[date], step: Step) -> AnalyticsUpdate:
    """Update the documents of a user in spotify_analytics."""
    updated = mart.update(user)
    step.counts = {"plays_read": updated.plays, "documents_changed": updated.written}
    step.done(updated.written, f"Read {updated.plays} plays, {updated.written} documents changed")
    return updated


def _update(mart: EchoTuneMart, user: User, _: Sequence[date], step: Step) -> MartUpdate:
    """Update the documents of a user."""
    updated = mart.update(user)
    changed = sum(updated.written.values())
    step.counts = {"plays_read": updated.plays, **updated.written}
    said = f"Read {updated.plays} plays, {changed} documents changed"
    step.done(changed, f"{said}; {updated.uncached}" if updated.uncached else said)
    return updated
