"""``echostats connect``: a user's consent, from the browser into the database."""

import re
import sys
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import click
from click.core import ParameterSource

from echostats_pipeline.accounts.connecting import configured_spotify, connect_account
from echostats_pipeline.accounts.consent import ConsentAttempt
from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.options import checked_timezone
from echostats_pipeline.cli.redirect import NotServed, Redirects, served
from echostats_pipeline.errors import ConsentNotGiven, EchostatsError, SettingsError
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import User, known_timezone
from echostats_pipeline.settings import load_settings
from echostats_pipeline.spotify.oauth import COVER_SCOPES, PLAYLIST_SCOPES, SpotifyApp

WAIT_S = 5 * 60.0
"""Seconds that the browser may take."""
LOCALTIME = Path("/etc/localtime")
UTC_NAMES = {"UTC", "UCT", "Zulu", "Universal", "Etc/UTC", "Etc/UCT", "Etc/Zulu", "Etc/Universal"}

Connect = Callable[[str], User]
"""From the address at which the sign-in ended to the stored user."""


def _chosen_timezone(context: click.Context, parameter: click.Parameter, name: str | None) -> str:
    """The time zone of the option, else the machine's. A ``TZ`` whose value is no zone name counts as unset."""
    if name is not None and context.get_parameter_source("timezone") is ParameterSource.COMMANDLINE:
        return checked_timezone(context, parameter, name)
    return machine_timezone(name or "", LOCALTIME)


def machine_timezone(tz: str, localtime: Path) -> str:
    """The IANA zone of this machine: of its variable ``TZ``, else of the file that `localtime` links to, else UTC."""
    _, _, linked = localtime.resolve().as_posix().partition("zoneinfo/")
    for name in (tz.removeprefix(":"), linked.removeprefix("posix/").removeprefix("right/")):
        with suppress(ValueError):
            if name:
                return known_timezone(name)
    return "UTC"


@click.command()
@click.option(
    "--timezone",
    envvar="TZ",
    callback=_chosen_timezone,
    help="IANA time zone in which the days of a new user begin; by default this machine's.",
)
@click.option("--playlists", is_flag=True, help="Also ask for the permission to write private playlists.")
@click.option("--covers", is_flag=True, help="Also for that to give these playlists a cover; includes --playlists.")
@click.option("--no-browser", is_flag=True, help="Only print the address; paste the address it leads to.")
def connect(timezone: str, *, playlists: bool, covers: bool, no_browser: bool) -> None:
    """Connect a Spotify account, or renew its consent: opens Spotify's page in the browser and waits for you."""
    settings = load_settings()
    _check_client_id(settings.spotify_client_id)
    further = (*PLAYLIST_SCOPES, *COVER_SCOPES) if covers else PLAYLIST_SCOPES if playlists else ()
    attempt = ConsentAttempt.of(configured_spotify(settings).app, further)
    timezone = _asked_timezone(timezone)
    with open_database(settings) as store:

        def finish(address: str) -> User:
            code = attempt.code(address)
            return connect_account(
                settings, store, code=code, verifier=attempt.verifier, timezone=timezone, now=utc_now()
            )

        click.echo(f"Days of a new user begin in {timezone}; --timezone chooses another zone.")
        click.echo(f"Spotify asks for your consent at this address:\n\n  {attempt.address}\n")
        click.echo(f"{_on_spotifys_page(attempt.app)}\n")
        with served(attempt.app.redirect_uri) as redirects:
            if not no_browser and isinstance(redirects, NotServed) and redirects.reason:
                click.echo(f"{_ways_on(attempt.app, redirects)}\n", err=True)
            if not no_browser and isinstance(redirects, Redirects) and webbrowser.open(attempt.address):
                user = _from_browser(attempt, redirects, finish)
            else:
                user = finish(_pasted(attempt.app))
    click.secho(f"Connected {_name(user)} as {user.partition_key}, with days in {user.timezone}.", fg="green")
    click.echo("`echostats up` syncs from now on; `echostats users` shows all users.")


