"""The mongod process of one data folder: its files, command line and log, and the lock that shows that it runs.

Here: everything that works without a connection. Not here: finding the binary, passwords, who may start a server.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echostats_pipeline.errors import EmbeddedServerError
from echostats_pipeline.local.processes import process_exists

if sys.platform != "win32":
    import fcntl

EXIT_NET_ERROR = (
    48  # mongod's exit code when it cannot listen: https://www.mongodb.com/docs/manual/reference/exit-codes/
)
_POLL_S = 0.02
_GRACE_S = 10.0
_HEAD_BYTES = 64 * 1024
_TAIL_BYTES = 256 * 1024

# Ids of log entries; they have not changed since MongoDB 4.4.
_ADDRESS = frozenset({4615611, 20721})  # at the start of a run, and again at the head of a rotated log
_WAITING_FOR_CONNECTIONS = 23016
_ABORTS_AND_MANUAL_PAGES = frozenset({23089, 23090, 23091, 23092, 50944, 6384300})


@dataclass(frozen=True)
class MongodFiles:
    """The paths of one server's files.

    Attributes:
        folder: Folder that holds all files below.
    """

    folder: Path

    @property
    def data(self) -> Path:
        """The data files (``dbPath``)."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """Log of the present or the latest run, with one JSON object per line."""
        return self.folder / "mongod.log"

    @property
    def previous_log(self) -> Path:
        """Log of the run before; older logs are not kept."""
        return self.folder / "mongod.log.1"

    @property
    def output(self) -> Path:
        """Output of mongod before it opens its log."""
        return self.folder / "mongod.out"

    @property
    def password(self) -> Path:
        """Password of the administrator, for this server only."""
        return self.folder / "password"

    @property
    def state(self) -> Path:
        """``{"pid", "port", "started_at"}`` of the running server."""
        return self.folder / "server.json"

    @property
    def start_lock(self) -> Path:
        """Lock file that is held by the process that starts or stops the server."""
        return self.folder / "start.lock"


@dataclass(frozen=True)
class Address:
    """Process id and port of a server, not yet verified."""

    pid: int
    port: int


def start_mongod(binary: Path, files: MongodFiles, port: int, cache_gb: float) -> subprocess.Popen[bytes]:
    """Start a server that outlives this process and listens on the loopback address only, with authentication.

    Args:
        binary: The mongod to run.
        files: Paths of its files; the folder exists. The log of the run before is kept.
        port: TCP port.
        cache_gb: Upper bound of the WiredTiger cache, in GB (at least 0.25).

    Raises:
        EmbeddedServerError: the process cannot be created.
    """
    command = [str(binary), "--dbpath", str(files.data.resolve()), "--port", str(port), "--bind_ip", "127.0.0.1"]
    command += ["--auth", "--quiet", "--logpath", str(files.log.resolve())]
    command += ["--wiredTigerCacheSizeGB", str(cache_gb), "--setParameter", "diagnosticDataCollectionEnabled=false"]
    if os.name == "posix":
        command.append("--nounixsocket")
    try:
        files.data.mkdir(mode=0o700, exist_ok=True)
        if files.log.exists():
            files.log.replace(files.previous_log)
        with os.fdopen(os.open(files.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
            return subprocess.Popen(  # noqa: S603 - the chosen binary with the arguments above
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, **_detached()
            )
    except OSError as error:
        raise EmbeddedServerError(f"Cannot start {binary} in {files.folder}: {error}.") from error


def wait_until_listening(process: subprocess.Popen[bytes], files: MongodFiles, timeout_s: float) -> int | None:
    """Wait until the log of this process says that it listens; an answer on the port may come from another program.

    Returns:
        None when it listens, or its exit code.

    Raises:
        EmbeddedServerError: after `timeout_s` seconds, it neither listens nor has ended.
    """
    deadline = time.monotonic() + timeout_s
    while (code := process.poll()) is None:
        if any(entry.get("id") == _WAITING_FOR_CONNECTIONS for entry in _entries(_head(files.log))):
            return None
        if time.monotonic() > deadline:
            raise EmbeddedServerError(f"mongod did not start in {timeout_s:.0f} seconds. {last_error(files)}")
        time.sleep(_POLL_S)
    return code


def end_process(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours and wait for its end: by signal, else by force."""
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_GRACE_S)


