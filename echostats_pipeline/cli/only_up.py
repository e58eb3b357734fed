"""Lock that allows one `echostats up` for each state folder, and ends with its process, however that ends."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from echostats_pipeline.errors import EchostatsError, StorageError
from echostats_pipeline.model.base import utc_now
from echostats_pipeline.state_folder import StateFolder


@contextmanager
def only_up(home: StateFolder, url: str) -> Iterator[None]:
    """Hold the lock of `echostats up` on a state folder for the length of the block; `url` is the address of its UI.

    Raises:
        EchostatsError: another process holds it; says which one and its address. Nothing was changed.
    """
    lock = FileLock(home.path / "up.lock", timeout=0, mode=0o600)
    try:
        lock.acquire()
    except Timeout as error:
        raise EchostatsError(_occupied(home)) from error
    try:
        since = utc_now().isoformat(timespec="seconds")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "url": url, "since": since}
        home.write_json(_holder_file(home), holder)
        yield
    finally:
        _holder_file(home).unlink(missing_ok=True)
        lock.release()


def _occupied(home: StateFolder) -> str:
    try:
        holder = home.read_json(_holder_file(home)) or {}
    except StorageError:
        holder = {}
    where = f" on {holder['host']}" if holder.get("host", socket.gethostname()) != socket.gethostname() else ""
    who = f"process {holder['pid']}{where}, {holder['url']}, since {holder['since']}" if holder else "just started"
    return (
        f"`echostats up` runs on {home.path} already: {who}. Open that address, or end it with Ctrl-C where it runs. "
        "A second installation needs a state folder (ECHOSTATS_HOME) and a --port of its own."
    )


def _holder_file(home: StateFolder) -> Path:
    return home.path / "up.json"
