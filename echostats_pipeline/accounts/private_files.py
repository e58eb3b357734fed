"""Creates folders of private files atomically: only their owner can read them, and they are complete or absent."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from echostats_pipeline.errors import StorageError

UNFINISHED = ".unfinished-"
"""Part of the hidden name of a folder that is being written, or was left by a killed process."""


def check_free(target: Path) -> None:
    """Check that a folder can be created at `target`: the path does not exist, or is an empty folder.

    Raises:
        StorageError: the path exists, or its parent folder does not.
    """
    if target.is_dir() and target.samefile(Path.cwd()):
        raise StorageError(f"{target} is the current folder. Name a subfolder that does not exist yet.")
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists():
        raise StorageError(f"{target} already exists. Name a folder that does not exist yet; nothing was changed.")
    if not target.parent.is_dir():
        raise StorageError(f"The folder {target.parent} does not exist. Create it, or name another folder.")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Provide a folder to write to, which is renamed to `target` at the end of the block, and deleted on an error.

    Until then it is a hidden folder beside `target`, with `UNFINISHED` in its name. A killed process leaves only this.

    Raises:
        StorageError: `target` exists or cannot be created, or a file cannot be written.
    """
    target = target.resolve()
    check_free(target)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}{UNFINISHED}", dir=target.parent))
        try:
            yield folder
            _sync(folder)
            if target.is_dir():
                target.rmdir()
            folder.rename(target)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        _sync(target.parent)
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written: {error.strerror or error}. No part of it is left behind; "
            "make room there or name another folder."
        ) from error


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Create a file with mode 0600 from its first byte; it is on the disk when the block ends."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Write the names in a folder to the disk."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
