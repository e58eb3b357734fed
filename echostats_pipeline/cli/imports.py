"""``echostats import``: imports streaming histories from disk into the listening history."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path, PurePosixPath

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from echostats_pipeline.cli.instance import RunFailedError, Runner, open_pipeline
from echostats_pipeline.importers.files import ExportListing, find_export_files
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.jobs import import_config
from echostats_pipeline.orchestration.partitions import range_tags
from echostats_pipeline.orchestration.tags import USER_TAG
from echostats_pipeline.report.formatting import duration, plural
from echostats_pipeline.settings import load_settings
from echostats_pipeline.stages.imports import KEPT_REJECTS, import_limits
from echostats_pipeline.storage.store import Store

OUTCOMES = {
    "rows": "rows",
    "inserted": "new",
    "merged": "merged",
    "duplicate": "known",
    "not_music": "no music",
    "rejected": "rejected",
    "gaps_closed": "gaps",
    "short": "short",
}
"""Numbers of a file, with their heads in the table."""
EXPLAINED = {
    "merged": "merged: plays that were known, and of which the file tells more.",
    "gaps_closed": "gaps: holes in the history that the file has closed.",
}
SPOTIFY_FILES = "Streaming_History_"
REASONS_SHOWN = 10


def run_import(paths: Sequence[Path], name: str | None) -> None:
    """Import files for the user of that name, and rebuild what they change."""
    settings, console = load_settings(), Console()
    absolute = [path.absolute() for path in paths]
    show_ignored(find_export_files(absolute, import_limits(settings)), console)
    with open_pipeline(settings) as (store, instance):
        user = store.users.find(name)
        runner = Runner(instance, store, settings, console)
        problem: RunFailedError | None = None
        try:
            run_id = import_with(runner, user, absolute)
        except RunFailedError as failure:
            run_id, problem = failure.run_id, failure
            if not store.imports.of_run(run_id):
                raise
        rebuild_with(runner, store, user)
        show_outcomes(store, run_id, console, settings.min_play_ms)
    if problem is not None:
        raise problem


def show_ignored(found: ExportListing, console: Console) -> None:
    """Name the files that look like exports but are not imported."""
    for ignored in found.ignored:
        console.print(f"Not imported: {ignored.name}: {ignored.reason}", highlight=False, markup=False)


def import_with(runner: Runner, user: User, paths: Sequence[Path]) -> str:
    """Run the import of one user. Return the id of the Dagster run."""
    runner.add_user(user)
    exports = "an export" if len(paths) == 1 else f"{len(paths)} exports"
    return runner.run(
        f"Importing {exports} of {user.display_name}",
        "history_import",
        partition_key=user.partition_key,
        tags={USER_TAG: user.partition_key},
        config=import_config(paths),
    )


def rebuild_with(runner: Runner, store: Store, user: User) -> None:
    """Rebuild a user's days that wait, including those of an interrupted run, then the snapshots."""
    interrupted = sorted(store.marks.changing_days(user.user_id))
    if interrupted:
        runner.console.print(
            f"{plural(len(interrupted), 'day')} between {interrupted[0]} and {interrupted[-1]} still wait for a "
            "rebuild: a run that changed them was interrupted.",
            highlight=False,
        )
    waiting = sorted({*store.marks.pending_days(user.user_id), *interrupted})
    if waiting:
        rebuild_days(runner, user, waiting[0], waiting[-1])
    rebuild_snapshots(runner, user)


def rebuild_snapshots(runner: Runner, user: User) -> str:
    """Rebuild the statistics of all periods of a user. Return the id of the Dagster run."""
    return run_of_user(runner, f"Building snapshots of {user.display_name}", "snapshot_build", user)


def run_of_user(runner: Runner, title: str, job_name: str, user: User) -> str:
    """Run a job over assets that are partitioned by user. Return the id of the Dagster run."""
    return runner.run(title, job_name, partition_key=user.partition_key, tags={USER_TAG: user.partition_key})


def rebuild_days(runner: Runner, user: User, first: date, last: date) -> None:
    """Rebuild a range of days of a user."""
    runner.run(
        f"Building {plural((last - first).days + 1, 'day')} of {user.display_name}",
        "rollup_build",
        tags={
            USER_TAG: user.partition_key,
            **range_tags(first, last, user.partition_key, since=runner.first_day()),
        },
    )


def show_outcomes(store: Store, run_id: str, console: Console, min_play_ms: int) -> None:
    """Print the outcome of the rows of each file that a run imported, and why rows were rejected."""
    show_table(store, run_id, console, min_play_ms)
    files = store.imports.of_run(run_id)
    reasons: Counter[str] = Counter()
    for file in files:
        reasons.update(file.reject_reasons)
    for reason, count in reasons.most_common(REASONS_SHOWN):
        console.print(f"{count:,} rejected: {reason}", highlight=False, markup=False)
    left_out = sum(file.rejected_ms for file in files)
    if left_out:
        console.print(f"Rejected rows contain {duration(left_out)} of listening, which no statistic includes.")
    if reasons:
        console.print(f"The collection import_rejects keeps them, the first {KEPT_REJECTS:,} of a file and reason.")


def show_table(store: Store, run_id: str, console: Console, min_play_ms: int) -> None:
    """Print the table of outcomes, and what its heads mean that do not say it themselves."""
    console.print(outcome_table(store, run_id))
    files = store.imports.of_run(run_id)
    said = [text for outcome, text in EXPLAINED.items() if any(getattr(file, outcome) for file in files)]
    if short := sum(file.short for file in files):
        said.append(f"{plural(short, 'play')} under {min_play_ms / 1000:g} s are kept and not counted.")
    for line in said:
        console.print(line, highlight=False, markup=False)


def outcome_table(store: Store, run_id: str) -> Table:
    """A table of the outcome of the rows of each file that a run imported; outcomes that no file has are left out."""
    files = store.imports.of_run(run_id)
    outcomes = {each: said for each, said in OUTCOMES.items() if any(getattr(file, each) for file in files)}
    counts = [Column(said, justify="right", no_wrap=True) for said in outcomes.values()]
    table = Table(Column("file", overflow="fold"), *counts, title="Imported", box=None, padding=(0, 1, 0, 0))
    for file in files:
        span = f"\n{file.span[0]:%Y-%m-%d} - {file.span[1]:%Y-%m-%d}" if file.span else ""
        name = Text(f"{shortened(PurePosixPath(file.file_name).name)}{span}")
        table.add_row(name, *(f"{getattr(file, each):,}" for each in outcomes))
    return table


def shortened(name: str) -> str:
    """Return the name of a file without the beginning that all files of Spotify's share."""
    return name.removeprefix(SPOTIFY_FILES) or name
