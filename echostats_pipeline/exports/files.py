"""Finding the files of an export in what the user points at: a file, a folder, or the zip as Spotify sends it."""

import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from echostats_pipeline.errors import ExportError

EXTENDED_NAME = re.compile(r"(Streaming_History_(Audio|Video)_.*|endsong_\d+)\.json", re.IGNORECASE)
ACCOUNT_DATA_NAME = re.compile(r"StreamingHistory(_music_|_podcast_|_audiobook_)?\d+\.json", re.IGNORECASE)
EXPECTED = "Expected files like Streaming_History_Audio_2019-2020_3.json or endsong_0.json."


@dataclass(frozen=True)
class ExportFile:
    """One file of an export; `read` gives its bytes."""

    name: str
    read: Callable[[], bytes]


def find_export_files(path: Path) -> list[ExportFile]:
    """The extended-history files at `path`, ordered by name.

    Args:
        path: A ``.json`` file, a folder that is searched to its depth, or a zip.

    Raises:
        ExportError: nothing is there, or nothing of it is an extended streaming history.
    """
    if path.is_dir():
        files = [ExportFile(found.name, found.read_bytes) for found in path.rglob("*.json")]
    elif not path.is_file():
        raise ExportError(f"{path} does not exist. Give the zip from Spotify, its folder, or one of its files.")
    elif path.suffix.lower() == ".json":
        return [ExportFile(path.name, path.read_bytes)]
    elif path.suffix.lower() == ".zip":
        files = _zip_files(path)
    else:
        raise ExportError(f"{path} is neither a folder, a .zip nor a .json file. Nothing was imported.")
    extended = [file for file in files if EXTENDED_NAME.fullmatch(file.name)]
    if not extended:
        account_data = any(ACCOUNT_DATA_NAME.fullmatch(file.name) for file in files)
        why = (
            "holds Spotify's account data, which has no track ids; ask Spotify for the extended streaming history"
            if account_data
            else f"holds no extended streaming history. {EXPECTED}"
        )
        raise ExportError(f"{path} {why}")
    return sorted(extended, key=lambda file: file.name)


def _zip_files(path: Path) -> list[ExportFile]:
    """The JSON files of a zip by their base names; nothing is ever unpacked to disk."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if info.filename.lower().endswith(".json")]
    except (zipfile.BadZipFile, OSError) as error:
        raise ExportError(
            f"{path} cannot be read as a zip ({error}). Download it from Spotify again; nothing was imported."
        ) from error
    return [ExportFile(PurePosixPath(name).name, partial(_read_member, path, name)) for name in names]


def _read_member(path: Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    except (zipfile.BadZipFile, OSError, RuntimeError) as error:
        raise ExportError(
            f"{name} in {path} cannot be read ({error}). What was imported before it stays; "
            "download the zip again and repeat the import."
        ) from error
