"""Runs commands as separate processes, and finds the processes of a state folder."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 240.0
POLL_S = 0.1


def environment(home: Path) -> dict[str, str]:
    """An environment with only the state folder: the embedded database, a generated key, the simulated Spotify."""
    return {"PATH": os.environ["PATH"], "HOME": str(home.parent), "ECHOSTATS_HOME": str(home)}


@contextmanager
def started(home: Path, *command: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command in a separate session, like a terminal. At the end, kill every process left of it."""
    with (home.parent / "output.txt").open("a+") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            env={**environment(home), **more},
            cwd=home.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(40)
            while left := processes_of(home):  # a killed process may have started another meanwhile
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            process.wait()


def interrupt(process: subprocess.Popen[str]) -> int:
    """Send Ctrl-C to the whole process group, like a terminal. Return the exit code."""
    os.killpg(process.pid, signal.SIGINT)
    return process.wait(PATIENCE_S)


def eventually(what: str, ask: Callable[[], T | None], process: subprocess.Popen[str] | None = None) -> T:
    """Return the first result that is not None or False; fail if the process ends or the time is up."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        answer = ask()
        if answer is not None and answer is not False:
            return answer
        assert process is None or process.poll() is None, f"ended while waiting for {what}"
        time.sleep(POLL_S)
    raise AssertionError(f"no {what} in {PATIENCE_S:.0f} seconds")


def processes_of(home: Path) -> Mapping[int, str]:
    """Process ids and command lines of all processes that name the state folder in command or environment."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            command, variables = ((folder / name).read_bytes() for name in ("cmdline", "environ"))
            if command and str(home).encode() in command + b"\0" + variables:
                found[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found
