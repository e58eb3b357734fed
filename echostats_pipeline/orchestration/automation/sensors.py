"""Sensors that start runs. Each only calls a function of `run_requests`."""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import get_args

import dagster as dg

from echostats_pipeline.errors import APP_FAMILY
from echostats_pipeline.orchestration.assets.report import listening_report
from echostats_pipeline.orchestration.assets.rollups import daily_rollups
from echostats_pipeline.orchestration.automation.due_genres import due_genres
from echostats_pipeline.orchestration.automation.import_folder import (
    Cursor,
    dropped,
    make_user_folders,
    mark_as_watched,
)
from echostats_pipeline.orchestration.automation.readiness import (
    ON,
    is_under_way,
    may_start,
    resting_users,
    runs_of,
    users_of,
)
from echostats_pipeline.orchestration.automation.run_ends import canceled_runs, dead_runs, failed_runs
from echostats_pipeline.orchestration.automation.run_requests import (
    catalog_families,
    import_request,
    is_due,
    rollup_requests,
    stale_users,
    sync_request,
    sync_requests,
)
from echostats_pipeline.orchestration.instance.code_location import reload_code_location
from echostats_pipeline.orchestration.instance.sensor_roster import Beginning, Roster, first_day_of
from echostats_pipeline.orchestration.instance.user_cleanup import remove_files_of_removed
from echostats_pipeline.orchestration.jobs import (
    audit,
    catalog_enrichment,
    history_import,
    library_sync,
    report_build,
    rollup_build,
    scrobble_build,
    snapshot_build,
    user_sync,
)
from echostats_pipeline.orchestration.partitions import USERS, first_day
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.settings import Settings
from echostats_pipeline.spotify.client import batch_route
from echostats_pipeline.stages.audio_features import FAMILIES, askable
from echostats_pipeline.stages.handed_files import hand_over, share_feature_file
from echostats_pipeline.stages.library_progress import due_libraries
from echostats_pipeline.stages.scrobbles import waits_for_sending
from echostats_pipeline.storage.catalog import CatalogName
from echostats_pipeline.transforms.genre_queue import SPOTIFY

FAN_OUT = "sync_everybody"
MOST_HANDED_BYTES = 256 << 20
"""Bytes of exports stored in one tick, after which other users wait for the next: a tick must end within a minute."""
RELOAD_AGAIN_S = 60
"""Seconds between two reloads of the code, if the first did not load the sensors that are wanted."""
MANY_SNAPSHOTS, WAIT_S = 25, 120
"""From how many users on snapshots wait for an enrichment, and most seconds. It would have most of them built twice."""


def sync_sensors(partition_keys: Sequence[str], settings: Settings) -> list[dg.SensorDefinition]:
    """The sensors that sync users: one for each user, or one for all.

    A sensor costs the daemon 40 ms a tick and is one switch in the UI. A sensor for each user suits hundreds of users,
    not thousands. It needs the code to be reloaded when a user is added. One sensor for all needs neither that nor the
    roster.
    """
    interval = settings.sync_interval_minutes
    if settings.fans_out(len(partition_keys)):
        return [fan_out_sensor(interval, settings.sync_batch_size)]
    return [sync_sensor(key, interval) for key in partition_keys]


def sync_sensor_names(partition_keys: Sequence[str], settings: Settings) -> list[str]:
    """The names of the sensors that sync these users."""
    if settings.fans_out(len(partition_keys)):
        return [FAN_OUT]
    return [sync_sensor_name(key) for key in partition_keys]


def sync_sensor_name(partition_key: str) -> str:
    """The name of the sensor that syncs one user."""
    return f"sync_{partition_key.replace('-', '_')}"


def sync_sensor(partition_key: str, interval_minutes: int) -> dg.SensorDefinition:
    """The sensor that syncs one user every `interval_minutes`. Switching it off in the UI pauses only that user."""

    @dg.sensor(
        name=sync_sensor_name(partition_key),
        job=user_sync,
        minimum_interval_seconds=interval_minutes * 60,
        default_status=ON,
        description=f"Syncs {partition_key} every {interval_minutes} minutes. It keeps no cursor.",
    )
    def sync(
        context: dg.SensorEvaluationContext, store: StoreResource, clock: ClockResource
    ) -> dg.RunRequest | dg.SkipReason:
        user = store.get().users.by_partition_key(partition_key)
        if user.status != "active":
            return dg.SkipReason(": ".join(filter(None, [f"{partition_key} is {user.status}", user.status_reason])))
        if not may_start(context, user_sync.name, clock.now(), user):
            return dg.SkipReason("The previous sync of this user has not finished, or failed a moment ago")
        if waiting := _waiting(store, clock.now(), "recently-played", "token"):
            return dg.SkipReason(f"Waiting: {waiting}")
        if not context.instance.has_dynamic_partition("users", partition_key):
            # This tick may come before the roster's. Dagster makes a run of a missing partition, which then never
            # starts.
            context.instance.add_dynamic_partitions("users", [partition_key])
        return sync_request(user, clock.now(), interval_minutes)

    return sync


