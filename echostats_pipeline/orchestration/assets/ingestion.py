"""Plays: from Spotify's recently-played and from exports into ``listening_history``."""

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
from pydantic import Field

from echostats_pipeline.model.operations import FileImport
from echostats_pipeline.model.users import User
from echostats_pipeline.monitoring.api_usage import calls_made
from echostats_pipeline.orchestration.assets import OWNER, SPOTIFY_POOL
from echostats_pipeline.orchestration.assets.metadata import by_user, calls_table, import_outcomes, row_counts
from echostats_pipeline.orchestration.assets.schemas import collection_metadata
from echostats_pipeline.orchestration.assets.sources import exports, spotify
from echostats_pipeline.orchestration.partitions import USER_DAYS, USERS
from echostats_pipeline.orchestration.quiet_days import report_quiet_days
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.spotify import SpotifyResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.orchestration.runs import HISTORY, WHOLE_HISTORY, Step, SyncJobsResource
from echostats_pipeline.stages.imports import check_whole, import_export, import_limits
from echostats_pipeline.stages.ingestion import Merged, merge_pages, read_recently_played
from echostats_pipeline.transforms.days import DayWindow, local_midnight

GROUP = "ingestion"


CALLS_AT_ONCE = 4
"""Users whose plays one run reads at the same time: most of it is waiting for the answer."""


class ImportConfig(dg.Config):
    """What to import."""

    paths: list[str] = Field(
        default=["."],
        description="Zips as Spotify sent them, folders, or files, on the machine where the run executes, as in "
        "[/home/ann/my_spotify_data.zip]. A relative path is looked for in the user's import folder; a dot is all of "
        "it.",
    )

    def paths_in(self, folder: Path) -> list[Path]:
        """Where they are, for the user of that import folder; the folder itself if none is given."""
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
    """The newest 50 plays of each user as Spotify reports them, on their way into listening_history.

    For this pipeline: readers find them in the history, and here for a week. Read every 15 minutes by the user's own
    sensor, one call per user and run, whatever days are asked for: Spotify reaches back no further than 50 plays.
    Freshness says that somebody was read; the check users_are_synced, that everybody was.
    """
    users: dict[str, dict[str, int]] = {}

    def work(user: User, _: Sequence[date], step: Step) -> None:
        if user.status != "active":
            return step.done(0, f"Not read: the user is {user.status}")
        with spotify.client(user) as client:
            counts = read_recently_played(store.get(), client, user, clock.now())
        users[user.partition_key] = {"rows": counts.rows, "plays": counts.tracks}
        return step.done(counts.rows, f"Fetched {counts.rows} recent plays, {counts.tracks} of tracks")

    jobs.for_each_user(context, work, HISTORY, at_once=CALLS_AT_ONCE)
    report_quiet_days(context, clock.now())
    calls = calls_made(store.get(), store.settings.daily_calls, clock.now())
    counts = by_user(users)
    rows = row_counts(store.get(), "recently_played", counts.get("plays", 0))
    return dg.MaterializeResult(metadata={**rows, **counts, **calls_table(calls)})


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

    Drop exports into the user's import folder, or launch it with their paths. Importing the same export again changes
    nothing. The days it touches are rebuilt by themselves. The plays go into listening_history.
    For whoever started it, a document in imports accounts for every row of each file.
    """
    files: list[FileImport] = []

    def work(user: User, _: Sequence[date], step: Step) -> None:
        imported = import_export(
            store.get(),
            user,
            config.paths_in(store.settings.imports_dir / user.partition_key),
            progress=step,
            clock=clock.now,
            limits=import_limits(store.settings),
            dagster_run_id=context.run.run_id,
            min_play_ms=store.settings.min_play_ms,
        )
        files.extend(imported)
        step.detail = f"Imported {len(imported)} files: {sum(file.inserted for file in imported)} new plays"
        check_whole(imported)

    try:
        jobs.for_each_user(context, work, WHOLE_HISTORY)
    except dg.Failure as failure:
        raise dg.Failure(failure.description, import_outcomes(files), failure.allow_retries) from failure
    return dg.MaterializeResult(metadata={**row_counts(store.get(), "imports", len(files)), **import_outcomes(files)})


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
    """Every play of every user, one document each: what Spotify reported and what exports hold, without doubles.

    For readers, and the source of every statistic. What was read from Spotify is merged in after every sync; exports
    are merged in by streaming_history_import.
    """
    merged = Merged()
    users: dict[str, dict[str, int]] = {}

    def work(user: User, days: Sequence[date], step: Step) -> None:
        nonlocal merged
        new = merge_pages(store.get(), user, clock.now())
        merged += new
        window, zone = DayWindow(days[0], days[-1]), ZoneInfo(user.timezone)
        stored = store.get().plays.count(
            user.user_id, local_midnight(window.first, zone), local_midnight(window.following, zone)
        )
        users[user.partition_key] = {"plays_in_these_days": stored, "plays_added": new.outcomes["inserted"]}
        step.done(new.outcomes.total(), f"Added {new.outcomes['inserted']} plays; {stored} in these days")

    jobs.for_each_user(context, work, HISTORY)
    report_quiet_days(context, clock.now())
    counts = by_user(users)
    rows = row_counts(store.get(), "listening_history", counts.get("plays_in_these_days", 0))
    return dg.MaterializeResult(metadata={**rows, **counts, **merged.as_metadata()})
