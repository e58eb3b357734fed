"""Connections to the embedded mongod: identify it, create its only user, rotate its log, shut it down.

Here: short-lived connections for these tasks. Not here: when they are needed, processes, the pipeline's client.
"""

import contextlib
import socket
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from echostats_pipeline.errors import EmbeddedServerError
from echostats_pipeline.local.mongod_process import Address, MongodFiles, last_error, lock_holder

USER = "echostats"
"""Name of the only database user."""
LOG_LIMIT_BYTES = 32 * 1024 * 1024
"""Size of the log, in bytes, from which a new log is started."""
_CONNECT_TIMEOUT_S = 1.0
_ANSWER_TIMEOUT_S = 10.0
_UNAUTHORIZED = 13
_AUTHENTICATION_FAILED = 18


def free_port() -> int:
    """Return a TCP port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_ours(files: MongodFiles, address: Address, password: str) -> bool:
    """Return whether the server at an address is ours: it accepts our password, and its process and folder match.

    If our server has no user yet, because its first start was interrupted, the user is created.

    Raises:
        EmbeddedServerError: the server is certainly ours, but refuses the password or cannot store the user.
    """
    if not _listens(address.port):
        return False
    ours = (address.pid, files.data.resolve())
    for first in (True, False):
        try:
            return _identity(address.port, password) == ours
        except ConnectionFailure:
            return False
        except OperationFailure as error:
            # Any program may listen there, but the holder of our data files (unknown on Windows) is our server.
            holds_data = lock_holder(files) in {None, address.pid}
            if not (first and holds_data and error.code == _AUTHENTICATION_FAILED):
                return False
        _create_user(files, address.port, password)
    return False


def ask_to_stop(port: int, password: str) -> None:
    """Send the ``shutdown`` command. The server closes the connection without an answer, so callers check the lock."""
    with contextlib.suppress(PyMongoError), _client(port, password) as client:
        client.admin.command("shutdown")


def bound_log(files: MongodFiles, port: int, password: str) -> None:
    """Start a new log if the present one is too long, and keep one older log: mongod logs every connection."""
    try:
        if files.log.stat().st_size <= LOG_LIMIT_BYTES:
            return
        with _client(port, password) as client:
            client.admin.command("logRotate")
        for rotated in sorted(files.folder.glob(f"{files.log.name}.*-*")):  # mongod adds the time to the name
            rotated.replace(files.previous_log)
    except (OSError, PyMongoError):
        return  # a long log is no reason to reject a working server; the next call tries again


def _listens(port: int) -> bool:
    """Return whether a connection opens; this sees a refusal at once, while the driver would keep trying."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_CONNECT_TIMEOUT_S):
            return True
    except OSError:
        return False


def _identity(port: int, password: str) -> tuple[int, Path]:
    with _client(port, password) as client:
        pid = int(client.admin.command("serverStatus")["pid"])
        options = client.admin.command("getCmdLineOpts")["parsed"]
        return pid, Path(options["storage"]["dbPath"]).resolve()


def _create_user(files: MongodFiles, port: int, password: str) -> None:
    """Create the administrator; a server without users allows this once from this machine (localhost exception)."""
    try:
        with _client(port) as client:
            durably = {"w": 1, "j": True}
            client.admin.command("createUser", USER, pwd=password, roles=["root"], writeConcern=durably)
    except PyMongoError as error:
        if isinstance(error, OperationFailure) and error.code == _UNAUTHORIZED:
            raise EmbeddedServerError(
                f"The password in {files.password} does not fit the database in {files.data}. Restore that file "
                f"from a backup, or move {files.data} away to begin with an empty database."
            ) from error
        raise EmbeddedServerError(f"Cannot create the database user: {error}. {last_error(files)}") from error


def _client(port: int, password: str | None = None) -> MongoClient[dict[str, Any]]:
    """Return a short-lived client, signed in if there is a password, for use in a ``with``."""
    return MongoClient(
        "127.0.0.1",
        port,
        username=None if password is None else USER,
        password=password,
        directConnection=True,
        serverSelectionTimeoutMS=int(_CONNECT_TIMEOUT_S * 1000),
        connectTimeoutMS=int(_CONNECT_TIMEOUT_S * 1000),
        socketTimeoutMS=int(_ANSWER_TIMEOUT_S * 1000),
    )
