"""Other processes of this machine."""

import os


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
