"""Asset ``listening_report``: the statistics of a user as an HTML page."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import dagster as dg
from pydantic import Field

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.assets import OWNER
from echostats_pipeline.orchestration.assets.catalog import albums, artists, tracks
from echostats_pipeline.orchestration.assets.ingestion import listening_history
from echostats_pipeline.orchestration.assets.metadata import report_links, shown
from echostats_pipeline.orchestration.assets.rollups import daily_rollups
from echostats_pipeline.orchestration.assets.snapshots import analytics_snapshots
from echostats_pipeline.orchestration.partitions import USERS
from echostats_pipeline.orchestration.resources.clock import ClockResource
from echostats_pipeline.orchestration.resources.store import StoreResource
from echostats_pipeline.orchestration.runs import Step, SyncJobsResource
from echostats_pipeline.report.index import write_index
from echostats_pipeline.report.make import WrittenReport, keep_report, make_report, report_file
from echostats_pipeline.report.pictures import picture_source, pictures_kept
from echostats_pipeline.state_folder import PRIVATE_FOLDER_MODE, StateFolder

MOST_INDEXED = 50
"""Most users for whom each run writes the index, which shows them all; `echostats report` always writes it."""


class ReportConfig(dg.Config):
    """Run configuration: which report to write."""

    year: int | None = Field(default=None, description="A calendar year; all time if it is left out.")
    pictures: bool = Field(default=True, description="Whether to fetch pictures that are not cached yet.")


@dg.asset(
    partitions_def=USERS,
    group_name="analytics",
    kinds={"mongodb", "html"},
    owners=[OWNER],
    code_version="2",
    backfill_policy=dg.BackfillPolicy.single_run(),
    deps=[analytics_snapshots, daily_rollups, listening_history, tracks, artists, albums],
)
def listening_report(
    context: dg.AssetExecutionContext,
    config: ReportConfig,
    store: StoreResource,
    jobs: SyncJobsResource,
    clock: ClockResource,
) -> dg.MaterializeResult:
    """One HTML file per user: totals, rankings with pictures, calendar, habits, discoveries, and gaps in the data.

    For readers who prefer a page to a query. It opens in any browser without network, and can be printed. A run each
    night
    writes it from the statistics of all time; `echostats report --user USER --year 2025` writes the report of one year.
    Beside it are summary.json, badge.svg and feed.xml for dashboards, READMEs and feed readers.
    """
    written = jobs.for_each_user(context, partial(_write, store, clock, config))
    if written and store.settings.one_machine and len(store.get().users.all()) <= MOST_INDEXED:
        write_index(store.get(), StateFolder(store.settings.home), clock.now(), pictures_kept)
    return shown(context, report_links(written))


def _write(
    store: StoreResource, clock: ClockResource, config: ReportConfig, user: User, _: Sequence[date], step: Step
) -> WrittenReport | None:
    """Write the report of a user and keep it in the database. Return None if there is nothing to report of all time.

    A run that may execute on any machine leaves no file there.

    Raises:
        NotFoundError: there is nothing to report for the requested year.
    """
    folder = StateFolder(store.settings.home)
    fetch = picture_source(store.settings, user) if config.pictures else None
    work = folder.ensure().work_dir / user.partition_key
    work.mkdir(mode=PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="report-", dir=work) as temporary:
        path = report_file(folder, user, config.year)
        output = None if store.settings.one_machine else Path(temporary, path.name)
        try:
            made = make_report(
                store.get(),
                user,
                folder,
                clock.now(),
                year=config.year,
                output=output,
                fetch=fetch,
                settings=store.settings,
            )
        except NotFoundError as nothing:
            if config.year is not None:
                raise
            step.done(0, f"Nothing to report: {nothing}")
            return None
        keep_report(store.get(), user, made)
    if output is not None:
        made = replace(made, path=Path(path.name))
    step.done(1, f"Wrote {made.path.name} with {made.charts} charts and {made.pictures} pictures")
    return made
