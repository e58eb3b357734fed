"""Health checks of `echostats doctor` on this machine: the state folder and its disk, and installed versions."""

import errno
import os
import platform
import shutil
import tempfile
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from echostats_pipeline.monitoring.health import HealthFinding, HealthFindings, human_size, space
from echostats_pipeline.state_folder import StateFolder

PROBE_BYTES = 2**16
"""Bytes written to prove that the disk has room: a full disk may still accept an empty file."""
DISTRIBUTION, WATCHED = "echostats-pipeline", ("dagster", "dagster-webserver", "pymongo", "polars")


def disk(home: Path) -> HealthFindings:
    """Check the state folder: its size, the free space, and whether it can be written to."""
    folder = StateFolder(home)
    if not home.is_dir():
        text = f"The state folder {home} does not exist."
        yield HealthFinding("disk", "warning", text, "echostats demo, connect or up creates it; or set ECHOSTATS_HOME")
        return
    try:
        with tempfile.TemporaryFile(dir=home) as probe:
            probe.write(b"x" * PROBE_BYTES)
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        fix = f"Make room on the disk of {home}" if full else f"Make {home} writable, or set ECHOSTATS_HOME to another"
        yield HealthFinding(
            "disk", "problem", f"Nothing can be written to {home}: {os.strerror(error.errno or 0)}.", fix
        )
    parts = {
        "database": [folder.mongo_dir],
        "Dagster": [folder.dagster_dir / "storage"],
        "logs": [folder.dagster_dir / "logs", home / "dagster.log"],
    }
    sizes = {name: sum(map(size_of, paths)) for name, paths in parts.items()}
    used = ", ".join(f"{name} {human_size(size)}" for name, size in sizes.items())
    yield space("disk", shutil.disk_usage(home).free, used, f"the disk of {home}")


def versions() -> HealthFindings:
    """Check that the versions of Python and of the libraries fit this package."""
    yield HealthFinding("versions", "ok", f"Python {platform.python_version()} on {platform.system()}.")
    wanted = {each.name: each for each in map(Requirement, metadata.requires(DISTRIBUTION) or [])}
    for name in WATCHED:
        installed, needed = metadata.version(name), wanted[name].specifier
        fits = needed.contains(installed, prereleases=True)
        text = f"{name} {installed}{'' if fits else f' does not fit {needed}'}."
        yield HealthFinding(
            "versions", "ok" if fits else "problem", text, "" if fits else f'pip install "{wanted[name]}"'
        )


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; files that disappear meanwhile count as 0."""
    total = 0
    for each in [path, *path.rglob("*")]:
        try:
            total += each.stat().st_size if each.is_file() else 0
        except OSError:
            continue
    return total
