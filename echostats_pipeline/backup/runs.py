"""Copies Dagster's history in SQLite: each database as of one moment, also while Dagster writes to it."""

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from echostats_pipeline.backup.archive import PIECE, UNFINISHED, ArchiveReader, ArchiveWriter
from echostats_pipeline.backup.manifest import Part
from echostats_pipeline.errors import BackupError

FOLDER, RUNS = "runs", "runs.db"
CANCEL_RUNS = "UPDATE runs SET status = ?, run_body = REPLACE(run_body, ?, ?) WHERE status = ?"
CANCEL_BACKFILLS = "UPDATE bulk_actions SET status = ?, body = REPLACE(body, ?, ?) WHERE status = ?"
"""Dagster keeps the status beside the serialized whole, which also names it."""
UNFINISHED_RUNS = ("QUEUED", "NOT_STARTED", "MANAGED", "STARTING", "STARTED", "CANCELING")
UNFINISHED_BACKFILLS = ("REQUESTED", "CANCELING", "FAILING")
INSTANCE_ID = "echostats/instance_id"
SIDE_FILES = ("-wal", "-shm", "-journal")
"""Endings of files in which SQLite keeps what is not yet in the database."""


def dump_runs(folder: Path, scratch: Path, target: ArchiveWriter) -> Iterator[Part]:
    """Write every database below a folder into a backup. The list of runs is first, their events follow.

    Args:
        folder: The folder of Dagster's storages.
        scratch: Where there is room for a copy of each database, one at a time.
        target: Where to write.
    """
    for path in sorted(folder.rglob("*.db"), key=lambda each: (each.name != RUNS, each)):
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=scratch) as own:
            copy = Path(own) / path.name
            try:
                _copy(path, copy)
            except sqlite3.Error as error:
                if not path.exists():  # the run was removed meanwhile
                    continue
                raise BackupError(f"{path} cannot be copied: {error}. Leave out --with-runs, or try again.") from error
            yield target.add(f"{FOLDER}/{path.relative_to(folder).as_posix()}", _pieces(copy))


def _copy(path: Path, copy: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def count_runs(folder: Path) -> int:
    """The number of runs in the history of a folder; 0 if there is none."""
    path = folder / RUNS
    if not path.is_file():
        return 0
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        try:
            return int(database.execute("SELECT COUNT(*) FROM runs").fetchone()[0])
        except sqlite3.Error:
            return 0


def cancel_unfinished(database: Path) -> None:
    """Cancel the runs and backfills in a list of runs that have not ended: none of their work is done again.

    The instance also gets a new id. Two installations may be restored from one backup, and neither may take the
    other's runs for its own.
    """
    with contextlib.closing(sqlite3.connect(database)) as runs:
        for change, kind, statuses in (
            (CANCEL_RUNS, "PipelineRunStatus", UNFINISHED_RUNS),
            (CANCEL_BACKFILLS, "BulkActionStatus", UNFINISHED_BACKFILLS),
        ):
            for each in statuses:
                runs.execute(change, ("CANCELED", f'"{kind}.{each}"', f'"{kind}.CANCELED"', each))
        runs.execute("DELETE FROM kvs WHERE key = ?", (INSTANCE_ID,))
        runs.commit()


def restore_runs(source: ArchiveReader, parts: Sequence[Part], folder: Path) -> None:
    """Put the databases of a backup in place of those in a folder; may be repeated.

    Raises:
        BackupError: the folder cannot be written.
    """
    try:
        for path in [*folder.rglob("*.db")]:
            _delete(path)
        # The list of runs comes last: without it, the folder has no history.
        for part in sorted(parts, key=lambda each: each.entry == f"{FOLDER}/{RUNS}"):
            path = folder / part.entry.removeprefix(f"{FOLDER}/")
            if not path.resolve().is_relative_to(folder.resolve()):
                raise BackupError(f"{part.entry} in the backup lies outside of its folder; it was not restored.")
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished = path.with_name(f".{path.name}.unfinished")
            _delete(unfinished)
            unfinished.touch(mode=0o600)
            with unfinished.open("wb") as file:
                file.writelines(source.chunks(part.entry))
            if part.entry == f"{FOLDER}/{RUNS}":
                cancel_unfinished(unfinished)
            unfinished.replace(path)
    except OSError as error:
        raise BackupError(
            f"{folder} cannot be written: {error.strerror or error}. Make room there, or make it writable, and run the "
            "restore again; it goes on where it ended."
        ) from error


def _delete(path: Path) -> None:
    for ending in ("", *SIDE_FILES):
        path.with_name(path.name + ending).unlink(missing_ok=True)