def _check_client_id(client_id: str | None) -> None:
    """Refuse a client id at once that Spotify would refuse only in the browser.

    Raises:
        SettingsError: it cannot be a client id.
    """
    if client_id is not None and not re.fullmatch("[0-9a-fA-F]{32}", client_id):
        raise SettingsError(
            f"SPOTIFY_CLIENT_ID is not a client id: it must be 32 hexadecimal digits and has {len(client_id)} "
            "characters. Copy the Client ID of your app from https://developer.spotify.com/dashboard."
        )


def _asked_timezone(timezone: str) -> str:
    """The time zone. A machine that never had one set reports UTC; then the user is asked."""
    given = click.get_current_context().get_parameter_source("timezone") is ParameterSource.COMMANDLINE
    if given or timezone not in UTC_NAMES:
        return timezone
    if not sys.stdin.isatty():
        click.echo(f"This machine's time zone is {timezone}, and there is no terminal to ask for yours.", err=True)
        return timezone
    click.echo("This machine's time zone is UTC. In which zone do the days of a new user begin?")
    chosen: str = click.prompt("Time zone, like Europe/Berlin", default=timezone, value_proc=_zone_or_again)
    return chosen


def _zone_or_again(name: str) -> str:
    try:
        return known_timezone(name.strip())
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _ways_on(app: SpotifyApp, not_served: NotServed) -> str:
    return (
        f"{not_served.reason}, so the browser's way back, {app.redirect_uri}, cannot be served. Either paste the "
        "address as follows; or press Ctrl-C, end the program that listens there, and connect again; or choose another "
        "port in SPOTIFY_REDIRECT_URI and add that address under Redirect URIs of the app in Spotify's dashboard."
    )


def _pasted(app: SpotifyApp) -> str:
    click.echo("Open it in any browser and agree. The page you end up at need not open: only its address matters.")
    click.echo(f"Copy that address, which begins with {app.redirect_uri}, and paste it here.")
    address: str = click.prompt("Address")
    return address


def _from_browser(attempt: ConsentAttempt, redirects: Redirects, finish: Connect) -> User:
    """Wait for the browser to come back, finish, and show the result in the browser.

    Raises:
        ConsentNotGiven: the browser did not come back.
        EchostatsError: what `finish` raises; the browser shows it too.
    """
    click.echo("It is open in your browser. Agree there; this ends by itself, or with Ctrl-C.")
    for visit in redirects.within(WAIT_S):
        if not attempt.is_answered_by(visit.address):
            said = "This page belongs to another attempt to connect. Close it, and use the newest page only."
            click.echo(f"{said} Still waiting.", err=True)
            visit.answer("Not this one", said, HTTPStatus.BAD_REQUEST)
            continue
        try:
            user = finish(visit.address)
        except EchostatsError as error:
            visit.answer("Not connected", str(error), HTTPStatus.BAD_REQUEST)
            raise
        visit.answer("Connected", f"Connected as {_name(user)}. You can close this window.")
        return user
    raise ConsentNotGiven(
        f"The browser did not come back to {attempt.app.redirect_uri} within {WAIT_S / 60:g} minutes. "
        f"{_on_spotifys_page(attempt.app)} With a browser on another machine use `echostats connect --no-browser`."
    )


def _on_spotifys_page(app: SpotifyApp) -> str:
    """What to do about errors that Spotify shows only in the browser."""
    return (
        "If Spotify's page says 'INVALID_CLIENT: Invalid client', check SPOTIFY_CLIENT_ID; if it says 'INVALID_CLIENT: "
        f"Invalid redirect URI', add exactly {app.redirect_uri} under Redirect URIs of the app at "
        "https://developer.spotify.com/dashboard."
    )


def _name(user: User) -> str:
    return user.display_name or user.spotify_id
