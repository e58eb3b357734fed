"""``echostats connect``: a user's consent, from the browser into the database."""

import secrets
from urllib.parse import parse_qs, urlsplit

import click

from echostats_pipeline.cli.instance import open_database
from echostats_pipeline.errors import SpotifyError
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.model.users import known_timezone
from echostats_pipeline.settings import load_settings
from echostats_pipeline.spotify.oauth import authorize_url, challenge, new_verifier
from echostats_pipeline.stages.accounts import configured_spotify, connect_account


@click.command()
@click.option(
    "--timezone",
    default="UTC",
    show_default=True,
    callback=lambda _context, _option, name: _checked_timezone(name),
    help="IANA time zone in which your days begin.",
)
def connect(timezone: str) -> None:
    """Connect a Spotify account: open an address in any browser, consent, and paste the address you end up at."""
    settings = load_settings()
    spotify = configured_spotify(settings)
    state = secrets.token_urlsafe(16)
    verifier = new_verifier() if spotify.app.client_secret is None else None
    address = authorize_url(spotify.app, state=state, code_challenge=challenge(verifier) if verifier else None)
    click.echo(f"Open this address in a browser and agree:\n\n  {address}\n")
    click.echo(
        "The browser then shows a page that cannot be opened. That is fine: copy its address from the address bar."
    )
    code = code_from_redirect(click.prompt("Address"), state)
    with open_database(settings) as store:
        user = connect_account(settings, store, code=code, verifier=verifier, timezone=timezone, now=utc_now())
    click.echo(
        f"Connected {user.display_name or user.spotify_id} as {user.partition_key}. `echostats up` syncs from now on."
    )


def _checked_timezone(name: str) -> str:
    try:
        return known_timezone(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def code_from_redirect(address: str, state: str) -> str:
    """The authorization code in the address that Spotify redirected to.

    Raises:
        SpotifyError: consent was refused, or the address belongs to another attempt.
    """
    try:
        query = parse_qs(urlsplit(address.strip()).query)
    except ValueError:  # not even an address
        query = {}
    if "error" in query:
        raise SpotifyError(
            f"Spotify did not grant access ({query['error'][0]}). Nothing was stored; try again to agree."
        )
    if query.get("state") != [state] or "code" not in query:
        raise SpotifyError(
            "This is not the address that this attempt led to: its state or code is missing or another one's. "
            "Run `echostats connect` again and paste the address of the page you end up at."
        )
    return query["code"][0]
