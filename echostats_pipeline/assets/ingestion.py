"""Plays: from Spotify's recently-played and from exports into ``listening_history``."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from echostats_pipeline.assets import OWNER, SPOTIFY_POOL
from echostats_pipeline.model.operations import FileImport
from echostats_pipeline.model.users import User
from echostats_pipeline.partitions import USER_DAYS, USERS
from echostats_pipeline.resources.clock import ClockResource
from echostats_pipeline.resources.jobs import HISTORY, WHOLE_HISTORY, Step, SyncJobsResource
from echostats_pipeline.resources.spotify import SpotifyResource
from echostats_pipeline.resources.store import StoreResource
from echostats_pipeline.stages.imports import check_whole, import_export, import_limits
from echostats_pipeline.stages.ingestion import Merged, merge_pages, read_recently_played
from echostats_pipeline.transforms.days import DayWindow, local_midnight

GROUP = "ingestion"


CALLS_AT_ONCE = 4
"""Users whose plays one run reads at the same time: most of it is waiting for the answer."""
OUTCOMES = ("rows", "inserted", "merged", "duplicate", "not_music", "rejected", "gaps_closed")


class ImportConfig(dg.Config):
    """What to import: zips as Spotify sent them, folders, or files, on the machine where the run executes."""

    paths: list[str]


@dg.asset(
    partitions_def=USER_DAYS,
    group_name=GROUP,
    kinds={"spotify", "mongodb"},
    owners=[OWNER],
    code_version="1",
    backfill_policy=dg.BackfillPolicy.single_run(),
    pool=SPOTIFY_POOL,
)
def recently_played(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    spotify: SpotifyResource,
    jobs: SyncJobsResource,
    clock: ClockResource,
) -> dg.MaterializeResult:
    """The newest 50 plays of each user as Spotify reports them, kept until they are merged into the history.

    One call per user and run, whatever days are asked for: Spotify reaches back no further than 50 plays.
    """
    rows = []

    def work(user: User, _: Sequence[date], step: Step) -> None:
        if user.status != "active":
            return step.done(0, f"Not read: the user is {user.status}")
        with spotify.client(user) as client:
            counts = read_recently_played(store.get(), client, user, clock.now())
        rows.append(counts.tracks)
        return step.done(counts.rows, f"Fetched {counts.rows} recent plays, {counts.tracks} of tracks")

    jobs.for_each_user(context, work, HISTORY, at_once=CALLS_AT_ONCE)
    return dg.MaterializeResult(metadata={"dagster/row_count": sum(rows)})


@dg.asset(
    partitions_def=USERS,
    group_name=GROUP,
    kinds={"json", "mongodb"},
    owners=[OWNER],
    code_version="1",
)
def streaming_history_import(
    context: dg.AssetExecutionContext,
    config: ImportConfig,
    store: StoreResource,
    jobs: SyncJobsResource,
    clock: ClockResource,
) -> dg.MaterializeResult:
    """Plays from a user's exports: Spotify's, EchoTune's CSV, Last.fm's and ListenBrainz'.

    Launch it with the paths of the exports, or drop them into the user's import folder. Importing the same export again
    changes nothing. The days it touches are rebuilt by themselves.
    """
    files: list[FileImport] = []

    def work(user: User, _: Sequence[date], step: Step) -> None:
        imported = import_export(
            store.get(),
            user,
            [Path(path) for path in config.paths],
            progress=step,
            clock=clock.now,
            limits=import_limits(store.settings),
            dagster_run_id=context.run.run_id,
        )
        files.extend(imported)
        step.detail = f"Imported {len(imported)} files: {sum(file.inserted for file in imported)} new plays"
        check_whole(imported)

    try:
        jobs.for_each_user(context, work, WHOLE_HISTORY)
    except dg.Failure as failure:
        raise dg.Failure(failure.description, _outcomes(files), failure.allow_retries) from failure
    return dg.MaterializeResult(metadata=_outcomes(files))


def _outcomes(files: Sequence[FileImport]) -> dict[str, Any]:
    """What became of the rows of each file, and of all."""
    records = [
        dg.TableRecord(
            {
                "file": file.file_name,
                **{key: getattr(file, key) for key in OUTCOMES},
                "from": str(file.first_played_at or ""),
                "to": str(file.last_played_at or ""),
                "error": file.error_message,
            }
        )
        for file in files
    ]
    return {
        "dagster/row_count": sum(file.inserted for file in files),
        **{key: sum(getattr(file, key) for file in files) for key in OUTCOMES},
        **({"files": dg.MetadataValue.table(records)} if records else {}),
    }


@dg.asset(
    partitions_def=USER_DAYS,
    group_name=GROUP,
    kinds={"mongodb", "polars"},
    owners=[OWNER],
    code_version="1",
    backfill_policy=dg.BackfillPolicy.single_run(),
    deps=[recently_played, streaming_history_import],
)
def listening_history(
    context: dg.AssetExecutionContext, store: StoreResource, jobs: SyncJobsResource, clock: ClockResource
) -> dg.MaterializeResult:
    """Every play of every user, one document each: what Spotify reported and what exports hold, without doubles."""
    merged = Merged()
    plays = 0

    def work(user: User, days: Sequence[date], step: Step) -> None:
        nonlocal merged, plays
        new = merge_pages(store.get(), user, clock.now())
        merged += new
        window, zone = DayWindow(days[0], days[-1]), ZoneInfo(user.timezone)
        stored = store.get().plays.count(
            user.user_id, local_midnight(window.first, zone), local_midnight(window.following, zone)
        )
        plays += stored
        step.done(new.outcomes.total(), f"Added {new.outcomes['inserted']} plays; {stored} in these days")

    jobs.for_each_user(context, work, HISTORY)
    return dg.MaterializeResult(metadata={"dagster/row_count": plays, **merged.as_metadata()})
