"""Assets for plays: from Spotify's recently-played and from exports into ``listening_history``."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import dagster as dg
from pydantic import Field

from echostats_pipeline.model.users import User
from echostats_pipeline.monitoring.api_usage import calls_made
from echostats_pipeline.orchestration.assets import OWNER
from echostats_pipeline.orchestration.assets.metadata import by_user, calls_table, import_outcomes, row_counts, shown
from echostats_pipeline.orchestration.assets.schemas import collection_metadata
from echostats_pipeline.orchestration.assets.sources import exports, spotify
from echostats_pipeline.orchestration.partitions import USER_DAYS, USERS
from echostats_pipeline.orchestration.quiet_days import report_quiet_days
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.spotify import SPOTIFY_POOL, SpotifyResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.orchestration.runs import HISTORY, WHOLE_HISTORY, Step, SyncJobsResource
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.stages.handed_files import handed_over
from echostats_pipeline.stages.imports import check_whole, import_export, import_limits
from echostats_pipeline.stages.ingestion import MergeResult, merge_pages, read_recently_played
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import DayWindow, local_midnight

GROUP = "ingestion"


CALLS_AT_ONCE = 4
"""Number of users whose plays one run reads at the same time. A read mostly waits for Spotify's response."""


class ImportConfig(dg.Config):
    """Run configuration: the exports to import."""

    paths: list[str] = Field(
        default=["."],
        description="Zips as Spotify sent them, folders, or files, on the machine where the run executes, as in "
        "[/home/ann/my_spotify_data.zip]. A relative path is resolved in the user's import folder; a dot means the "
        "whole folder.",
    )

    handed_over: dict[str, str] = Field(
        default={},
        description="Set by the sensor import_folder: exports that it has stored in the database for this run, with "
        "their versions. The paths are not looked at then.",
    )

    def paths_in(self, folder: Path) -> list[Path]:
        """Return the paths in the user's import folder, or the folder itself if no path is given."""
        return [folder / path for path in self.paths or ["."]]


@dg.asset(
    partitions_def=USER_DAYS,
    group_name=GROUP,
    kinds={"spotify", "mongodb"},
    owners=[OWNER],
    code_version="1",
    backfill_policy=dg.BackfillPolicy.single_run(),
    freshness_policy=dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=1), fail_window=timedelta(hours=6)),
    metadata=collection_metadata("recently_played"),
    deps=[spotify],
    pool=SPOTIFY_POOL,
)
def recently_played(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    spotify: SpotifyResource,
    jobs: SyncJobsResource,
    clock: ClockResource,
) -> dg.MaterializeResult:
    """The newest 50 plays of each user as Spotify reports them, before they are merged into listening_history.

    For this pipeline, which keeps them for a week; readers find the plays in listening_history. The user's own sensor
    reads
    them every 15 minutes, with one call per user and run, whatever days are requested: Spotify reaches back no further
    than
    50 plays. Freshness shows that at least one user was read; the check users_are_synced shows that every user was.
    """
    read = partial(_read_plays, store.get(), spotify, clock)
    counts = by_user(jobs.for_each_user(context, read, HISTORY, at_once=CALLS_AT_ONCE))
    report_quiet_days(context, clock.now())
    calls = calls_made(store.get(), store.settings.daily_calls, clock.now())
    rows = row_counts(store.get(), "recently_played", counts.get("plays", 0))
    return shown(context, {**rows, **counts, **calls_table(calls)})


def _read_plays(
    store: Store, spotify: SpotifyResource, clock: ClockResource, user: User, _: Sequence[date], step: Step
) -> dict[str, int] | None:
    """Store the newest plays of a user and count them. Return None if the user is not active."""
    if user.status != "active":
        step.done(0, f"Not read: the user is {user.status}")
        return None
    with spotify.client(user) as client:
        counts = read_recently_played(store, client, user, clock.now())
    step.done(counts.rows, f"Fetched {counts.rows} recent plays, {counts.tracks} of tracks")
    return {"rows": counts.rows, "plays": counts.tracks}


