"""Dagster's own processes under `echostats up`: started, watched, restarted when they die, and stopped.

`dagster_services` starts the code server, the webserver and the daemon. It ends if one of the three dies while it
starts, or if the webserver or the daemon dies later. If the code server cannot be restarted, it goes on without
sensors.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

from echostats_pipeline.cli.instance import open_instance, shared_dagster_home
from echostats_pipeline.errors import EchostatsError
from echostats_pipeline.local.processes import command_of, process_exists
from echostats_pipeline.local.webserver import answers, webserver_file
from echostats_pipeline.orchestration.instance.code_location import code_location_is_loaded, reload_code_location
from echostats_pipeline.orchestration.instance.dead_runs import end_interrupted_runs
from echostats_pipeline.settings import Settings, set_environment
from echostats_pipeline.state_folder import StateFolder

HOST = "127.0.0.1"
START_TIMEOUT_S, STOP_TIMEOUT_S, POLL_S, WATCH_S = 120.0, 30.0, 0.2, 10.0
LOG_LINES, LOG_BYTES, OLD_LOGS = 5, 10 * 2**20, 2
RESTARTS_WITHIN_S, BACK_OFF_S = 3600.0, (0, 1, 2, 5, 10)
"""Period of restarts and pause before each, in seconds. A process that dies more often needs more than a restart."""
SERVICES = "echostats_pipeline.cli.dagster_services"

log = logging.getLogger(__name__)


class DagsterDiedError(EchostatsError):
    """Dagster ended by itself while it started, or never began to respond."""


def keep_dagster_running(
    settings: Settings, port: int, say: Callable[[str], None], welcome: str, address: str = HOST
) -> None:
    """Run Dagster until it is interrupted. Restart it when it dies, while it starts or later.

    Args:
        settings: Settings with the state folder to work in.
        port: Port of the UI.
        say: Shows a message to the person at the terminal.
        welcome: Message for when the UI responds for the first time.
        address: Address on which the UI listens; it must include this machine's own.

    Raises:
        EchostatsError: Dagster does not start, or dies again and again; quotes its last words.
    """
    home, url = StateFolder(settings.home), f"http://{HOST}:{port}"
    set_environment({"ECHOSTATS_UI_URL": settings.ui_url or url})  # for the sensors
    deaths: deque[float] = deque(maxlen=len(BACK_OFF_S) + 1)
    greeting = welcome
    while True:
        try:
            with _dagster(settings, f"{address}:{port}", url) as dagster:
                say(greeting)
                greeting = "Dagster runs again."
                _watch(dagster, url)
            died = f"Dagster has stopped by itself (exit code {dagster.returncode})"
        except DagsterDiedError as error:
            died = str(error)
        now = time.monotonic()
        deaths.append(now)
        recent = sum(now - death < RESTARTS_WITHIN_S for death in deaths)
        if recent > len(BACK_OFF_S):
            raise EchostatsError(f"Dagster has died {recent} times. Its last words:\n{_last_lines(home)}")
        pause = BACK_OFF_S[recent - 1]
        say(f"{died}; starting it again{f' in {pause} s' if pause else ''}.")
        time.sleep(pause)


def stop_orphan(home: StateFolder) -> bool:
    """Stop the Dagster of an `echostats up` that was killed; False if there is none. The caller must hold the lock."""
    record = home.read_json(orphan_file(home))
    if not isinstance(record, dict) or os.name != "posix":
        return False
    dagster, url = record.get("dagster", 0), record.get("url", "")
    orphan = process_exists(dagster) and SERVICES in command_of(dagster)
    if orphan:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(dagster, signal.SIGKILL)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while answers(url) and time.monotonic() < deadline:
            time.sleep(POLL_S)
    for left in (orphan_file(home), webserver_file(home.path)):
        left.unlink(missing_ok=True)
    return orphan


def orphan_file(home: StateFolder) -> Path:
    """The file with the processes to stop if `echostats up` is killed."""
    return home.path / "dagster.json"


@contextmanager
def _dagster(settings: Settings, place: str, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start webserver and daemon as one child in a session of its own: Ctrl-C reaches it only through this process."""
    home = StateFolder(settings.home)
    with open_instance(settings) as instance:  # the child opens it too
        if shared_dagster_home(settings) is None:  # the runs of a shared instance may execute on other machines
            end_interrupted_runs(instance)
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and files
            [sys.executable, "-m", SERVICES, place, *settings.ui_hosts],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=home.path,
            start_new_session=True,
        )
    threading.Thread(target=_keep_log, args=(process.stdout, _log_file(home)), daemon=True).start()
    try:
        home.write_json(orphan_file(home), {"url": url, "dagster": process.pid})
        _await_webserver(process, url, home)
        home.write_json(webserver_file(home.path), {"url": url, "dagster": process.pid, "up": os.getpid()})
        yield process
    finally:
        webserver_file(home.path).unlink(missing_ok=True)
        _stop(process)
        orphan_file(home).unlink(missing_ok=True)


def _watch(dagster: subprocess.Popen[bytes], url: str) -> None:
    """Return when Dagster has ended by itself. Until then, restart its code server whenever that has died."""
    missing = 0
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            dagster.wait(WATCH_S)
            return
        missing = 0 if code_location_is_loaded(url) else missing + 1
        if missing > 1:  # a single failure may be a reload that another process requested
            reload_code_location(url, log)


def _keep_log(output: IO[bytes], file: Path) -> None:
    """Write Dagster's output to a log file of limited size."""
    handler = RotatingFileHandler(file, maxBytes=LOG_BYTES, backupCount=OLD_LOGS, encoding="utf-8")
    with contextlib.closing(handler):
        for line in output:
            handler.emit(logging.makeLogRecord({"msg": line.decode(errors="replace").rstrip("\n")}))


def _await_webserver(process: subprocess.Popen[bytes], url: str, home: StateFolder) -> None:
    """Return when the webserver responds.

    Raises:
        DagsterDiedError: a process has died before that, or no process responds in time.
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if (code := process.poll()) is not None:
            raise DagsterDiedError(f"Dagster has died while it started (exit code {code}, see {_log_file(home)})")
        if answers(url):
            return
        time.sleep(POLL_S)
    raise DagsterDiedError(f"Dagster has not answered within {START_TIMEOUT_S:.0f} s (see {_log_file(home)})")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt the child, which stops its own children. After a while, kill the rest of its session."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _log_file(home: StateFolder) -> Path:
    return home.path / "dagster.log"


def _last_lines(home: StateFolder) -> str:
    with _log_file(home).open(encoding="utf-8", errors="replace") as text:
        return "".join(deque(text, LOG_LINES)).rstrip("\n")
