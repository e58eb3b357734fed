"""The commands that most people use, as far as they run at once: their options, help and errors of usage.

What they do is in modules that take seconds to load; each is loaded when its command begins.
"""

import re
from datetime import date, datetime
from pathlib import Path

import click

from echostats_pipeline.cli.options import user_option
from echostats_pipeline.errors import SettingsError

HOST = "127.0.0.1"
FIRST_YEAR, LAST_YEAR = 1970, 9999
LONGEST_TOKEN = 4_096


@click.command()
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65_535), help="Port of the Dagster UI.")
@click.option("--metrics-port", type=click.IntRange(1, 65_535), help="Port for Prometheus metrics, for example 9464.")
@click.option(
    "--everywhere",
    is_flag=True,
    help="Listen on all addresses, as a container must. The UI has no login: publish its ports to 127.0.0.1 only.",
)
@click.option(
    "--public-port",
    type=click.IntRange(1, 65_535),
    help="Port that serves reports and the files beside them, read-only, to whoever knows a user's link.",
)
@click.option(
    "--public-host", default=HOST, show_default=True, help="Address of the public port; 0.0.0.0 is every network."
)
def up(port: int, metrics_port: int | None, everywhere: bool, public_port: int | None, public_host: str) -> None:
    """Run everything in the foreground: database, Dagster UI, sensors and schedules. Ctrl-C stops everything."""
    click.echo("Starting the database and Dagster ...")
    from echostats_pipeline.cli.up import run_up  # noqa: PLC0415 - loading it takes seconds

    run_up(port, metrics_port, everywhere=everywhere, public=(public_port, public_host))


@click.command("import")
@click.argument("paths", type=click.Path(path_type=Path), nargs=-1, required=True)
@user_option("User of the history")
def import_history(paths: tuple[Path, ...], name: str | None) -> None:
    """Import listening histories: zips as Spotify sends them, folders, or single files.

    Known formats are Spotify's extended streaming history and account data, EchoTune's CSV, the exports of Last.fm,
    ListenBrainz, Koito and Maloja, and the logs of portable players. Importing the same files again changes nothing.
    """
    from echostats_pipeline.cli.imports import run_import  # noqa: PLC0415 - loading it takes seconds

    run_import(paths, name)


@click.command()
@user_option("User of the report")
@click.option(
    "--year", type=click.IntRange(FIRST_YEAR, LAST_YEAR), metavar="YYYY", help="A calendar year; all time by default."
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; by default a file in the folder reports of ECHOSTATS_HOME.",
)
@click.option("--no-pictures", is_flag=True, help="Draw placeholders; fetch no pictures.")
@click.option("--stored", is_flag=True, help="Write the report that the last run has kept, without making a new one.")
@click.option("--open", "open_it", is_flag=True, help="Show the report in the browser.")
def report(
    name: str | None, year: int | None, output: Path | None, no_pictures: bool, stored: bool, open_it: bool
) -> None:
    """Write a listening report: one HTML file that contains everything it shows and needs no network.

    With several users and without --user, write the index: a page with all users, their years and links to the reports.
    """
    from echostats_pipeline.cli.report import run_report  # noqa: PLC0415 - loading it takes seconds

    run_report(name, year, output, no_pictures=no_pictures, stored=stored, open_it=open_it)


def checked_month(_context: click.Context, _parameter: click.Parameter, text: str | None) -> date | None:
    """Click callback that returns the first date of a month written as ``2026-11``."""
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{4}-[0-9]{1,2}", text):
        raise click.BadParameter(f"{text!r} is no month; write it like 2026-11.")
    year, month = map(int, text.split("-"))
    if year < FIRST_YEAR or not 1 <= month <= 12:  # noqa: PLR2004 - months of a year
        raise click.BadParameter(f"{text!r} is no month; write it like 2026-11.")
    return date(year, month, 1)


@click.command()
@user_option("User of the recap")
@click.option(
    "--year",
    type=click.IntRange(FIRST_YEAR, LAST_YEAR),
    metavar="YYYY",
    help="A calendar year; the latest one with plays by default.",
)
@click.option("--month", callback=checked_month, metavar="YYYY-MM", help="A month instead of a year.")
@click.option("--png", is_flag=True, help="Also draw cards to share: 1080 x 1920 and 1200 x 630.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder to write to; by default the folder reports of ECHOSTATS_HOME.",
)
@click.option("--no-pictures", is_flag=True, help="Draw placeholders; fetch no pictures.")
@click.option("--open", "open_it", is_flag=True, help="Show the page in the browser.")
def recap(
    name: str | None,
    year: int | None,
    month: date | None,
    png: bool,
    output: Path | None,
    no_pictures: bool,
    open_it: bool,
) -> None:
    """Write the recap of a year or a month: a page, and with --png cards to share."""
    if year is not None and month is not None:
        raise click.UsageError("Give --year or --month, not both.")
    from echostats_pipeline.cli.recap import run_recap  # noqa: PLC0415 - loading it takes seconds

    run_recap(name, year, month, png=png, output=output, no_pictures=no_pictures, open_it=open_it)


@click.command()
@user_option("User whose plays are sent")
@click.option("--to", "address", metavar="URL", help="Address of the service, or `listenbrainz`. Not needed later.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, allow_dash=True),
    help="File with the user's token at the service; - reads it from the standard input.",
)
@click.option(
    "--from",
    "since",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="First day whose plays are sent; all plays by default.",
)
@click.option("--dry-run", is_flag=True, help="Count what would be sent. Send nothing and store nothing.")
@click.option("--stop", is_flag=True, help="Send nothing more to the service, and forget the token.")
def scrobble(
    name: str | None,
    address: str | None,
    token_file: Path | None,
    since: datetime | None,
    *,
    dry_run: bool,
    stop: bool,
) -> None:
    """Send a user's plays on to ListenBrainz, Koito, Maloja or multi-scrobbler, now and from then on.

    The service and the encrypted token are stored. While `echostats up` runs, new plays follow within minutes.
    Each play that counts is sent once. Without --to, plays go to the services that are stored.
    """
    if address is None and (stop or token_file or since):
        raise click.UsageError("Name the service with --to.")
    token = None if token_file is None else read_token(token_file)
    from echostats_pipeline.cli.scrobble import run_scrobble  # noqa: PLC0415 - loading it takes seconds

    run_scrobble(name, address, token, since, dry_run=dry_run, stop=stop)


def read_token(path: Path) -> str:
    """The token in a file; ``-`` is the standard input.

    Raises:
        SettingsError: the file cannot be read, or does not hold one token.
    """
    try:
        with click.open_file(str(path), encoding="utf-8") as file:
            text: str = file.read(LONGEST_TOKEN + 1).strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(f"The token file {path} cannot be read: {cause}.") from error
    if not text:
        raise SettingsError(f"The token file {path} is empty. Copy the token from your profile at the service into it.")
    if len(text) > LONGEST_TOKEN or not text.isascii() or not text.isprintable() or " " in text:
        raise SettingsError(f"The token file {path} must hold the token and nothing else.")
    return text