@dg.asset(
    partitions_def=USERS,
    group_name=GROUP,
    kinds={"json", "mongodb"},
    owners=[OWNER],
    code_version="1",
    metadata=collection_metadata("imports"),
    deps=[exports],
)
def streaming_history_import(
    context: dg.AssetExecutionContext,
    config: ImportConfig,
    store: StoreResource,
    jobs: SyncJobsResource,
    clock: ClockResource,
) -> dg.MaterializeResult:
    """Plays from a user's exports: Spotify's, EchoTune's CSV, and those of scrobbling services and players.

    For the user who started it: a document in imports accounts for every row of each file. Drop exports into the user's
    import folder, or launch the job with their paths. Importing the same export again changes nothing. The days that an
    import touches are rebuilt automatically. The plays go into listening_history.
    """
    run_id = context.run.run_id
    try:
        jobs.for_each_user(context, partial(_import, store, clock, config, run_id), WHOLE_HISTORY)
    except dg.Failure as failure:
        outcomes = import_outcomes(store.get().imports.of_run(run_id))
        raise dg.Failure(failure.description, outcomes, failure.allow_retries) from failure
    files = store.get().imports.of_run(run_id)
    return shown(context, {**row_counts(store.get(), "imports", len(files)), **import_outcomes(files)})


def _import(
    store: StoreResource,
    clock: ClockResource,
    config: ImportConfig,
    run_id: str,
    user: User,
    _: Sequence[date],
    step: Step,
) -> None:
    """Import the exports of a user.

    Raises:
        ExportError: an export could not be read to its end; the rows before the error are imported.
    """
    found: AbstractContextManager[list[Path]]
    if config.handed_over:
        work = StateFolder(store.settings.home).ensure().work_dir / user.partition_key / "import"
        found = handed_over(store.get().files, user.user_id, config.handed_over, work)
    else:
        found = nullcontext(config.paths_in(store.settings.imports_dir / user.partition_key))
    with found as paths:
        files = import_export(
            store.get(),
            user,
            paths,
            progress=step,
            clock=clock.now,
            limits=import_limits(store.settings),
            dagster_run_id=run_id,
            min_play_ms=store.settings.min_play_ms,
        )
        added = sum(file.inserted for file in files)
        step.detail = f"Imported {plural(len(files), 'file')}: {plural(added, 'new play')}"
        step.counts = {"plays_added": added}
        check_whole(files)


@dg.asset(
    partitions_def=USER_DAYS,
    group_name=GROUP,
    kinds={"mongodb", "polars"},
    owners=[OWNER],
    code_version="1",
    backfill_policy=dg.BackfillPolicy.single_run(),
    metadata=collection_metadata("listening_history"),
    deps=[recently_played, streaming_history_import],
)
def listening_history(
    context: dg.AssetExecutionContext, store: StoreResource, jobs: SyncJobsResource, clock: ClockResource
) -> dg.MaterializeResult:
    """Every play of every user, one document each, from Spotify and from exports, without duplicates.

    For readers, and the source of every statistic. Each sync merges the plays that it has read from Spotify;
    streaming_history_import merges the plays of exports.
    """
    served = jobs.for_each_user(context, partial(_merge, store.get(), clock), HISTORY)
    report_quiet_days(context, clock.now())
    merged = sum((each.merged for each in served.values()), MergeResult())
    counts = by_user({key: each.counts for key, each in served.items()})
    rows = row_counts(store.get(), "listening_history", counts.get("plays_in_these_days", 0))
    return shown(context, {**rows, **counts, **merged.as_metadata()})


class _MergedUser(NamedTuple):
    """What merging did for a user, and the metadata that the run shows of it."""

    merged: MergeResult
    counts: dict[str, int]


def _merge(store: Store, clock: ClockResource, user: User, days: Sequence[date], step: Step) -> _MergedUser:
    """Merge the plays that were read of a user into their history, and count the plays that these days then hold."""
    merged = merge_pages(store, user, clock.now())
    window, zone = DayWindow(days[0], days[-1]), ZoneInfo(user.timezone)
    stored = store.plays.count(user.user_id, local_midnight(window.first, zone), local_midnight(window.following, zone))
    added = merged.outcomes["inserted"]
    step.done(merged.outcomes.total(), f"Added {plural(added, 'play')}; {stored} in these days")
    step.counts = {"plays_added": added}
    return _MergedUser(merged, {"plays_in_these_days": stored, "plays_added": added})
