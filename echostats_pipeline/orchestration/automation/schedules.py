"""Schedules: the runs of each day."""

from collections.abc import Callable

import dagster as dg

from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.automation.run_requests import (
    closing_requests,
    users_per_run,
    users_requests,
    weekly_requests,
)
from echostats_pipeline.orchestration.instance.retention import retention
from echostats_pipeline.orchestration.jobs import (
    album_reading,
    audit,
    library_sync,
    model_build,
    recommendation_build,
    report_build,
    rollup_build,
    weekly_playlists,
)
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.store import StoreResource

OFF = "Recommendations are off (ECHOSTATS_RECOMMENDATIONS)."
ON = dg.DefaultScheduleStatus.RUNNING


@dg.schedule(
    job=rollup_build,
    cron_schedule="15 * * * *",
    default_status=ON,
    description="Closes the day of every user whose midnight has passed: rebuilds their yesterday and today once.",
)
def daily_close(
    context: dg.ScheduleEvaluationContext, store: StoreResource, clock: ClockResource
) -> list[dg.RunRequest]:
    """Run every hour, as midnight comes at another hour in every zone; the run key allows one run per local day."""
    users = store.get().users.all(simulated=store.settings.simulated)
    return closing_requests(
        users,
        clock.now(),
        order=context.instance.get_dynamic_partitions("users"),
        batch_size=users_per_run(store.settings, len(users)),
    )


@dg.schedule(
    job=library_sync,
    cron_schedule="30 4 * * *",
    default_status=ON,
    description="Reads every user's playlists, saved tracks and top items, at 04:30 UTC.",
)
def daily_library(
    context: dg.ScheduleEvaluationContext, store: StoreResource, clock: ClockResource
) -> list[dg.RunRequest]:
    """Request a run for each active user, or a few runs for many users."""
    return _once_a_day(context, store, clock, of=lambda user: user.status == "active")


@dg.schedule(
    job=retention,
    cron_schedule="45 3 * * *",
    default_status=ON,
    description="Removes the records of runs and jobs older than ECHOSTATS_KEEP_RUNS_DAYS, at 03:45 UTC.",
)
def nightly_retention() -> dg.RunRequest:
    """Request one run for the whole installation."""
    return dg.RunRequest()


@dg.schedule(
    job=audit,
    cron_schedule="15 5 * * *",
    default_status=ON,
    description="Checks all data of all users, at 05:15 UTC.",
)
def nightly_audit() -> dg.RunRequest:
    """Request one run without partitions, after the libraries were read."""
    return dg.RunRequest()


@dg.schedule(
    job=model_build,
    cron_schedule="50 4 * * *",
    default_status=ON,
    description="Finds songs that are heard together and evaluates the models of recommendations, at 04:50 UTC.",
)
def nightly_models(store: StoreResource) -> dg.RunRequest | dg.SkipReason:
    """Request one run for the whole installation, after the libraries were read."""
    return dg.RunRequest() if store.settings.recommends else dg.SkipReason(OFF)


@dg.schedule(
    job=album_reading,
    cron_schedule="5 5 * * *",
    default_status=ON,
    description="Reads albums of much played artists, at 05:05 UTC, after libraries and with calls nothing else needs.",
)
def nightly_albums(store: StoreResource) -> dg.RunRequest | dg.SkipReason:
    """Request one run for the whole installation, if there is a user to read for."""
    if not store.settings.recommends:
        return dg.SkipReason(OFF)
    active = [user for user in store.get().users.all(simulated=store.settings.simulated) if user.status == "active"]
    return dg.RunRequest() if active else dg.SkipReason("There is no active user to read for.")


@dg.schedule(
    job=recommendation_build,
    cron_schedule="25 5 * * *",
    default_status=ON,
    description="Makes every user's lists of recommended songs, at 05:25 UTC.",
)
def daily_recommendations(
    context: dg.ScheduleEvaluationContext, store: StoreResource, clock: ClockResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request a run for each user, or a few runs for many, before the reports."""
    return _once_a_day(context, store, clock, of=lambda _: True) if store.settings.recommends else dg.SkipReason(OFF)


@dg.schedule(
    job=report_build,
    cron_schedule="45 5 * * *",
    default_status=ON,
    description="Writes every user's listening report of all time, at 05:45 UTC.",
)
def daily_report(
    context: dg.ScheduleEvaluationContext, store: StoreResource, clock: ClockResource
) -> list[dg.RunRequest]:
    """Request a run for each user, or a few runs for many. Paused users get a report too."""
    return _once_a_day(context, store, clock, of=lambda _: True)


@dg.schedule(
    job=weekly_playlists,
    cron_schedule="20 * * * *",
    default_status=ON,
    description="Makes the week's playlists of every user whose Monday has begun: six moods, and four by rules.",
)
def weekly_moods(
    context: dg.ScheduleEvaluationContext, store: StoreResource, clock: ClockResource
) -> list[dg.RunRequest]:
    """Run every hour, as Monday begins at another hour in every zone; the run key allows one run per user and week."""
    users = store.get().users.all(simulated=store.settings.simulated)
    return weekly_requests(
        users,
        clock.now(),
        order=context.instance.get_dynamic_partitions("users"),
        batch_size=users_per_run(store.settings, len(users)),
    )


def _once_a_day(
    context: dg.ScheduleEvaluationContext, store: StoreResource, clock: ClockResource, *, of: Callable[[User], bool]
) -> list[dg.RunRequest]:
    """Request today's runs over assets that are partitioned by user."""
    users = store.get().users.all(simulated=store.settings.simulated)
    return users_requests(
        {user.partition_key for user in users if of(user)},
        order=context.instance.get_dynamic_partitions("users"),
        batch_size=users_per_run(store.settings, len(users)),
        day=clock.now().date(),
    )


SCHEDULES = (
    daily_close,
    daily_library,
    nightly_retention,
    nightly_audit,
    nightly_models,
    nightly_albums,
    daily_recommendations,
    daily_report,
    weekly_moods,
)
