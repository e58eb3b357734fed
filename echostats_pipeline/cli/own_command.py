"""The name of this program as the user can type it."""

import shlex
import shutil
import sys
from pathlib import Path


def own_command() -> str:
    """``echostats``, or its full path if the shell would not find it because its virtual environment is not active."""
    called = Path(sys.argv[0])
    found = shutil.which("echostats")
    if called.stem != "echostats" or not called.is_file() or (found and Path(found).samefile(called)):
        return "echostats"
    return shlex.quote(str(called))
