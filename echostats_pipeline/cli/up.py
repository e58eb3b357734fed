"""``echostats up``: runs the database, Dagster's webserver and daemon, and the simulator where it is needed."""

import contextlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

import click

from echostats_pipeline.cli.dagster_process import HOST, keep_dagster_running, stop_orphan
from echostats_pipeline.cli.database import open_database
from echostats_pipeline.cli.failed_runs import failed_runs
from echostats_pipeline.cli.happenings import Happenings, telling
from echostats_pipeline.cli.instance import open_instance
from echostats_pipeline.cli.interruption import interruptible
from echostats_pipeline.cli.metrics_server import serving_metrics
from echostats_pipeline.cli.only_up import only_up
from echostats_pipeline.cli.simulated import simulated_spotify
from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.local.mongod import free_port
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.monitoring.incidents import configured_secrets
from echostats_pipeline.monitoring.notifier import Notifier
from echostats_pipeline.orchestration.instance.metrics import measured
from echostats_pipeline.orchestration.instance.sensor_roster import Beginning, Roster, first_day_of
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.report.public import read_links
from echostats_pipeline.settings import Settings, load_settings
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.store import Store

MOST_NAMED = 5
EVERYWHERE = "0.0.0.0"  # noqa: S104 - asked for


def run_up(port: int, metrics_port: int | None, *, everywhere: bool, public: tuple[int | None, str]) -> None:
    """Do all that the command does, until it is interrupted."""
    settings = load_settings()
    Notifier(settings.alerts)  # Report an invalid address now, not when a notice is due.
    home = StateFolder(settings.home).ensure()
    with only_up(home, f"http://{HOST}:{port}"):
        if stop_orphan(home):
            click.echo("Stopped the Dagster of an `echostats up` that was killed.")
        if metrics_port is not None:
            _refuse_taken(metrics_port, "--metrics-port")
        public_port, public_host = public
        if public_port is not None:
            _refuse_taken(public_port, "--public-port", public_host)
        _refuse_taken(port, "--port")
        _run(settings, port, metrics_port, public, EVERYWHERE if everywhere else HOST)
    click.echo("Stopped.")


def _run(settings: Settings, port: int, metrics_port: int | None, public: tuple[int | None, str], address: str) -> None:
    """Run everything until it is interrupted."""
    simulator = simulated_spotify(settings) if settings.simulated else nullcontext()
    with interruptible(), contextlib.suppress(KeyboardInterrupt), open_database(settings) as store, simulator:
        users = store.users.all(simulated=settings.simulated)
        Roster(settings.home).write([user.partition_key for user in users])
        Beginning(settings.home).move(first_day_of(store, users, utc_now()))
        metrics = _metrics(settings, store, metrics_port, address)
        with metrics as metrics_url, _public(settings, *public) as public_url:
            welcome = _welcome(settings, port, metrics_url, public_url, [user.partition_key for user in users])
            with _telling(settings, store):
                keep_dagster_running(settings, port, click.echo, welcome, address)


@contextmanager
def _telling(settings: Settings, store: Store) -> Iterator[None]:
    """Print a line for each sync, import and failure while the block runs."""
    with open_instance(settings) as instance:
        secrets, runs = configured_secrets(settings), partial(failed_runs, instance)
        with telling(Happenings(store, utc_now(), secrets, runs), click.echo, utc_now):
            yield


@contextmanager
def _metrics(settings: Settings, store: Store, port: int | None, address: str) -> Iterator[str]:
    """Serve metrics at a separate port, if a port is given."""
    if port is None:
        yield "not served; for Prometheus: echostats up --metrics-port 9464"
        return
    with (
        open_instance(settings) as instance,
        serving_metrics(
            port, lambda: measured(store, instance, settings, utc_now()), settings.ui_hosts, address
        ) as url,
    ):
        yield url


@contextmanager
def _public(settings: Settings, port: int | None, host: str) -> Iterator[str]:
    """Serve reports and the files beside them at a separate port, if a port is given."""
    if port is None:
        yield "not served; for dashboards and readers: echostats up --public-port 8080"
        return
    from echostats_pipeline.cli.public_server import serving_files  # noqa: PLC0415 - it loads a web server

    folder = StateFolder(settings.home)
    with serving_files(folder, port, host) as url:
        yield f"{url}, {plural(len(read_links(folder)), 'user')}; for a link: echostats users publish USER on"


def _welcome(settings: Settings, port: int, metrics_url: str, public_url: str, user_keys: list[str]) -> str:
    database = "MONGO_URI" if settings.mongo_uri else "embedded"
    users = ", ".join(user_keys) if len(user_keys) <= MOST_NAMED else f"{len(user_keys):,}, see: echostats users"
    spotify = "simulated; set SPOTIFY_CLIENT_ID for the real one" if settings.simulated else "real"
    return (
        f"Dagster UI:  http://{HOST}:{port}\n"
        f"Database:    {settings.mongo_db} ({database}), see: echostats mongo uri\n"
        f"Spotify:     {spotify}\n"
        f"Metrics:     {metrics_url}\n"
        f"Public:      {public_url}\n"
        f"Users:       {users or 'none yet, see: echostats demo, echostats connect'}\n"
        "Ctrl-C stops everything that was started here."
    )


def _refuse_taken(port: int, option: str, host: str = HOST) -> None:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise EchostatsError(
            f"Port {port} of {host} cannot be used: {os.strerror(error.errno or 0)}. "
            f"End the program that listens there, or choose another port: echostats up {option} {_free_after(port)}"
        ) from error


def _free_after(port: int) -> int:
    """A free port near this one."""
    for number in range(max(port, 1023) + 1, 65_536):
        with contextlib.suppress(OSError):
            socket.create_server((HOST, number)).close()
            return number
    return free_port()
