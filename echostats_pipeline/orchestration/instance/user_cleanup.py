"""Removes what exists of a user outside MongoDB: a partition, a line of the roster, an import folder, reports.

This happens when a user is removed. A sensor that looked a moment before may put something back; the nightly retention
removes that. Files of theirs on another machine go when the sensor `user_roster`, a run or a command looks there next.
"""

import re
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import dagster as dg

from echostats_pipeline.errors import StorageError
from echostats_pipeline.model.users import User
from echostats_pipeline.orchestration.instance.sensor_roster import Roster
from echostats_pipeline.orchestration.partitions import USERS
from echostats_pipeline.report.beside import BESIDE
from echostats_pipeline.report.index import INDEX
from echostats_pipeline.report.make import reports_of
from echostats_pipeline.report.public import close_link
from echostats_pipeline.settings import Settings
from echostats_pipeline.state_folder import StateFolder
from echostats_pipeline.storage.removals import keys_of_removed
from echostats_pipeline.storage.store import Store

PARTITIONS = str(USERS.name)
LONGEST_RUN_S = 24 * 60 * 60
"""Twice the longest run: the import of an export, which Dagster ends after 12 hours."""
_KEY_OF_REPORT = re.compile(
    r"((-[0-9]{4}|-recap-[0-9]{4}(-[0-9a-z-]+)?)?\.(html|png)|"
    rf"-({'|'.join(map(re.escape, BESIDE))}))$"
)
"""What follows the key of the user in the name of a report, a file beside it, a recap or a card."""


def user_files(settings: Settings, user: User) -> dict[Path, int]:
    """Files of a user in the folders of this installation with their bytes: exports and reports."""
    dropped = settings.imports_dir / user.partition_key
    simulated = StateFolder(settings.home).simulated_dir
    found = sorted(dropped.rglob("*")) if dropped.is_dir() and not dropped.is_symlink() else []
    if user.simulated and simulated.is_dir():
        found += [path for path in sorted(simulated.iterdir()) if path.name.startswith(f"{user.spotify_id}_")]
    found += reports_of(StateFolder(settings.home), user)
    found += sorted((StateFolder(settings.home).work_dir / user.partition_key).rglob("*"))
    return {path: path.lstat().st_size for path in found if path.is_symlink() or path.is_file()}


def remove_outside(instance: dg.DagsterInstance, settings: Settings, user: User) -> bool:
    """Remove what exists of a user outside MongoDB. Return True if the code must be reloaded without their sensor.

    Raises:
        StorageError: a file cannot be removed.
    """
    instance.delete_dynamic_partition(PARTITIONS, user.partition_key)
    roster = Roster(settings.home)
    changed = roster.write([key for key in roster.read() if key != user.partition_key])
    folder = settings.imports_dir / user.partition_key
    try:
        for path in (*user_files(settings, user), StateFolder(settings.home).reports_dir / INDEX):
            path.unlink(missing_ok=True)
        close_link(StateFolder(settings.home), user.partition_key)
        if folder.is_symlink():
            folder.unlink()
        elif folder.is_dir():
            shutil.rmtree(folder)
        shutil.rmtree(StateFolder(settings.home).work_dir / user.partition_key, ignore_errors=True)
    except OSError as error:
        raise StorageError(
            f"Everything in the database was removed, but not {error.filename}: {error.strerror}. Delete it by hand."
        ) from error
    return changed


def remove_files_of_removed(settings: Settings, store: Store) -> list[str]:
    """Remove reports and import files of removed users on this machine. Return the keys of those users.

    An export that was dropped after the removal stays: nobody has said that it may be deleted. What runs have left that
    were killed long ago is removed as well, whoever the user is.
    """
    imports, home = settings.imports_dir, StateFolder(settings.home)
    reports, work = home.reports_dir, home.work_dir
    _remove_older_work(work)
    folders = {path.name for path in _entries(imports) if path.is_dir() and not path.is_symlink()}
    found = folders | {path.name for path in _entries(work)}
    found |= {_KEY_OF_REPORT.sub("", path.name) for path in _entries(reports)}
    times = store.removals.times() if found else {}
    if not times:
        return []
    present = {user.partition_key for user in store.users.all()}
    gone = []
    for user_id, at in times.items():
        for key in keys_of_removed(sorted(found - present), [user_id]):
            gone.append(key)
            (reports / INDEX).unlink(missing_ok=True)  # it shows the user; the next report writes it again
            for path in _entries(reports):
                if _KEY_OF_REPORT.sub("", path.name) == key:
                    path.unlink(missing_ok=True)
            close_link(home, key)
            shutil.rmtree(work / key, ignore_errors=True)
            _remove_older(imports / key, at)
    return sorted(gone)


def _remove_older_work(work: Path) -> None:
    """Remove what runs were working on that can no longer go on."""
    before = time.time() - LONGEST_RUN_S
    for folder in [each for user in _entries(work) for each in _entries(user)]:
        with suppress(OSError):  # gone
            if folder.stat().st_mtime < before:
                shutil.rmtree(folder, ignore_errors=True)


def _remove_older(folder: Path, at: datetime) -> None:
    """Remove the files that came into a folder before an instant, and the folders that are empty then."""
    for path in [*sorted(folder.rglob("*"), reverse=True), folder]:
        with suppress(OSError):  # not empty, or gone
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            elif path.lstat().st_ctime < at.timestamp():
                path.unlink()


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def remove_leftovers(instance: dg.DagsterInstance, settings: Settings, removed_ids: Iterable[str]) -> list[str]:
    """Remove partitions and empty import folders that sensors made again for removed users. Return the user keys."""
    removed_ids = list(removed_ids)
    partitions = keys_of_removed(instance.get_dynamic_partitions(PARTITIONS), removed_ids)
    for key in partitions:
        instance.delete_dynamic_partition(PARTITIONS, key)
    imports = settings.imports_dir
    folders = keys_of_removed([path.name for path in imports.iterdir()] if imports.is_dir() else [], removed_ids)
    empty = [key for key in folders if (imports / key).is_dir() and not any((imports / key).iterdir())]
    for key in empty:
        (imports / key).rmdir()
    return sorted({*partitions, *empty})
