"""Other processes of this machine."""

import os
import subprocess
from pathlib import Path


def process_exists(pid: int) -> bool:
    """Whether a process runs; on Windows, where asking would end it, always False."""
    if os.name == "nt" or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:  # somebody else's
        return True
    except OSError:
        return False
    return True


def command_of(pid: int) -> str:
    """The command line of a process, empty if it cannot be told: process ids are reused, so this says whose it is."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        pass
    try:
        asked = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except OSError:
        return ""
    return asked.stdout.strip()
