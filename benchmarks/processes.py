"""Measures what the processes of a running Dagster cost, and ends them with the benchmark (Linux only).

CPU seconds are those of the living processes and of all their ended children. Runs are separate processes, so they are
counted after their end.
"""

import contextlib
import multiprocessing
import os
import signal
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from echostats_pipeline_tests.integration.processes import processes_of

ROLES = (
    ("webserver", "dagster_webserver"),
    ("webserver", "dagster-webserver"),
    ("daemon", "dagster._daemon"),
    ("code server", "code-server"),
    ("code server", "api grpc"),
    ("services", "dagster_services"),
    ("mongod", "mongod"),
    ("simulator", "main simulate"),
    ("echostats up", "main up"),
)
"""The role of a process, by a part of its command line; the first match counts. All other processes are runs."""
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 2**20
TIMEOUT_S = 300
"""Seconds to wait for a response of the UI on a busy machine."""


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A temporary folder for a benchmark and all that it starts. No process outlives the block.

    A SIGTERM ends the block as Ctrl-C does, so that servers stop in order. Whatever is left then is killed: children of
    this process, and every process whose command or environment names the folder.
    """
    before = signal.signal(signal.SIGTERM, _interrupt_once)
    try:
        with tempfile.TemporaryDirectory(prefix="echostats_bench", ignore_cleanup_errors=True) as name:
            try:
                yield Path(name)
            finally:
                kill_processes(Path(name))
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt. Later signals do not interrupt what it makes the program clean up."""
    signal.signal(number, signal.SIG_IGN)
    signal.default_int_handler(number, frame)


def kill_processes(folder: Path) -> None:
    """Kill the children that this process has started by `multiprocessing`, and all processes that name a folder."""
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    while left := processes_of(folder):  # a killed process may have started another meanwhile
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def cpu_seconds(home: Path) -> float:
    """CPU seconds of all processes of a state folder so far."""
    return sum(map(cpu_of, processes_of(home)))


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and of its ended children so far."""
    return sum(int(field) for field in _fields(pid)[11:15]) / TICKS


def children_of(pid: int) -> list[int]:
    """The ids of a process and of its living children."""
    return [pid, *map(int, _read(pid, f"task/{pid}/children").split())]


def cpu_by_role(home: Path) -> dict[str, float]:
    """The same by role, the largest first. Ended runs count as runs, not for the code server that started them."""
    found: dict[str, float] = defaultdict(float)
    for pid, command in processes_of(home).items():
        user, system, *of_children = (int(field) / TICKS for field in _fields(pid)[11:15])
        found[role(command)] += user + system
        found["runs" if role(command) == "code server" else role(command)] += sum(of_children)
    return dict(sorted(found.items(), key=lambda each: -each[1]))


def memory_mib(home: Path) -> Counter[str]:
    """Resident memory by role, in MiB. Pages that processes share count in each."""
    found: Counter[str] = Counter()
    for pid, command in processes_of(home).items():
        pages = _read(pid, "statm").split() or ["0", "0"]  # it has just ended
        found[role(command)] += int(pages[1]) * PAGE // MIB
    return found


def role(command: str) -> str:
    """The role of a process, from its command line."""
    return next((name for name, mark in ROLES if mark in command), "runs")


def disk_mib(folder: Path) -> float:
    """Size of the files of a folder on disk, in MiB."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_blocks * 512 if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total / MIB


def _fields(pid: int) -> list[str]:
    """The fields of ``/proc/<pid>/stat`` after the name, which may contain any character."""
    return _read(pid, "stat").rpartition(")")[2].split() or ["0"] * 50


def _read(pid: int, name: str) -> str:
    try:
        return (Path("/proc") / str(pid) / name).read_text()
    except OSError:
        return ""
