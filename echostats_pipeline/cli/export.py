"""``echostats export``: writes all data of a user as files that other programs read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Column, Table

from echostats_pipeline.accounts.data_export import ExportedFile, export_user
from echostats_pipeline.accounts.private_files import check_free
from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.options import user_option
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
        with _bar(console, f"Exporting {user.partition_key}") as bar:
            files = export_user(store, user, target, progress=bar, at=now, min_play_ms=settings.min_play_ms)
    console.print(files_table(files))
    click.echo(f"They are in {target}, which only you can read.")


def files_table(files: list[ExportedFile]) -> Table:
    """A table of the files and the number of documents in each."""
    table = Table("file", Column("documents", justify="right"), Column("size", justify="right"), title="Exported")
    for each in files:
        table.add_row(each.name, f"{each.documents:,}", decimal(each.size))
    return table


class _Bar:
    """A progress bar that counts documents; satisfies `stages.Progress`."""

    def __init__(self, bars: Bars, title: str) -> None:
        self._bars = bars
        self._task = bars.add_task(title, total=None)
        self._total = 0

    def expect(self, items: int) -> None:
        self._total += items
        self._bars.update(self._task, total=self._total)

    def advance(self, items: int) -> None:
        self._bars.advance(self._task, items)


@contextmanager
def _bar(console: Console, title: str) -> Iterator[_Bar]:
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console) as bars:
        yield _Bar(bars, title)
