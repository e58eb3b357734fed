"""Information about other processes of this machine: whether one runs, and its command line."""

import os
import subprocess
from pathlib import Path


def process_exists(pid: int) -> bool:
    """Return whether a process runs; always False on Windows, where this check would end the process."""
    if os.name == "nt" or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:  # a process of another user
        return True
    except OSError:
        return False
    return True


def command_of(pid: int) -> str:
    """Return the command line of a process, or an empty text; it identifies the process, since ids are reused."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        pass
    try:
        asked = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except OSError:
        return ""
    return asked.stdout.strip()