def fan_out_sensor(interval_minutes: int, batch_size: int) -> dg.SensorDefinition:
    """The sensor that syncs all users every `interval_minutes`, many users in a run."""

    @dg.sensor(
        name=FAN_OUT,
        job=user_sync,
        minimum_interval_seconds=30,
        default_status=ON,
        description=f"Syncs every active user every {interval_minutes} minutes, up to {batch_size} in a run. Pause one "
        "with: echostats users pause. It keeps no cursor.",
    )
    def sync_everybody(
        context: dg.SensorEvaluationContext, store: StoreResource, clock: ClockResource
    ) -> list[dg.RunRequest] | dg.SkipReason:
        if waiting := _waiting(store, clock.now(), "recently-played", "token"):
            return dg.SkipReason(f"Waiting: {waiting}")
        order = context.instance.get_dynamic_partitions("users")
        known, resting = set(order), resting_users(context, user_sync.name, clock.now())
        due = [
            user
            for user in users_of(store)
            if is_due(user, clock.now(), interval_minutes) and user.partition_key in known - resting
        ]
        requests = sync_requests(due, clock.now(), interval_minutes, order=order, batch_size=batch_size)
        if requests:
            context.log.info("Requesting syncs of %d users in %d runs", len(due), len(requests))
        return requests or dg.SkipReason(f"No user is due; for {len(resting)} a sync is running or failed a moment ago")

    return sync_everybody


@dg.sensor(
    minimum_interval_seconds=15,
    default_status=ON,
    description="Gives every user a partition and a sync sensor, and sets the first day to that of the first known "
    "play. Its cursor is the time of its last reload of the code, in seconds since 1970.",
)
def user_roster(context: dg.SensorEvaluationContext, store: StoreResource, clock: ClockResource) -> dg.SensorResult:
    """Add partitions for new users, and reload the code until the sensors and days that are loaded are those wanted."""
    store.get().adopt_users(simulated=store.settings.simulated)
    users, settings = users_of(store), store.settings
    keys = [user.partition_key for user in users]
    known = set(context.instance.get_dynamic_partitions("users"))
    new = [key for key in keys if key not in known]
    remove_files_of_removed(settings, store.get())
    changed = [Roster(settings.home).write(keys)] if settings.one_machine or not settings.fans_out(len(keys)) else []
    missing = _missing_sensors(context, sync_sensor_names(keys, settings))
    if settings.one_machine:  # elsewhere, a file that another machine does not have decides on no partition
        began = first_day_of(store.get(), users, clock.now())
        changed.append(Beginning(settings.home).move(began))
        missing += _missing_days(context, began)
    reloaded = float(context.cursor or 0)
    if any(changed) or (missing and clock.now().timestamp() - reloaded >= RELOAD_AGAIN_S):
        reload_code_location(settings.ui_url, context.log)
        reloaded = clock.now().timestamp()
    said = f"New: {', '.join(new)}" if new else f"No new users; {len(keys)} known"
    if missing:
        said += f". Not loaded yet: {', '.join(missing)}"
    return dg.SensorResult(
        dynamic_partitions_requests=[USERS.build_add_request(new)] if new else [],
        skip_reason=dg.SkipReason(said),
        cursor=str(reloaded),
    )


def _missing_sensors(context: dg.SensorEvaluationContext, wanted: Sequence[str]) -> list[str]:
    """The sync sensors that should be loaded and are not, or are and should not be; none if that is unknown."""
    if context.repository_def is None:
        return []
    loaded = {sensor.name for sensor in context.repository_def.sensor_defs if sensor.name.startswith("sync_")}
    return sorted(loaded ^ set(wanted))


def _missing_days(context: dg.SensorEvaluationContext, began: date) -> list[str]:
    """The days since `began` that should be loaded and are not; none if that is unknown."""
    if context.repository_def is None or began >= _first_day(context):
        return []
    return [f"the days since {began}"]


