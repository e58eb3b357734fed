"""Hosts of a deployment on this machine: each has a folder, an address, and processes that are started and killed.

Where root may do so, a host also has a name of its own, and it finds the folders of the other hosts empty.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from echostats_pipeline_tests.docs.pages import CHECKOUT

END_S = 30.0
_ALONE = (
    'hostname "$0"; for each in "$1"/*; do [ "$each" = "$1/$0" ] || mount -t tmpfs -o size=64k none "$each"; done; '
    'shift; exec "$@"'
)


@cache
def can_be_alone() -> bool:
    """Whether a process can have a name of the machine and a view of the file system of its own."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--mount", "--uts", "true"], check=False, capture_output=True).returncode == 0


class Host:
    """One host.

    Args:
        name: Its name, which is also that of its folder.
        hosts: The folder with the folders of all hosts.
        address: The address at which its processes listen.
        environment: The variables of its processes.
    """

    def __init__(self, name: str, hosts: Path, address: str, environment: Mapping[str, str]) -> None:
        self.name, self.address, self.folder = name, address, hosts / name
        self.state = self.folder / "state"
        self.state.mkdir(parents=True)
        self.log = hosts.parent / f"{name}.log"
        self.running: list[subprocess.Popen[str]] = []
        self.environment = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/sbin", "/usr/bin", "/bin"]),
            "PYTHONPATH": str(CHECKOUT),
            "HOME": str(self.folder),
            "ECHOSTATS_HOME": str(self.state),
            "PYTHONUNBUFFERED": "1",
            **environment,
        }

    def start(self, command: Sequence[str]) -> "subprocess.Popen[str]":
        """Start a process, whose output goes to the log."""
        with self.log.open("a") as log:
            process = subprocess.Popen(
                self._here(command),
                env=self.environment,
                cwd=self.state,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self.running.append(process)
        return process

    def run(self, *command: str, timeout_s: float = 240) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            self._here(command),
            env=self.environment,
            cwd=self.state,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )

    def kill(self) -> None:
        """Kill all its processes at once, as when the power fails."""
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.running.clear()

    def stop(self) -> list[int]:
        """End its processes as a service manager does; return their exit codes."""
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        codes = []
        for process in self.running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                codes.append(process.wait(END_S))
        self.kill()
        return codes

    def wipe(self) -> None:
        """Lose everything that the host has written."""
        shutil.rmtree(self.state)
        self.state.mkdir()

    def said(self) -> str:
        """What its processes have printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def files(self) -> list[Path]:
        """All files that it has written."""
        return [path for path in sorted(self.state.rglob("*")) if path.is_file()]

    def _here(self, command: Sequence[str]) -> list[str]:
        if not can_be_alone():
            return list(command)
        return ["unshare", "--mount", "--uts", "sh", "-c", _ALONE, self.name, str(self.folder.parent), *command]
