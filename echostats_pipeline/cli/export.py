"""``echostats export``: writes all data of a user as files that other programs read."""

from pathlib import Path

import click
from rich.console import Console
from rich.filesize import decimal
from rich.table import Column, Table

from echostats_pipeline.accounts.data_export import ExportedFile, export_user
from echostats_pipeline.accounts.private_files import check_free
from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.options import user_option
from echostats_pipeline.cli.progress import progress_bar
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.settings import load_settings


@click.command()
@user_option("User to export")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Folder to write to, new or empty. By default a new folder in the current one.",
)
def export(name: str | None, output: Path | None) -> None:
    """Write all data stored for a user to a folder: JSON Lines, and the plays as Parquet. Tokens are left out."""
    settings, console, now = load_settings(), Console(), utc_now()
    with open_database(settings, indexes=False) as store:
        user = store.users.find(name)
        target = (output or Path(f"echostats-export-{user.partition_key}-{now:%Y-%m-%d}")).resolve()
        check_free(target)
        with progress_bar(console, f"Exporting {user.partition_key}") as bar:
            files = export_user(store, user, target, progress=bar, at=now, min_play_ms=settings.min_play_ms)
    console.print(files_table(files))
    click.echo(f"They are in {target}, which only you can read.")


def files_table(files: list[ExportedFile]) -> Table:
    """A table of the files and the number of documents in each."""
    table = Table("file", Column("documents", justify="right"), Column("size", justify="right"), title="Exported")
    for each in files:
        table.add_row(each.name, f"{each.documents:,}", decimal(each.size))
    return table
