"""``echostats mongo``: shows the address of the database, starts and stops the embedded server.

A thin command around `echostats_pipeline.local.mongod`. With MONGO_URI set, there is no embedded server.
"""

from urllib.parse import urlsplit, urlunsplit

import click

from echostats_pipeline.cli.lazy import LazyGroup
from echostats_pipeline.errors import SettingsError
from echostats_pipeline.local import mongod
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.state_folder import StateFolder


@click.group(cls=LazyGroup)
def mongo() -> None:
    """Show, start and stop the MongoDB server."""


@mongo.command()
def uri() -> None:
    """Print the address of the database, credentials included: mongosh "$(echostats mongo uri)"."""
    settings = load_settings()
    if settings.mongo_uri is not None:
        click.echo(_opening(settings.mongo_uri.get_secret_value(), settings.mongo_db))
        return
    server = mongod.ensure_running(StateFolder(settings.home))
    if server.started_here:
        click.echo(f"Started {_described(server)}. Stop it with: echostats mongo stop", err=True)
    click.echo(server.uri_for(settings.mongo_db))


@mongo.command()
def status() -> None:
    """Say whether the embedded server runs. Exit code 1 if it does not."""
    settings = load_settings()
    if settings.mongo_uri is not None:
        click.echo("MONGO_URI is set: echostats uses that server, the embedded one is not needed.")
        return
    server = mongod.status(StateFolder(settings.home))
    if server is None:
        click.echo(f"MongoDB is not running ({settings.home}). It starts when needed, or with: echostats mongo start")
        raise SystemExit(1)
    click.echo(f"Running: {_described(server)}, database {settings.mongo_db}, state folder {settings.home}")


@mongo.command()
def start() -> None:
    """Start the embedded server and leave it running."""
    server = mongod.ensure_running(_home("start"))
    click.echo(f"{'Started' if server.started_here else 'Already running:'} {_described(server)}")


@mongo.command()
def stop() -> None:
    """Stop the embedded server. Its data stays."""
    click.echo("Stopped MongoDB" if mongod.stop(_home("stop")) else "MongoDB was not running")


def _opening(uri: str, database: str) -> str:
    """The address with the database in its path. Users are looked up in ``admin`` unless the address says otherwise."""
    parts = urlsplit(uri)
    if parts.path.strip("/"):
        return uri
    query = parts.query
    if "@" in parts.netloc and "authsource" not in query.lower():
        query = f"{query}&authSource=admin".lstrip("&")
    return urlunsplit(parts._replace(path=f"/{database}", query=query))


def _home(action: str) -> StateFolder:
    settings: Settings = load_settings()
    if settings.mongo_uri is not None:
        raise SettingsError(
            f"MONGO_URI is set, so there is no embedded server to {action}; nothing was done. "
            "Unset it to use the embedded server."
        )
    return StateFolder(settings.home)


def _described(server: mongod.EmbeddedServer) -> str:
    return f"MongoDB on 127.0.0.1:{server.port} (process {server.pid})"
