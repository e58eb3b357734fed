"""Sensors that keep databases for other applications up to date."""

from collections.abc import Collection, Mapping, Sequence

import dagster as dg

from echostats_pipeline.errors import SettingsError, WarehouseError
from echostats_pipeline.marts.echotune.build import waiting_users
from echostats_pipeline.marts.spotify_analytics.build import waiting_users as waiting_for_analytics
from echostats_pipeline.marts.warehouse.build import Warehouse
from echostats_pipeline.marts.warehouse.build import waiting_users as waiting_for_warehouse
from echostats_pipeline.orchestration.automation.readiness import ON, resting_users, runs_of, users_of
from echostats_pipeline.orchestration.jobs import (
    echotune_build,
    playlist_answers,
    playlist_generator_build,
    recommendation_build,
    spotify_analytics_build,
    warehouse_build,
)
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.settings import Mart

NEW_PLAYS = 5
"""After so many new plays, the recommendations of a user are made again."""


@dg.sensor(
    job=echotune_build,
    minimum_interval_seconds=30,
    default_status=ON,
    description="Brings EchoTune's database up to date for users whose plays, statistics, playlists or recommendations "
    "have changed. It keeps no cursor.",
)
def stale_echotune(
    context: dg.SensorEvaluationContext, store: StoreResource, clock: ClockResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request an update for every user who waits, once their snapshots are built."""
    resting = resting_users(context, echotune_build.name, clock.now())
    stale = _settled_users(store, waiting_users(store.get())) - resting
    return runs_of(context, store, stale) or dg.SkipReason(
        "EchoTune's database is up to date, or the statistics are not yet"
    )


@dg.sensor(
    job=recommendation_build,
    minimum_interval_seconds=300,
    default_status=ON,
    description=f"Makes the lists of users again who have played {NEW_PLAYS} songs since, as EchoTune expects. It "
    "keeps no cursor.",
)
def outdated_recommendations(
    context: dg.SensorEvaluationContext, store: StoreResource, clock: ClockResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request new lists for every user with enough new plays, once no other run changes their data."""
    if not store.settings.recommends:
        return dg.SkipReason("Recommendations are off (ECHOSTATS_RECOMMENDATIONS).")
    jobs = store.get().jobs
    waiting = store.get().recommendations.outdated(NEW_PLAYS) - jobs.busy_users() - jobs.syncing_together()
    outdated = {user.partition_key for user in users_of(store) if user.user_id in waiting}
    outdated -= resting_users(context, recommendation_build.name, clock.now())
    return runs_of(context, store, outdated) or dg.SkipReason(f"Nobody has played {NEW_PLAYS} songs since their lists")


@dg.sensor(
    job=playlist_generator_build,
    minimum_interval_seconds=60,
    default_status=ON,
    description="Brings Playlist Generator's database up to date for users whose plays, library or playlists have "
    "changed. It keeps no cursor.",
)
def stale_playlist_generator(
    context: dg.SensorEvaluationContext, store: StoreResource, clock: ClockResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request an update for every user who waits, once no other run changes their data."""
    from echostats_pipeline.marts.playlist_generator.build import (  # noqa: PLC0415 - needs numpy
        PlaylistGeneratorMart,
    )
    from echostats_pipeline.marts.playlist_generator.build import waiting_users as waiting_there  # noqa: PLC0415

    resting = resting_users(context, playlist_generator_build.name, clock.now())
    resting |= resting_users(context, playlist_answers.name, clock.now())
    users, jobs = users_of(store), store.get().jobs
    mart = PlaylistGeneratorMart(store.get(), store.settings, clock.now(), "")
    waiting = waiting_there(store.get()) | {user.user_id for user in users if mart.has_said_more(user)}
    waiting -= jobs.busy_users() | jobs.syncing_together()
    stale = {user.partition_key for user in users if user.user_id in waiting} - resting
    return runs_of(context, store, stale) or dg.SkipReason("Playlist Generator's database is up to date")


@dg.sensor(
    job=playlist_answers,
    minimum_interval_seconds=20,
    default_status=ON,
    description="Answers texts that applications have inserted into Playlist Generator's moodqueries. It keeps no "
    "cursor.",
)
def unanswered_queries(
    context: dg.SensorEvaluationContext, store: StoreResource, clock: ClockResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request answers for every user with a text that waits."""
    from echostats_pipeline.marts.playlist_generator.build import PlaylistGeneratorMart  # noqa: PLC0415 - needs numpy

    mart = PlaylistGeneratorMart(store.get(), store.settings, clock.now(), "")
    if not mart.has_pending():
        return dg.SkipReason("No text waits for an answer")
    users = users_of(store)
    asking = {user.partition_key for user in users if mart.pending(user)}
    asking -= resting_users(context, playlist_answers.name, clock.now())
    wanted = runs_of(context, store, asking, batch_size=1)
    return wanted or dg.SkipReason("The texts that wait are being answered, or name no user here")


@dg.sensor(
    job=spotify_analytics_build,
    minimum_interval_seconds=30,
    default_status=ON,
    description="Brings the database spotify_analytics up to date for users whose plays, or tracks they have played, "
    "have changed. It keeps no cursor.",
)
def stale_spotify_analytics(
    context: dg.SensorEvaluationContext, store: StoreResource, clock: ClockResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request an update for every user who waits, once their snapshots are built."""
    resting = resting_users(context, spotify_analytics_build.name, clock.now())
    stale = _settled_users(store, waiting_for_analytics(store.get())) - resting
    return runs_of(context, store, stale) or dg.SkipReason(
        "spotify_analytics is up to date, or the statistics are not yet"
    )


@dg.sensor(
    job=warehouse_build,
    minimum_interval_seconds=30,
    default_status=ON,
    description="Brings the warehouse in PostgreSQL up to date for users whose plays, statistics or playlists have "
    "changed, and deletes the rows of removed users. It keeps no cursor.",
)
def stale_warehouse(
    context: dg.SensorEvaluationContext, store: StoreResource, clock: ClockResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request an update for every user who waits, once their snapshots are built.

    While PostgreSQL cannot be used, one user's run at a time tries it: its failure is the incident that says so.
    """
    resting = resting_users(context, warehouse_build.name, clock.now())
    down = ""
    try:
        with Warehouse.opened(store.get(), store.settings, clock.now()):  # which deletes rows of removed users
            pass
    except (WarehouseError, SettingsError) as error:
        down = str(error)
    stale = _settled_users(store, waiting_for_warehouse(store.get())) - resting
    if down:
        stale = set() if resting else set(sorted(stale)[:1])
    return runs_of(context, store, stale) or dg.SkipReason(
        down or "The warehouse is up to date, or the statistics are not yet"
    )


MART_SENSORS: Mapping[Mart, Sequence[dg.SensorDefinition]] = {
    "echotune": (stale_echotune, outdated_recommendations),
    "playlist_generator": (stale_playlist_generator, unanswered_queries),
    "spotify_analytics": (stale_spotify_analytics,),
    "warehouse": (stale_warehouse,),
}
"""The sensors of each mart."""


def mart_sensor_names(marts: Collection[Mart]) -> list[str]:
    """The names of the sensors that keep these marts up to date."""
    return [sensor.name for mart in marts for sensor in MART_SENSORS[mart]]


def _settled_users(store: StoreResource, waiting: set[str]) -> set[str]:
    """Partition keys of the users who wait for a mart, whose statistics are built and for whom no run works."""
    jobs = store.get().jobs
    unsettled = store.get().marks.pending("analytics_snapshots").keys() | jobs.busy_users() | jobs.syncing_together()
    return {user.partition_key for user in users_of(store) if user.user_id in waiting - unsettled}