def leave_running(process: subprocess.Popen[bytes]) -> None:
    """Let the server keep running. A thread waits for its exit status, so that it does not become a zombie process."""
    threading.Thread(target=process.wait, name=f"mongod-{process.pid}", daemon=True).start()


def data_in_use(files: MongodFiles) -> bool:
    """Return whether a mongod holds the data files: it locks ``mongod.lock`` for as long as it runs.

    Raises:
        EmbeddedServerError: the file belongs to another user.
    """
    try:
        # While mongod runs, Windows refuses to open the file for writing; other systems refuse the lock.
        with (files.data / "mongod.lock").open("r+b" if os.name == "nt" else "rb") as lock:
            if sys.platform != "win32":
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError as error:
        if os.name == "nt" and isinstance(error, PermissionError):
            return True
        raise EmbeddedServerError(
            f"Cannot open {error.filename}: {error.strerror}. Run echostats as the user who owns {files.folder}."
        ) from error
    return False


def lock_holder(files: MongodFiles) -> int | None:
    """Return the process id in ``mongod.lock``, or None if it cannot be read."""
    try:
        return int((files.data / "mongod.lock").read_text())
    except (OSError, ValueError):
        return None


def wait_until_released(files: MongodFiles, pid: int, timeout_s: float) -> bool:
    """Wait until the data files are free and, for at most 2 seconds more, until the process has ended.

    Returns:
        Whether the data files are free.
    """
    deadline = time.monotonic() + timeout_s
    while data_in_use(files):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    # A clean stop frees the files shortly before the process ends; a zombie process may never disappear.
    deadline = time.monotonic() + 2.0
    while process_exists(pid) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return True


def logged_addresses(files: MongodFiles) -> list[Address]:
    """Return the addresses that the latest and the previous run logged, the latest first."""
    return [
        Address(pid=int(claim["pid"]), port=int(claim["port"]))
        for log in (files.log, files.previous_log)
        for entry in _entries(_head(log))
        if entry.get("id") in _ADDRESS and {"pid", "port"} <= (claim := _attributes(entry)).keys()
    ]


def last_error(files: MongodFiles) -> str:
    """Return the last error in mongod's log as text that ends with the name of the log file."""
    printed = _tail(files.output)
    causes = _causes(_tail(files.log)) or _causes(printed)
    plain = [line.strip() for line in printed.splitlines() if line.strip() and not line.startswith("{")]
    if causes:
        said = f"Its last error: {_describe(causes[-1])}."
    else:
        said = f"It printed: {plain[0]}." if plain else "It logged no error."
    return f"{said} Its log: {files.log}"


def _causes(text: str) -> list[dict[str, Any]]:
    return [entry for entry in _entries(text) if entry.get("s") in {"E", "F"} and _is_cause(entry)]


def _is_cause(entry: dict[str, Any]) -> bool:
    """Return whether an entry names a cause: stack dumps, links to the manual and messages with error 0 do not."""
    return entry.get("id") not in _ABORTS_AND_MANUAL_PAGES and _attributes(entry).get("error") != 0


def _describe(entry: dict[str, Any]) -> str:
    """Return message and reason. The reason is in ``attr.message`` or ``attr.error``, as text or as an object."""
    attributes = _attributes(entry)
    reasons: list[str] = []
    for value in (attributes.get("message"), attributes.get("error")):
        if isinstance(value, dict):
            reasons += [str(value[key]) for key in ("msg", "errmsg", "error_str") if key in value]
        elif isinstance(value, str):
            reasons.append(value)
    reason = ": ".join(reasons) or json.dumps(attributes)
    return f"{str(entry.get('msg', '')).strip()}: {reason}".rstrip(".")


def _attributes(entry: dict[str, Any]) -> dict[str, Any]:
    attributes = entry.get("attr")
    return attributes if isinstance(attributes, dict) else {}


def _entries(text: str) -> Iterator[dict[str, Any]]:
    """Yield the log entries in the text; the first and the last line may be incomplete."""
    for line in text.splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            entry = json.loads(line)
            if isinstance(entry, dict):
                yield entry


def _head(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES).decode(errors="replace")
    except OSError:
        return ""


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _detached() -> dict[str, Any]:
    """Return options that protect the process from Ctrl-C and hang-up of the terminal."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True, "umask": 0o077}