@dg.sensor(
    job=rollup_build,
    minimum_interval_seconds=30,
    default_status=ON,
    description="Rebuilds days whose history changed outside a sync, for example in an import. It keeps no cursor.",
)
def stale_rollups(
    context: dg.SensorEvaluationContext, store: StoreResource, clock: ClockResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request one run per user over the days that wait."""
    resting = resting_users(context, rollup_build.name, clock.now())
    idle = [user for user in users_of(store) if user.partition_key not in resting]
    pending, since = store.get().marks.pending("daily_rollups"), _first_day(context)
    wanted = rollup_requests(idle, pending, store.get().jobs.busy_users(), since=since)
    return wanted or dg.SkipReason("No day waits for a rebuild")


@dg.sensor(
    job=snapshot_build,
    minimum_interval_seconds=15,
    default_status=ON,
    description="Rebuilds snapshots whose rollups changed, and each user's at their midnight. Those of many users wait "
    "up to two minutes for an enrichment, which changes them again. Its cursor is the time since when they wait, in "
    "seconds since 1970.",
)
def stale_snapshots(
    context: dg.SensorEvaluationContext, store: StoreResource, clock: ClockResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request the snapshots of every user whose snapshots wait."""
    resting = resting_users(context, snapshot_build.name, clock.now())
    users, jobs = users_of(store), store.get().jobs
    stale = stale_users(
        [user for user in users if user.partition_key not in resting],
        store.get().marks.pending("analytics_snapshots"),
        store.get().statistics.period_ends(counting_songs=store.settings.same_recording),
        # Users who are synced in one run share a run here too: each run costs a process and its imports.
        jobs.busy_users() | jobs.syncing_together(),
        clock.now(),
    )
    now_s = clock.now().timestamp()
    since_s = float(context.cursor or now_s)
    if len(stale) >= MANY_SNAPSHOTS and now_s - since_s < WAIT_S and is_under_way(context, catalog_enrichment.name):
        context.update_cursor(str(since_s))
        return dg.SkipReason(f"The snapshots of {len(stale)} users wait for the enrichment that is running")
    context.update_cursor("")
    wanted = runs_of(context, store, stale)
    return wanted or dg.SkipReason("No snapshot waits for a rebuild")


@dg.sensor(
    jobs=[report_build, audit],
    minimum_interval_seconds=30,
    default_status=ON,
    description="Starts a new user's first report and the first audit at once, without waiting for the night. It "
    "keeps no cursor.",
)
def first_runs(
    context: dg.SensorEvaluationContext, store: StoreResource, clock: ClockResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request missing reports and the first audit, once there are statistics and no user has a running job."""
    users = users_of(store)
    settled = not store.get().jobs.busy_users()
    built = store.get().statistics.period_ends() if settled else {}
    lacking = {user.partition_key for user in users if user.user_id in built}
    requests = runs_of(
        context,
        store,
        lacking - context.instance.get_materialized_partitions(listening_report.key),
        day=clock.now().date(),  # once a day, so that a failure is not repeated forever
    )
    wanted = [request.with_replaced_attrs(job_name=report_build.name) for request in requests]
    if built and not context.instance.get_run_records(dg.RunsFilter(job_name=audit.name), limit=1):
        wanted.append(dg.RunRequest(run_key=audit.name, job_name=audit.name))
    return wanted or dg.SkipReason("Reports and audit have run before" if settled else "A user has a running job")


@dg.sensor(
    job=catalog_enrichment,
    minimum_interval_seconds=60,
    default_status=ON,
    description="Completes the catalogue when entries of played tracks are missing. Its cursor is JSON: when a source "
    "of genres is to be asked next, and for which version of the artists this is known.",
)
def incomplete_catalog(
    context: dg.SensorEvaluationContext, store: StoreResource, clock: ClockResource
) -> dg.RunRequest | dg.SkipReason:
    """Request an enrichment while entries are missing that can be read now, and no run is reading them."""
    if not any(user.status == "active" for user in users_of(store)):
        return dg.SkipReason("There is no active user to read the catalogue for")
    if not store.settings.one_machine:
        for name in store.settings.audio_features:
            if name not in FAMILIES:
                share_feature_file(store.get().files, Path(name))
    waiting = _waiting(store, clock.now(), *get_args(CatalogName), *FAMILIES.values())
    refused_until = store.get().limits.refused_until(batch_route("audio-features"))
    if refused_until is not None and clock.now() < refused_until:
        waiting["audio-features"] = f"until {refused_until:%Y-%m-%d %H:%M} UTC, Spotify refuses them to this app"
    sources = askable(store.settings.audio_features, waiting)
    lacking = store.get().catalog.lacking(clock.now(), sources)
    can_read = bool(catalog_families(lacking, waiting, sources))
    if not can_read:
        order = store.settings.genres
        of_genres = [name for name in askable(order, waiting) if name != SPOTIFY]
        can_read, cursor = due_genres(store.get().artist_tags, of_genres, order, clock.now(), context.cursor or "")
        context.update_cursor(cursor)
    if APP_FAMILY in waiting or not can_read:
        return dg.SkipReason(f"Waiting: {waiting}" if waiting else "The catalogue is complete")
    if not may_start(context, catalog_enrichment.name, clock.now()):
        return dg.SkipReason("An enrichment is running, or failed a moment ago")
    return dg.RunRequest()


@dg.sensor(
    job=library_sync,
    minimum_interval_seconds=300,
    default_status=ON,
    description="Continues to read unfinished libraries as soon as the budget of calls allows, and begins the "
    "libraries of new users once their plays are read. It keeps no cursor.",
)
def unfinished_libraries(
    context: dg.SensorEvaluationContext, store: StoreResource, clock: ClockResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request reads of the libraries whose turn it is."""
    resting = resting_users(context, library_sync.name, clock.now())
    users = users_of(store)
    idle = [user for user in users if user.partition_key not in resting]
    due = due_libraries(store.get(), idle, store.settings.daily_calls, clock.now())
    wanted = runs_of(context, store, due)
    return wanted or dg.SkipReason("No library is unfinished, or the calls of 24 hours are used up")


@dg.sensor(
    job=history_import,
    minimum_interval_seconds=15,
    default_status=ON,
    description="Imports exports dropped into a user's import folder. Its cursor is JSON: size and modification time "
    "of every file seen last, and of every file requested, and the database's generation. Change or touch a file to "
    "import it again. A restored database imports all files again.",
)
def import_folder(
    context: dg.SensorEvaluationContext, store: StoreResource, clock: ClockResource
) -> dg.SensorResult | dg.SkipReason:
    """Request one import per user, of all new files that no program still writes."""
    folder, generation = store.settings.imports_dir, store.get().imports.generation()
    cursor = Cursor.read(context.cursor).at(generation)
    order = set(context.instance.get_dynamic_partitions("users"))
    resting = resting_users(context, history_import.name, clock.now())
    users = [user for user in users_of(store) if user.partition_key in order]
    make_user_folders(folder, [user.partition_key for user in users])
    mark_as_watched(folder)
    handed_bytes = 0
    found: dict[str, str] = {}
    asked: list[str] = []
    requests = []
    for user in users:
        of_user = dropped(folder / user.partition_key)
        found |= of_user
        complete = cursor.complete(of_user)
        if complete and user.partition_key not in resting and handed_bytes < MOST_HANDED_BYTES:
            asked += complete
            versions, names = {path: of_user[path] for path in complete}, {}
            if not store.settings.one_machine:  # the run may execute on a machine without this folder
                names = {Path(path).name: version for path, version in versions.items()}
                of_this_user = folder / user.partition_key
                for path, version in versions.items():
                    handed_bytes += hand_over(store.get().files, user.user_id, of_this_user, Path(path), version)
            requests.append(import_request(user, versions, names, database=generation))
    reason = dg.SkipReason(f"No new files in the folders of {plural(len(users), 'user')} in {folder}")
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else reason,
        cursor=cursor.after(found, asked).write(),
    )


@dg.sensor(
    job=scrobble_build,
    minimum_interval_seconds=60,
    default_status=ON,
    description="Sends new plays on to the services that users have chosen with `echostats scrobble`. Without such a "
    "user it does nothing. It keeps no cursor.",
)
def unsent_plays(
    context: dg.SensorEvaluationContext, store: StoreResource, clock: ClockResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """Request a run for every user with plays to send, once no other run changes their history."""
    targets = store.get().scrobbles.targets()
    if not targets:
        return dg.SkipReason("No user sends plays on")
    if waiting := _waiting(store, clock.now(), "listenbrainz"):
        return dg.SkipReason(f"Waiting: {waiting}")
    waiting_users = {each.user_id for each in targets if waits_for_sending(store.get(), each, clock.now())}
    waiting_users -= store.get().jobs.busy_users()
    keys = {user.partition_key for user in users_of(store) if user.user_id in waiting_users}
    keys -= resting_users(context, scrobble_build.name, clock.now())
    return runs_of(context, store, keys, batch_size=1) or dg.SkipReason("Every play was sent")


SENSORS = (
    user_roster,
    import_folder,
    stale_rollups,
    stale_snapshots,
    incomplete_catalog,
    unfinished_libraries,
    first_runs,
    unsent_plays,
    failed_runs,
    canceled_runs,
    dead_runs,
)


def _first_day(context: dg.SensorEvaluationContext) -> date:
    """The first date of the definitions that are loaded. It moves a moment after an import of older plays."""
    repository = context.repository_def
    graph = None if repository is None else repository.asset_graph
    return first_day(None if graph is None else graph.get(daily_rollups.key).partitions_def)


def _waiting(store: StoreResource, now: datetime, *families: str) -> dict[str, str]:
    """Families of endpoints, or the app as a whole, that must not be called now: until when and why."""
    waiting = store.get().limits.waiting([*families, APP_FAMILY], now)
    return {family: f"until {until:%Y-%m-%d %H:%M} UTC, {reason}" for family, (until, reason) in waiting.items()}
