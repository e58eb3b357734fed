"""Files that one machine hands to another through the database: exports to import, and feature files.

Here: storing what lies on this machine, and bringing it back on the machine that needs it. Not here: what a file means.
"""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from echostats_pipeline.errors import ExportError, NotFoundError
from echostats_pipeline.importers.files import is_hidden
from echostats_pipeline.state_folder import PRIVATE_FOLDER_MODE
from echostats_pipeline.storage.files import FileKey, FileStore


def hand_over(files: FileStore, user_id: str, folder: Path, entry: Path, version: str) -> int:
    """Store a dropped file, or all files of a dropped folder, as one version; return the number of bytes.

    Args:
        files: Where they are stored.
        user_id: The user for whom they were dropped.
        folder: The user's import folder, to which names are relative.
        entry: The file or folder in it.
        version: Its version.
    """
    paths = sorted(path for path in entry.rglob("*") if path.is_file()) if entry.is_dir() else [entry]
    paths = [path for path in paths if not any(is_hidden(part) for part in path.relative_to(folder).parts)]
    for path in paths:
        with path.open("rb") as content:
            files.put(FileKey(user_id, "import", path.relative_to(folder).as_posix()), version, content)
    return sum(path.stat().st_size for path in paths)


@contextmanager
def handed_over(files: FileStore, user_id: str, entries: Mapping[str, str], folder: Path) -> Iterator[list[Path]]:
    """Bring stored exports to this machine for the length of the block; if it succeeds, they are deleted.

    Args:
        files: Where they are stored.
        user_id: Their user.
        entries: Version by name of the file or folder.
        folder: Where to put them. No other process may use it meanwhile; what a killed one has left there is deleted.

    Yields:
        The path of each file or folder.

    Raises:
        ExportError: an export is not stored any more.
    """
    keys: list[tuple[FileKey, str]] = []
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=PRIVATE_FOLDER_MODE, parents=True)
    try:
        for entry, version in entries.items():
            found = [key for key in files.below(user_id, "import", version) if _is_in(key.name, entry)]
            if not found:
                raise ExportError(f"{entry} is not in the database any more. Drop it into the import folder again.")
            for key in found:
                path = folder / key.name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as target:
                    files.read(key, target, version)
            keys += [(key, version) for key in found]
        yield [folder / entry for entry in entries]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for key, version in keys:
        files.delete(key, version)


def _is_in(name: str, entry: str) -> bool:
    return name == entry or name.startswith(f"{entry}/")


def share_feature_file(files: FileStore, path: Path) -> bool:
    """Store a feature file of this machine, for those that lack it. Return whether there was something to store."""
    try:
        status = path.stat()
        with path.open("rb") as content:
            return files.put(FileKey("", "features", str(path)), f"{status.st_size}:{status.st_mtime_ns}", content)
    except OSError:  # not on this machine
        return False


@contextmanager
def feature_file(files: FileStore, path: Path) -> Iterator[Path]:
    """A feature file: that on this machine, or else a copy of the stored one for the length of the block."""
    if path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="echostats-features-") as temporary:
        copy = Path(temporary, path.name)
        try:
            with copy.open("wb") as target:
                files.read(FileKey("", "features", str(path)), target)
        except NotFoundError:
            yield path  # whoever reads it says that it is missing
            return
        yield copy
