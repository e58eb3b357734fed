"""``echostats remove``: removes a user and all their data for good. ``echostats users remove`` is the same."""

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.filesize import decimal
from rich.table import Column, Table

from echostats_pipeline.accounts.removal import remove_user
from echostats_pipeline.cli.instance import open_pipeline
from echostats_pipeline.cli.options import yes_option
from echostats_pipeline.cli.warehouse import left_in_warehouse, rows_in_warehouse
from echostats_pipeline.local.webserver import webserver_url
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.orchestration.instance.code_location import reload_code_location
from echostats_pipeline.orchestration.instance.user_cleanup import remove_outside, user_files
from echostats_pipeline.settings import load_settings

STAYS = (
    "Not touched: exports and backups you keep elsewhere, the history of runs in Dagster, the catalogue that all users "
    "share.\nThe pipeline keeps only the id of the removed user, so that late data does not bring them back. "
    "Connecting the account again creates a new user without data."
)
NOT_COUNTED = "Their rows in the warehouse are not counted here, because PostgreSQL cannot be asked now."
LATE = (
    "A run is working for this user. It stops as soon as it notices; what it writes until then is deleted when it "
    "stops, and at the latest by the nightly job retention. `echostats doctor` counts what is left."
)
logger = logging.getLogger(__name__)


@click.command()
@click.option("--user", "name", required=True, help="User to remove: partition key, display name or Spotify id.")
@yes_option
def remove(name: str, yes: bool) -> None:
    """Remove a user and all their data: documents, import folder, place in Dagster."""
    remove_for_good(name, yes=yes)


@click.command("remove")
@click.argument("name", metavar="USER")
@yes_option
def users_remove(name: str, yes: bool) -> None:
    """Remove a user and all their data, as `echostats remove --user USER` does."""
    remove_for_good(name, yes=yes)


def remove_for_good(name: str, *, yes: bool) -> None:
    """Show a user's data, ask for confirmation unless `yes`, and remove it.

    Raises:
        NotFoundError: no user has that name.
        StorageError: a file of theirs cannot be removed.
    """
    settings, console = load_settings(), Console()
    with open_pipeline(settings) as (store, instance):
        user = store.users.find(name, beginnings=False)
        files, held = user_files(settings, user), rows_in_warehouse(store, settings, user)
        show_owned(console, "To be removed", {**store.owned.counts(user), **(held or {})}, files)
        if held is None:
            click.echo(NOT_COUNTED)
        if not yes:
            whom = f"{user.display_name or user.spotify_id} ({user.partition_key})"
            if not click.confirm(f"Remove {whom} for good?"):
                click.echo("Nothing was removed.")
                raise SystemExit(1)
        at_work = user.user_id in store.jobs.busy_users()
        removed = remove_user(store, user, utc_now())
        reload = remove_outside(instance, settings, user)
        left, kept = left_in_warehouse(store, settings), rows_in_warehouse(store, settings, user)
        gone = {} if held is None or kept is None else Counter(held) - Counter(kept)
        show_owned(console, "Removed", {**removed, **gone}, files)
    if reload:
        reload_code_location(settings.ui_url or webserver_url(settings.home), logger)
    click.echo("\n".join(filter(None, [left, LATE if at_work else "", STAYS])))


def show_owned(console: Console, title: str, counts: Mapping[str, int], files: Mapping[Path, int]) -> None:
    """Print documents by collection and rows by table, then files with their size, one per line."""
    table = Table("collection", Column("documents", justify="right"), title=title)
    for name, count in counts.items():
        table.add_row(name, f"{count:,}")
    console.print(table)
    for path, size in files.items():
        click.echo(f"{path} ({decimal(size)})")
