"""The embedded MongoDB server: one mongod per state folder, started on first use, shared by all processes.

A file lock allows one start or stop at a time, and mongod's own lock on its data files shows whether a server runs. The
server proves that it is ours: it accepts the password of the state folder. A stored process id is only a hint, because
the system reuses process ids. The server is standalone, listens on the loopback address only, and requires
authentication. Not here: clients, collections, indexes.
"""

import contextlib
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout

from echostats_pipeline.errors import EmbeddedServerError, StorageError
from echostats_pipeline.local.mongod_access import USER, ask_to_stop, bound_log, free_port, is_ours
from echostats_pipeline.local.mongod_binary import find_mongod, is_illegal_instruction, why_illegal
from echostats_pipeline.local.mongod_process import (
    EXIT_NET_ERROR,
    Address,
    MongodFiles,
    data_in_use,
    end_process,
    last_error,
    leave_running,
    lock_holder,
    logged_addresses,
    start_mongod,
    wait_until_listening,
    wait_until_released,
)
from echostats_pipeline.state_folder import StateFolder

__all__ = ["EmbeddedServer", "ensure_running", "find_mongod", "free_port", "running", "status", "stop"]

START_TIMEOUT_S = 30.0
"""Default time for a start, in seconds."""
PROCESSOR_FIX = "Set MONGO_URI to a MongoDB server on another machine."
_STOP_TIMEOUT_S = 10.0
_STATUS_PATIENCE_S = 2.0
_PORT_ATTEMPTS = 5
_POLL_S = 0.05


@dataclass(frozen=True)
class EmbeddedServer:
    """A running server, verified when this object was created.

    Attributes:
        port: TCP port on 127.0.0.1.
        pid: Process id of mongod.
        started_here: Whether this call started it.
        password: Password of the user ``echostats``.
    """

    port: int
    pid: int
    started_here: bool
    password: str = field(repr=False)

    @property
    def uri(self) -> str:
        """Connection string with credentials and without a database."""
        return self.uri_for("")

    def uri_for(self, database: str) -> str:
        """Connection string with credentials that opens the named database."""
        credentials = f"{quote(USER, safe='')}:{quote(self.password, safe='')}"
        options = "authSource=admin&directConnection=true"
        return f"mongodb://{credentials}@127.0.0.1:{self.port}/{quote(database, safe='')}?{options}"


def ensure_running(
    home: StateFolder,
    *,
    mongod: Path | None = None,
    cache_gb: float = 0.5,
    choose_port: Callable[[], int] = free_port,
    timeout_s: float = START_TIMEOUT_S,
) -> EmbeddedServer:
    """Return the server of the state folder; start it if it is not running. It keeps running after this process.

    Args:
        home: State folder; created if missing.
        mongod: Binary to run; by default `find_mongod`.
        cache_gb: Upper bound of the WiredTiger cache, in GB (at least 0.25).
        choose_port: Proposes a TCP port; called again if the port is in use.
        timeout_s: Seconds that a start, or an answer of a running server, may take.

    Raises:
        EmbeddedServerError: there is no binary, or the server cannot be started or reached; the message quotes mongod's
            last error.
        StorageError: the state folder cannot be used.
    """
    files = MongodFiles(home.ensure().mongo_dir)
    with _exclusive(files, timeout_s):
        server = _find(home, files, timeout_s)
        if server is not None:
            return server
        binary = find_mongod(home) if mongod is None else mongod
        return _start(home, files, binary, cache_gb, choose_port, timeout_s)


def status(home: StateFolder) -> EmbeddedServer | None:
    """Return the running server of the state folder, or None. Starts and creates nothing.

    Raises:
        EmbeddedServerError: a process holds the data files, and does not answer as our server.
    """
    files = MongodFiles(home.mongo_dir)
    if not files.data.is_dir():
        return None
    with _exclusive(files, START_TIMEOUT_S):
        return _find(home, files, _STATUS_PATIENCE_S)


def stop(home: StateFolder) -> bool:
    """Stop the server of the state folder: by command, then by signal, then by force. Its data is kept.

    Returns:
        Whether a server was running.

    Raises:
        EmbeddedServerError: the server does not stop; or it does not answer as our server, and was not touched.
    """
    files = MongodFiles(home.mongo_dir)
    if not files.data.is_dir():
        return False
    with _exclusive(files, START_TIMEOUT_S):
        server = _find(home, files, _STATUS_PATIENCE_S)
        if server is not None:
            _shut_down(files, server)
        files.state.unlink(missing_ok=True)
        return server is not None


@contextlib.contextmanager
def running(home: StateFolder) -> Iterator[EmbeddedServer]:
    """Provide the server of the state folder in a block; at the end, stop it only if this call started it."""
    server = ensure_running(home)
    try:
        yield server
    finally:
        if server.started_here:
            stop(home)


