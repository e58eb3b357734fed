"""Starts a replica set of real servers on this machine, whose primary can be told to step down, or be killed."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from echostats_pipeline.local.mongod import free_port
from echostats_pipeline.local.mongod_binary import find_mongod
from echostats_pipeline.storage.database import Document

NAME, DATABASE = "rs0", "echostats"
ELECTION_MS, START_S = 2_000, 60.0


@dataclass(frozen=True)
class ReplicaSet:
    """A running replica set.

    Attributes:
        uri: Connection string of a user with readWrite on `DATABASE` and nothing else.
        members: The servers by address.
        root: A client that may do anything.
    """

    uri: str
    members: dict[str, subprocess.Popen[bytes]]
    root: MongoClient[Document]

    def primary(self) -> str:
        """The address of the present primary; waits until there is one."""
        host, port = _until(lambda: self.root.primary)
        return f"{host}:{port}"

    def step_down(self) -> None:
        """Make the primary step down."""
        with contextlib.suppress(PyMongoError):  # it may close the connection before it answers
            self.root.admin.command("replSetStepDown", 20, secondaryCatchUpPeriodSecs=10)

    def kill_primary(self) -> None:
        """Kill the primary, which does not come back."""
        self.members[self.primary()].send_signal(signal.SIGKILL)


@contextmanager
def replica_set() -> Iterator[ReplicaSet]:
    """Run three members until the block ends."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="echostats-rs", dir=memory if os.access(memory, os.W_OK) else None))
    key = folder / "key"
    key.write_text(secrets.token_hex(32))
    key.chmod(0o400)
    members: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for _ in range(3):
            port = free_port()
            members[f"127.0.0.1:{port}"] = _member(folder / str(port), port, key)
        _initiate(list(members), key.read_text())
        hosts = ",".join(members)
        root_uri = f"mongodb://root:{key.read_text()}@{hosts}/?replicaSet={NAME}&authSource=admin"
        with MongoClient[Document](root_uri) as root:
            role = {"role": "readWrite", "db": DATABASE}
            root[DATABASE].command("createUser", "app", pwd=key.read_text(), roles=[role])
            uri = f"mongodb://app:{key.read_text()}@{hosts}/?replicaSet={NAME}&authSource={DATABASE}"
            yield ReplicaSet(uri, members, root)
    finally:
        for process in members.values():
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _member(data: Path, port: int, key: Path) -> subprocess.Popen[bytes]:
    data.mkdir()
    options = {"dbpath": data, "port": port, "bind_ip": "127.0.0.1", "replSet": NAME, "keyFile": key, "oplogSize": 64}
    options |= {"wiredTigerCacheSizeGB": 0.25, "logpath": data / "log"}
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return subprocess.Popen(
        [find_mongod(), *arguments, "--nounixsocket"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _initiate(addresses: list[str], password: str) -> None:
    """Make the servers one replica set, and the first user, whom only a client without a user can make."""
    config = {
        "_id": NAME,
        "members": [{"_id": n, "host": each} for n, each in enumerate(addresses)],
        "settings": {"electionTimeoutMillis": ELECTION_MS, "heartbeatIntervalMillis": 500},
    }
    for each in addresses:
        host, _, port = each.partition(":")
        with MongoClient[Document](host, int(port), directConnection=True) as member:
            _until(partial(member.admin.command, "ping"))
    host, _, port = addresses[0].partition(":")
    with MongoClient[Document](host, int(port), directConnection=True) as first:
        first.admin.command("replSetInitiate", config)
        _until(lambda: first.admin.command("hello").get("isWritablePrimary"))
        first.admin.command("createUser", "root", pwd=password, roles=[{"role": "root", "db": "admin"}])


def _until(look: Callable[[], Any]) -> Any:
    """What `look` gives, once it gives something."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(PyMongoError):
            if found := look():
                return found
        time.sleep(0.1)
    raise TimeoutError
