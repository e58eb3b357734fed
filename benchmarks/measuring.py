"""Measures time and memory, in the same way for the work and for its floor.

The garbage collector is on with its own thresholds on both sides, as it is in production. Objects that existed before
are collected and then frozen during the work, so that neither side pays for what the benchmark itself holds.

This machine may have other work to do. The clock then measures that more than the work. So the processor time of this
process and of the server is printed too.
"""

import gc
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

Result = TypeVar("Result")

MILLI_BELOW_S = 0.5


class NoProgress:
    """Progress that is not shown."""

    def expect(self, items: int) -> None:
        """Ignore it."""

    def advance(self, items: int) -> None:
        """Ignore it."""


@dataclass(frozen=True)
class Taken:
    """Seconds that some work took: by the clock, of this process's processor time, and of the server's."""

    wall: float = 0.0
    own: float = 0.0
    server: float = 0.0

    def __add__(self, other: "Taken") -> "Taken":
        return Taken(self.wall + other.wall, self.own + other.own, self.server + other.server)

    def __str__(self) -> str:
        return f"{readable(self.wall)} ({readable(self.own)} of this process, {readable(self.server)} of mongod)"

    @property
    def processor(self) -> float:
        """Processor time of process and server."""
        return self.own + self.server

    @classmethod
    def median(cls, each: Sequence["Taken"]) -> "Taken":
        """The median of every part."""
        parts = [asdict(taken) for taken in each]
        return cls(**{name: median(part[name] for part in parts) for name in ("wall", "own", "server")})


def readable(seconds: float) -> str:
    """Seconds, or milliseconds for short times."""
    return f"{seconds:.2f} s" if seconds >= MILLI_BELOW_S or seconds == 0 else f"{seconds * 1_000:.1f} ms"


def timed(server_pid: int, work: Callable[[], Result]) -> tuple[Taken, Result]:
    """Time and result of `work`."""
    gc.collect()
    gc.freeze()
    try:
        started, own, server = time.perf_counter(), time.process_time(), processor_s(server_pid)
        result = work()
        taken = Taken(time.perf_counter() - started, time.process_time() - own, processor_s(server_pid) - server)
    finally:
        gc.unfreeze()
    return taken, result


def processor_s(pid: int) -> float:
    """Processor time of a process in seconds; 0 without /proc."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    user, system = stat.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def peak_mib(pid: int) -> int:
    """The peak resident memory of a process; without /proc, of this process."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (2**20 if sys.platform == "darwin" else 2**10)
    # Not getrusage: a new process begins with the peak of the one that started it.
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) // 2**10
