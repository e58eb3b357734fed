"""Whether the processor of this machine can run MongoDB 5 and newer, as Linux describes it in ``/proc/cpuinfo``."""

import platform
import re
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
NEEDED = {"x86_64": ("flags", "avx", "AVX"), "aarch64": ("Features", "dcpop", "the instructions of ARMv8.2")}
"""By machine: the line that lists what a processor can do, the word to look for there, and what it stands for."""


def lacking(machine: str, cpuinfo: str) -> str:
    """What a processor lacks for MongoDB 5 and newer; empty if it lacks nothing, or if that is not known.

    Args:
        machine: As `platform.machine` names it.
        cpuinfo: Content of ``/proc/cpuinfo``.
    """
    if machine not in NEEDED:
        return ""
    line, word, meaning = NEEDED[machine]
    lists = re.findall(rf"^{line}\s*:(.*)$", cpuinfo, re.MULTILINE)
    return meaning if lists and any(word not in each.split() for each in lists) else ""


def unfit_processor() -> str:
    """A sentence about what the processor of this machine lacks; empty if it lacks nothing, or if that is not known."""
    try:
        cpuinfo = CPUINFO.read_text(errors="replace")
    except OSError:
        return ""
    missing = lacking(platform.machine(), cpuinfo)
    return f"The processor of this machine lacks {missing}, which MongoDB 5 and newer need." if missing else ""
