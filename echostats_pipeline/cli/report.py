"""``echostats report``: writes a user's year, or all time, as one HTML file."""

import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path

import click

from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.simulated import simulated_spotify
from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.instance.user_cleanup import remove_files_of_removed
from echostats_pipeline.report.beside import beside_files
from echostats_pipeline.report.index import write_index
from echostats_pipeline.report.make import WrittenReport, make_report, report_file
from echostats_pipeline.report.pictures import Fetch, from_network, pictures_kept
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.state_folder import StateFolder, replace_file
from echostats_pipeline.storage.files import FileKey
from echostats_pipeline.storage.store import Store


def run_report(
    name: str | None, year: int | None, output: Path | None, *, no_pictures: bool, stored: bool, open_it: bool
) -> None:
    """Write the report of the user of that name, or the index of several."""
    settings = load_settings()
    folder = StateFolder(settings.home)
    with open_database(settings) as store:
        remove_files_of_removed(settings, store)
        if name is None and len(users := store.users.all()) > 1:
            if year is not None or output is not None or stored:
                store.users.find(name)  # says that the user must be named
            with pictures_for(settings, users[0], wanted=not no_pictures) as fetch:
                path = write_index(store, folder, utc_now(), fetch)
            show(path, open_it=open_it)
            return
        user = store.users.find(name)
        if stored:
            path = write_stored(store, user, folder, year, output)
        else:
            with pictures_for(settings, user, wanted=not no_pictures) as fetch:
                made = make_report(
                    store, user, folder, utc_now(), year=year, output=output, fetch=fetch, settings=settings
                )
            click.echo(said_of(made, no_pictures=no_pictures), err=True)
            path = made.path
        if output is None:
            write_index(store, folder, utc_now(), pictures_kept)
    show(path, open_it=open_it)


def show(path: Path, *, open_it: bool) -> None:
    """Print the path of a page, and open it in the browser if that is asked for."""
    click.echo(str(path))
    if open_it and not webbrowser.open(path.as_uri()):
        click.echo("No browser could be started; open the file yourself.", err=True)


def write_stored(store: Store, user: User, folder: StateFolder, year: int | None, output: Path | None) -> Path:
    """Write the report that a run has kept in the database. Return its path.

    Raises:
        NotFoundError: no run has kept one.
    """
    default, content = report_file(folder.ensure(), user, year), BytesIO()
    store.files.read(FileKey(user.user_id, "report", default.name), content)
    path = (output or default).absolute()
    replace_file(path, content.getvalue())
    if path.name == default.name:
        for beside in beside_files(path.parent, user):
            with suppress(NotFoundError):  # an earlier version kept none
                _write_kept(store, user, beside)
    return path


def _write_kept(store: Store, user: User, path: Path) -> None:
    content = BytesIO()
    store.files.read(FileKey(user.user_id, "report", path.name), content)
    replace_file(path, content.getvalue())


@contextmanager
def pictures_for(settings: Settings, user: User, *, wanted: bool) -> Iterator[Fetch | None]:
    """Function that fetches the pictures of a user: for a simulated user from the simulator, which runs meanwhile."""
    if not wanted:
        yield None
    elif not user.simulated:
        yield from_network()
    else:
        with simulated_spotify(settings) as simulator:
            yield from_network(simulator.base_url)


def said_of(made: WrittenReport, *, no_pictures: bool) -> str:
    """What the report contains, and what is missing."""
    text = f"Wrote {made.size_bytes / 1000:,.0f} kB with {made.charts} charts and {made.pictures} pictures."
    if made.pictures_missing and not no_pictures:
        text += (
            f" {made.pictures_missing} more could not be fetched: placeholders replace them, and the next report tries "
            "again."
        )
    return text