@contextlib.contextmanager
def _exclusive(files: MongodFiles, timeout_s: float) -> Iterator[None]:
    """Let one process at a time start or stop the server; the others wait for up to two start timeouts."""
    lock = FileLock(files.start_lock, timeout=2 * timeout_s, mode=0o600, poll_interval=_POLL_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise EmbeddedServerError(
            f"Another process has been starting or stopping the server for {2 * timeout_s:.0f} seconds "
            f"({files.start_lock}). Try again; if the error stays, end that echostats process."
        ) from error
    except OSError as error:
        raise EmbeddedServerError(
            f"Cannot lock {files.start_lock}: {error.strerror}. Set ECHOSTATS_HOME to a folder that you can write to."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _find(home: StateFolder, files: MongodFiles, patience_s: float) -> EmbeddedServer | None:
    """Return the server that holds the data files, or None if they are free.

    If the server is still starting (the process that started it was killed) or is stopping, this waits for it.
    """
    deadline = time.monotonic() + patience_s
    while data_in_use(files):
        password = _password(home, files)
        for address in _possible_addresses(home, files):
            if is_ours(files, address, password):
                _record(home, files, address)
                bound_log(files, address.port, password)
                return EmbeddedServer(address.port, address.pid, started_here=False, password=password)
        if time.monotonic() > deadline:
            raise _unreachable(files)
        time.sleep(_POLL_S)
    return None


def _possible_addresses(home: StateFolder, files: MongodFiles) -> list[Address]:
    """Return possible addresses of the process that holds the data files: the recorded one, and those in its log."""
    recorded = _recorded(home, files)
    claims = [*([] if recorded is None else [recorded]), *logged_addresses(files)]
    holder = lock_holder(files)
    return [claim for claim in dict.fromkeys(claims) if holder in {None, claim.pid}]


def _start(
    home: StateFolder,
    files: MongodFiles,
    binary: Path,
    cache_gb: float,
    choose_port: Callable[[], int],
    timeout_s: float,
) -> EmbeddedServer:
    _password(home, files)  # the password must be on disk before the server starts
    before = _recorded(home, files)  # of a killed server: clients that still try its port find the new server
    for attempt in range(_PORT_ATTEMPTS):
        port = before.port if before is not None and attempt == 0 else choose_port()
        process = start_mongod(binary, files, port, cache_gb)
        try:
            code = wait_until_listening(process, files, timeout_s)
            # Also after a failed start: a server that a killed process started may hold the data files since a moment
            # ago.
            server = None if code == EXIT_NET_ERROR else _find(home, files, timeout_s)
        except BaseException:
            end_process(process)
            raise
        if server is not None:
            leave_running(process)
            return replace(server, started_here=server.pid == process.pid)
        if code != EXIT_NET_ERROR:
            end_process(process)
            if is_illegal_instruction(process.returncode):
                raise EmbeddedServerError(f"{binary} does not run on this machine. {why_illegal()} {PROCESSOR_FIX}")
            raise EmbeddedServerError(f"mongod ended with exit code {process.returncode}. {last_error(files)}")
    raise EmbeddedServerError(f"No free port in {_PORT_ATTEMPTS} attempts. {last_error(files)}")


def _shut_down(files: MongodFiles, server: EmbeddedServer) -> None:
    ask_to_stop(server.port, server.password)
    signals = [signal.SIGTERM]
    if sys.platform != "win32":
        signals.append(signal.SIGKILL)
    for force in signals:
        if wait_until_released(files, server.pid, _STOP_TIMEOUT_S):
            return
        if lock_holder(files) in {None, server.pid}:
            os.kill(server.pid, force)
    if not wait_until_released(files, server.pid, _STOP_TIMEOUT_S):
        raise EmbeddedServerError(f"mongod (process {server.pid}) does not stop. {last_error(files)}")


def _password(home: StateFolder, files: MongodFiles) -> str:
    """Return the stored password; create it before the first start, but never for data that already has one."""
    text = home.read_text(files.password)
    if text is not None:
        return text.strip()
    if (files.data / "WiredTiger").exists():
        raise EmbeddedServerError(
            f"{files.password} is missing and the database in {files.data} needs it. Restore that file from a backup, "
            f"or move {files.data} away to begin with an empty database."
        )
    password = secrets.token_urlsafe(32)
    home.write_private(files.password, f"{password}\n")
    return password


def _recorded(home: StateFolder, files: MongodFiles) -> Address | None:
    """Return the address in the state file, which is only a hint; None if the file is missing or damaged."""
    try:
        state = home.read_json(files.state)
        return None if state is None else Address(pid=int(state["pid"]), port=int(state["port"]))
    except (StorageError, TypeError, KeyError, ValueError):
        return None


def _record(home: StateFolder, files: MongodFiles, address: Address) -> None:
    if _recorded(home, files) != address:
        started_at = datetime.now(UTC).isoformat(timespec="seconds")
        home.write_json(files.state, {"pid": address.pid, "port": address.port, "started_at": started_at})


def _unreachable(files: MongodFiles) -> EmbeddedServerError:
    holder = lock_holder(files)
    process = "A process" if holder is None else f"Process {holder}"
    return EmbeddedServerError(
        f"{process} holds the database in {files.data} and does not answer as its server. If a mongod in another "
        f"container or of another user runs on this folder, set MONGO_URI to its address; otherwise end that process "
        f"{'' if holder is None else f'(kill {holder}) '}and try again. Log: {files.log}"
    )
