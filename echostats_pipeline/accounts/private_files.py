"""New folders of files that only their owner can read, and that are there whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from echostats_pipeline.errors import StorageError

UNFINISHED = ".unfinished-"
"""In the hidden name of a folder that is being written, or whose writer was killed."""


def check_free(target: Path) -> None:
    """Make sure that a folder can be made at `target`: nothing is there, or an empty folder.

    Raises:
        StorageError: something is there, or there is no folder to make it in.
    """
    if target.is_dir() and target.samefile(Path.cwd()):
        raise StorageError(f"{target} is the folder you are in. Name one in it that does not exist yet.")
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists():
        raise StorageError(f"{target} is there already. Name a folder that does not exist yet; nothing was changed.")
    if not target.parent.is_dir():
        raise StorageError(f"There is no folder {target.parent} to write to. Create it, or name another one.")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to write to, which becomes `target` when the block ends and is gone if the block fails.

    It lies beside `target`, hidden, with `UNFINISHED` in its name: that is all that a killed process leaves.

    Raises:
        StorageError: `target` is taken or cannot be made, or something cannot be written.
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
            f"{target} cannot be written: {error.strerror or error}. Nothing of it is left; "
            "make room there or name another folder."
        ) from error


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A new file with mode 0600 from its first byte; it is on the disk when the block ends."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Have the names in a folder on the disk, too."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
