"""``simulate``: serve the simulated Spotify in the foreground, or write the exports of its first user.

Belongs here: options and what is printed. Not here: anything the simulator does (``simulator``).
"""

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import uvicorn

from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.simulator.clock import Clock
from echostats_pipeline.simulator.exports import ExportTruth, write_basic_export, write_extended_export
from echostats_pipeline.simulator.running import LOOPBACK, bound_socket
from echostats_pipeline.simulator.server import create_app
from echostats_pipeline.simulator.world import World

DEFAULT_PORT = 8899
_EXTENDED_DAYS, _BASIC_DAYS = 3 * 365 + 1, 365


@click.command()
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
    "--export",
    "export_to",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write an extended and a basic export of the first user into this folder and exit.",
)
def simulate(host: str, port: int, seed: int, users: int, export_to: Path | None) -> None:
    """Serve a simulated Spotify: sign-in, Web API, and users who listen to music."""
    world = World(seed=seed, user_count=users)
    if export_to is None:
        _serve(world, host, port)
    else:
        _export(world, export_to)


def _serve(world: World, host: str, port: int) -> None:
    try:
        listener = bound_socket(host, port)
    except EchostatsError as error:
        raise click.ClickException(str(error)) from error
    with listener:
        base_url = f"http://{host}:{listener.getsockname()[1]}"
        click.echo(f"Simulated Spotify at {base_url}, seed {world.seed}. Ctrl-C stops it.")
        click.echo("Users:")
        for user in world.users:
            click.echo(f"  {user.id:<24} {user.display_name:<24} {user.timezone} ({user.product})")
        click.echo(f"Sign in:   {base_url}/authorize   (add login_as=<user id> to skip the page)")
        click.echo(f"Tokens:    {base_url}/api/token    (any client id; a secret or PKCE)")
        click.echo(f"Web API:   {base_url}/v1")
        click.echo(f'Clock:     POST {base_url}/simulator/clock  {{"advance_seconds": 3600}}')
        server = uvicorn.Server(uvicorn.Config(create_app(world, Clock()), log_level="warning", lifespan="off"))
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how this ends
            server.run(sockets=[listener])


def _export(world: World, folder: Path) -> None:
    user, end = world.users[0], datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    folder.mkdir(parents=True, exist_ok=True)
    extended, basic = folder / f"{user.id}-extended.zip", folder / f"{user.id}-basic.zip"
    _report(extended, write_extended_export(world, user, end - timedelta(days=_EXTENDED_DAYS), end, extended))
    _report(basic, write_basic_export(world, user, end - timedelta(days=_BASIC_DAYS), end, basic))


def _report(path: Path, truth: ExportTruth) -> None:
    click.echo(f"{path}: {truth.rows} rows in {len(truth.rows_per_file)} files, {truth.not_music_rows} not music")
