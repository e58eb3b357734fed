"""``simulate``: serves the simulated Spotify in the foreground, or writes the exports of its first user.

Belongs here: options and output. Not here: anything the simulator does (``simulator``).
"""

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from echostats_pipeline.cli.simulated import guarded_simulator
from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.simulator.behaviour import (
    DEV_QUOTA,
    REGIMES,
    ROTATIONS,
    Behaviour,
    BehaviourError,
    Fault,
    Regime,
    Rotation,
    describe_faults,
    parse_faults,
)
from echostats_pipeline.simulator.clock import Clock
from echostats_pipeline.simulator.exports import ExportTruth, write_basic_export, write_extended_export
from echostats_pipeline.simulator.library import LibrarySize
from echostats_pipeline.simulator.running import LOOPBACK, bound_socket
from echostats_pipeline.simulator.server import create_app
from echostats_pipeline.simulator.wire import http_server
from echostats_pipeline.simulator.world import World

DEFAULT_PORT = 8899
_EXTENDED_DAYS, _BASIC_DAYS = 3 * 365 + 1, 365


def _parsed_faults(_context: click.Context, _option: click.Parameter, text: str) -> dict[str, Fault]:
    try:
        return parse_faults(text)
    except BehaviourError as error:
        raise click.BadParameter(str(error)) from error


@click.command(epilog="Faults:\n\n" + describe_faults().replace("\n", "\n\n"))
@click.option("--host", default=LOOPBACK, show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=DEFAULT_PORT,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--seed", default=1, show_default=True, help="Equal seeds give equal worlds.")
@click.option("--users", default=3, show_default=True, type=click.IntRange(min=1), help="Number of simulated users.")
@click.option(
    "--playlists", default=0, type=click.IntRange(0, 11_000), help="Least number of playlists of the first user."
)
@click.option(
    "--saved-tracks", default=0, type=click.IntRange(0, 90_000), help="Least number of songs that the first user likes."
)
@click.option(
    "--export",
    "export_to",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write an extended and a basic export of the first user into this folder and exit.",
)
@click.option("--regime", default="extended", show_default=True, type=click.Choice(REGIMES), help="Rights of the app.")
@click.option(
    "--quota",
    type=click.IntRange(min=0),
    help=f"Successful calls per endpoint family in 24 h, 0 for any number.  [default: 0, {DEV_QUOTA} in dev regimes]",
)
@click.option("--rate-limit", type=click.IntRange(min=0), help="Successful calls in 30 s.  [default: any number]")
@click.option(
    "--rotate",
    default="never",
    show_default=True,
    type=click.Choice(ROTATIONS),
    help="Whether a refresh brings a new refresh token.",
)
@click.option(
    "--faults",
    default="",
    callback=_parsed_faults,
    metavar="FAULT,...",
    help="NAME=RATE or NAME@CALL+CALL (numbers of calls), optionally :VARIANT+VARIANT; names and variants below.",
)
def simulate(
    *,
    host: str,
    port: int,
    seed: int,
    users: int,
    playlists: int,
    saved_tracks: int,
    export_to: Path | None,
    regime: Regime,
    quota: int | None,
    rate_limit: int | None,
    rotate: Rotation,
    faults: Mapping[str, Fault],
) -> None:
    """Serve a simulated Spotify: sign-in, Web API, and users who listen to music."""
    world = World(seed=seed, user_count=users, size=LibrarySize(playlists, saved_tracks))
    if export_to is None:
        try:
            behaviour = Behaviour(regime=regime, quota=quota, rate_limit=rate_limit, rotation=rotate, faults=faults)
        except BehaviourError as error:
            raise click.UsageError(str(error)) from error
        _serve(world, host, port, behaviour)
    else:
        _export(world, export_to)


def _serve(world: World, host: str, port: int, behaviour: Behaviour) -> None:
    try:
        listener = bound_socket(host, port)
    except EchostatsError as error:
        raise click.ClickException(str(error)) from error
    with listener:
        base_url = f"http://{host}:{listener.getsockname()[1]}"
        click.echo(f"Simulated Spotify at {base_url}, seed {world.seed}, regime {behaviour.regime}. Ctrl-C stops it.")
        click.echo("Users:")
        for user in world.users:
            click.echo(f"  {user.id:<24} {user.display_name:<24} {user.timezone} ({user.product})")
        click.echo(f"Sign in:   {base_url}/authorize   (add login_as=<user id> to skip the page)")
        click.echo(f"Tokens:    {base_url}/api/token    (any client id; a secret or PKCE)")
        click.echo(f"Web API:   {base_url}/v1")
        click.echo(f"Features:  {base_url}/reccobeats/v1/audio-features")
        click.echo(f"Genres:    {base_url}/musicbrainz/ws/2 and {base_url}/lastfm/2.0/")
        click.echo(f"Switches:  {base_url}/simulator/behaviour   (GET, POST; /simulator/calls counts calls)")
        click.echo(f'Clock:     POST {base_url}/simulator/clock  {{"advance_seconds": 3600}}')
        server = http_server(guarded_simulator(create_app(world, Clock(), behaviour=behaviour), host))
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is the normal end
            server.run(sockets=[listener])


def _export(world: World, folder: Path) -> None:
    user, end = world.users[0], datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    folder.mkdir(parents=True, exist_ok=True)
    extended, basic = folder / f"{user.id}-extended.zip", folder / f"{user.id}-basic.zip"
    _report(extended, write_extended_export(world, user, end - timedelta(days=_EXTENDED_DAYS), end, extended))
    _report(basic, write_basic_export(world, user, end - timedelta(days=_BASIC_DAYS), end, basic))


def _report(path: Path, truth: ExportTruth) -> None:
    click.echo(f"{path}: {truth.rows} rows in {len(truth.rows_per_file)} files, {truth.not_music_rows} not music")
