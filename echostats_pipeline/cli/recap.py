"""``echostats recap``: writes the recap of a user's year or month as a page, and as pictures to share."""

import webbrowser
from datetime import date
from pathlib import Path

import click

from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.report import pictures_for
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.instance.user_cleanup import remove_files_of_removed
from echostats_pipeline.recap.make import WrittenRecap, make_recap
from echostats_pipeline.report.beside import beside_files, write_beside
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.report.index import write_index
from echostats_pipeline.report.pictures import pictures_kept
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.store import Store

NAMED = 3
"""Most names that are listed."""


def run_recap(
    name: str | None,
    year: int | None,
    month: date | None,
    *,
    png: bool,
    output: Path | None,
    no_pictures: bool,
    open_it: bool,
) -> None:
    """Write the recap of the user of that name."""
    settings = load_settings()
    with open_database(settings) as store:
        remove_files_of_removed(settings, store)
        user = store.users.find(name)
        with pictures_for(settings, user, wanted=not no_pictures) as fetch:
            made = make_recap(
                store, user, settings, utc_now(), year=year, month=month, cards=png, output=output, fetch=fetch
            )
        if output is None:
            link_recaps(store, user, settings)
    click.echo(said_of(made, no_pictures=no_pictures), err=True)
    for path in (made.page, *made.cards):
        click.echo(str(path))
    if open_it and not webbrowser.open(made.page.as_uri()):
        click.echo("No browser could be started; open the page yourself.", err=True)


def link_recaps(store: Store, user: User, settings: Settings) -> None:
    """Write the index of the folder again, and the files beside the user's report if there is one."""
    folder = StateFolder(settings.home)
    write_index(store, folder, utc_now(), pictures_kept)
    if any(path.exists() for path in beside_files(folder.reports_dir, user)):
        write_beside(store, user, folder.reports_dir, utc_now(), min_play_ms=settings.min_play_ms)


def said_of(made: WrittenRecap, *, no_pictures: bool) -> str:
    """What was written, and what is missing."""
    cards = f" and {plural(len(made.cards), 'card')}" if made.cards else ""
    text = f"Wrote a page{cards} with {plural(made.pictures, 'picture')} of artists and albums."
    if made.pictures_missing and not no_pictures:
        text += f" {made.pictures_missing} more could not be fetched: placeholders replace them."
    if made.undrawable:
        several = len(made.undrawable) > 1
        names = ", ".join(made.undrawable[:NAMED]) + (", ..." if len(made.undrawable) > NAMED else "")
        text += (
            f" {plural(len(made.undrawable), 'name')} on the cards {'have' if several else 'has'} letters that no font "
            f"of this computer has ({names}): they are left out. Install a font with these letters, for example Noto."
        )
    return text
