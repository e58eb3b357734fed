"""``echostats up``: the database, the Dagster webserver and daemon, and the simulator where it is needed."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

import click
import requests

from echostats_pipeline.cli.instance import open_database, open_instance, prepare_dagster_home, project_file
from echostats_pipeline.cli.metrics_server import serving_metrics
from echostats_pipeline.cli.simulated import simulated_spotify
from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.event_log_storage import BATCH_SIZE, BATCH_SIZE_VARIABLE
from echostats_pipeline.metrics import measured
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.notices import Notifier
from echostats_pipeline.roster import Roster, webserver_file
from echostats_pipeline.settings import Settings, load_settings, set_environment
from echostats_pipeline.storage.home import StateFolder
from echostats_pipeline.storage.store import Store

HOST = "127.0.0.1"
START_TIMEOUT_S, STOP_TIMEOUT_S, POLL_S = 120.0, 30.0, 0.2
LOG_LINES = 5


@click.command()
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65_535), help="Port of the Dagster UI.")
@click.option(
    "--metrics-port", type=click.IntRange(1, 65_535), help="Serve Prometheus metrics there, for example 9464."
)
def up(port: int, metrics_port: int | None) -> None:
    """Run everything in the foreground: database, Dagster UI, sensors and schedules. Ctrl-C stops it all."""
    settings = load_settings()
    Notifier(settings.alerts)  # an address that is not understood is better told now than when it is needed
    home = StateFolder(settings.home).ensure()
    _refuse_taken(port, "--port")
    if metrics_port is not None:
        _refuse_taken(metrics_port, "--metrics-port")
    simulator = simulated_spotify(settings) if settings.simulated else nullcontext()
    with _interruptible(), contextlib.suppress(KeyboardInterrupt), open_database(settings) as store, simulator:
        users = store.users.all(simulated=settings.simulated)
        Roster(settings.home).write([user.partition_key for user in users])
        with _dagster(settings, home, port) as dagster, _metrics(settings, store, metrics_port) as metrics_url:
            click.echo(_welcome(settings, port, metrics_url, [user.partition_key for user in users]))
            dagster.wait()
            raise EchostatsError(f"Dagster stopped by itself. Its last words:\n{_last_lines(home)}")
    click.echo("Stopped.")


@contextmanager
def _metrics(settings: Settings, store: Store, port: int | None) -> Iterator[str]:
    """Metrics at a port of their own; nothing without one."""
    if port is None:
        yield "not served; for Prometheus: echostats up --metrics-port 9464"
        return
    with (
        open_instance(settings) as instance,
        serving_metrics(port, lambda: measured(store, instance, settings, utc_now())) as url,
    ):
        yield url


def _welcome(settings: Settings, port: int, metrics_url: str, user_keys: list[str]) -> str:
    database = "MONGO_URI" if settings.mongo_uri else "embedded"
    spotify = "simulated; set SPOTIFY_CLIENT_ID for the real one" if settings.simulated else "real"
    return (
        f"Dagster UI:  http://{HOST}:{port}\n"
        f"Database:    {settings.mongo_db} ({database}), see: echostats mongo uri\n"
        f"Spotify:     {spotify}\n"
        f"Metrics:     {metrics_url}\n"
        f"Users:       {', '.join(user_keys) or 'none yet, see: echostats demo, echostats connect'}\n"
        "Ctrl-C stops everything that was started here."
    )


def _refuse_taken(port: int, option: str) -> None:
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        raise EchostatsError(
            f"Port {port} is in use ({error.strerror}), perhaps by another `echostats up`. "
            f"Choose another with: echostats up {option} {port + 1}"
        ) from error


@contextmanager
def _dagster(settings: Settings, home: StateFolder, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Webserver and daemon as one child with a session of its own, so that Ctrl-C reaches it only through us."""
    set_environment({"DAGSTER_HOME": str(prepare_dagster_home(home)), BATCH_SIZE_VARIABLE: str(BATCH_SIZE)})
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(project_file("workspace.yaml"))]
    with (home.path / "dagster.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and files
            [*command, "-h", HOST, "-p", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=home.path,
            start_new_session=True,
        )
    try:
        url = f"http://{HOST}:{port}"
        _await_webserver(process, url, home)
        home.write_json(webserver_file(settings.home), {"url": url})
        yield process
    finally:
        webserver_file(settings.home).unlink(missing_ok=True)
        _stop(process)


def _await_webserver(process: subprocess.Popen[bytes], url: str, home: StateFolder) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{url}/server_info", timeout=2).ok:
                return
        time.sleep(POLL_S)
    raise EchostatsError(
        f"The Dagster webserver did not start. The end of {home.path / 'dagster.log'}:\n{_last_lines(home)}"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the child, which stops its own children; what is left after a while is killed with its session."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _last_lines(home: StateFolder) -> str:
    text = (home.path / "dagster.log").read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.splitlines()[-LOG_LINES:])


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM (service managers) end the block, once: the cleaning up that follows is not disturbed.

    Handlers of our own also undo the deafness to Ctrl-C that a process started in a shell's background inherits, and
    would pass on to Dagster.
    """
    ending = (signal.SIGINT, signal.SIGTERM)

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        for number in ending:
            signal.signal(number, lambda _signal, _frame: None)
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in ending}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
