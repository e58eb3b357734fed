"""``echostats import``: a streaming history from disk into the listening history."""

from datetime import date
from pathlib import Path

import click
from rich.console import Console
from rich.table import Column, Table

from echostats_pipeline.cli.instance import Runner, open_pipeline
from echostats_pipeline.exports.files import find_export_files
from echostats_pipeline.jobs import USER_TAG
from echostats_pipeline.model.users import User
from echostats_pipeline.partitions import range_tags
from echostats_pipeline.settings import load_settings
from echostats_pipeline.storage.store import Store

OUTCOMES = ("rows", "inserted", "merged", "duplicate", "not_music", "rejected")


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--user", "name", required=True, help="Whose history it is: partition key, display name or Spotify id.")
def import_history(path: Path, name: str) -> None:
    """Import an extended streaming history: the zip from Spotify, its folder, or one of its files."""
    settings, console = load_settings(), Console()
    path = path.absolute()
    find_export_files(path)
    with open_pipeline(settings) as (store, instance):
        user = store.users.find(name)
        runner = Runner(instance, store, {}, console)
        run_id = import_with(runner, user, path)
        rebuild_with(runner, store, user)
        console.print(outcome_table(store, run_id))


def import_with(runner: Runner, user: User, path: Path) -> str:
    """Run the import of one user; returns the id of the Dagster run."""
    runner.add_user(user)
    return runner.run(
        f"Importing {path.name} for {user.display_name}",
        "history_import",
        partition_key=user.partition_key,
        tags={USER_TAG: user.partition_key},
        config={"ops": {"streaming_history_import": {"config": {"path": str(path)}}}},
    )


def rebuild_with(runner: Runner, store: Store, user: User) -> None:
    """Rebuild the days of a user that wait, then the snapshots."""
    waiting = sorted(store.rebuilds.pending_days(user.user_id))
    if waiting:
        rebuild_days(runner, user, waiting[0], waiting[-1])
    runner.run(
        f"Building snapshots of {user.display_name}",
        "snapshot_build",
        partition_key=user.partition_key,
        tags={USER_TAG: user.partition_key},
    )


def rebuild_days(runner: Runner, user: User, first: date, last: date) -> None:
    """Rebuild a range of days of a user."""
    runner.run(
        f"Building {(last - first).days + 1} days of {user.display_name}",
        "rollup_build",
        tags={USER_TAG: user.partition_key, **range_tags(first, last, user.partition_key)},
    )


def outcome_table(store: Store, run_id: str) -> Table:
    """What became of the rows of each file that a run imported."""
    table = Table(Column("file", overflow="fold"), *OUTCOMES, title="Imported")
    for file in store.imports.of_run(run_id):
        table.add_row(file.file_name, *(f"{getattr(file, outcome):,}" for outcome in OUTCOMES))
    return table
