"""The file of a backup: a zip archive that ends with a checksum of itself.

Its BSON files and their metadata lie as `mongodump` puts them into a folder, so MongoDB's own tools read them once they
are unpacked. The comment of the archive, its last bytes, is the SHA-256 of everything before: a file that was cut or
changed anywhere is refused before a byte of it is used.
"""

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from rich.filesize import decimal

from echostats_pipeline import __version__
from echostats_pipeline.backup.manifest import Manifest, Part, StoredCollection, refuse_newer
from echostats_pipeline.errors import BackupError

NOTE, MANIFEST, KEYS = "echostats-backup.txt", "manifest.json", "keys.json"
NOTE_TEXT = """\
A backup that echostats_pipeline {version} began at {at}. To restore it: echostats restore FILE

Each .bson file holds the documents of a collection, as mongodump writes them; manifest.json lists all with their
checksums. {keys}
"""
WITH_KEYS = "keys.json holds the key that encrypts tokens: whoever reads this file can use the Spotify accounts in it."
WITHOUT_KEYS = "The key that encrypts tokens is not in it."
LEVEL = 1
"""Of compression: higher ones take three times as long for a tenth less."""
DIGEST_CHARACTERS = 64
HEADER_BYTES = 30
PIECE = 2**20
LENGTH_BYTES = 4
UNFINISHED = ".echostats-backup.unfinished-"
"""How the hidden name of what is being written begins, or was left by a killed process: a file, and a folder of it."""
LEFT_AFTER_S = 2 * 24 * 60 * 60
"""A hidden file that has not grown for so long was left; a backup waits for runs for a day at most."""
FULL = {errno.ENOSPC, errno.EDQUOT}


class ArchiveWriter:
    """Writes the parts of a backup."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def add(self, entry: str, chunks: Iterable[bytes]) -> Part:
        """Write a part piece by piece."""
        digest, size = hashlib.sha256(), 0
        with self._archive.open(entry, "w", force_zip64=True) as target:
            for chunk in chunks:
                target.write(chunk)
                digest.update(chunk)
                size += len(chunk)
        return Part(entry=entry, size=size, sha256=digest.hexdigest())


@contextmanager
def new_archive(path: Path) -> Iterator[ArchiveWriter]:
    """Provide a new archive, which appears under its name when the block has ended and the file is on the disk.

    Until then it is a hidden file beside it; only its owner can read either. An error deletes it. What a killed process
    leaves is deleted by a later backup in the same folder.

    Raises:
        BackupError: the file exists, or cannot be written.
    """
    path = path.resolve()
    if path.exists():
        raise BackupError(f"{path} already exists. Name a file that does not exist yet; nothing was changed.")
    try:
        _delete_left(path.parent)
        handle, name = tempfile.mkstemp(prefix=UNFINISHED, dir=path.parent)  # with mode 0600
        hidden = Path(name)
        try:
            with os.fdopen(handle, "w+b") as file:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
                    yield ArchiveWriter(archive)
                    archive.comment = b"0" * DIGEST_CHARACTERS
                digest = _digest(file)
                file.seek(-DIGEST_CHARACTERS, os.SEEK_END)
                file.write(digest)
                file.flush()
                os.fsync(file.fileno())
            _read_back(hidden, path)
            hidden.rename(path)
        except BaseException:
            hidden.unlink(missing_ok=True)
            raise
    except OSError as error:
        if Path(error.filename or path).parent != path.parent:  # such as a file of the database
            raise BackupError(f"{error.filename}: {error.strerror}. No part of the backup is left behind.") from error
        fix = (
            "Make room there, or name a file on another disk"
            if error.errno in FULL
            else "Name a file in another folder"
        )
        raise BackupError(
            f"{path} cannot be written: {error.strerror or error}. {fix}; no part of it is left behind."
        ) from error


def refuse_full_disk(folder: Path, needed: int) -> None:
    """Refuse to begin a backup that would fill the disk, which may be that of the database.

    Raises:
        BackupError: there are fewer than `needed` bytes in the folder.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise BackupError(
            f"{folder} has {decimal(free)} free, and the backup may take {decimal(needed)}. Make room there, or name a "
            "file on another disk. Nothing was written."
        )


def _read_back(hidden: Path, path: Path) -> None:
    try:
        with open_archive(hidden) as written:
            written.verify()
    except BackupError as error:
        raise BackupError(
            f"What was written for {path} cannot be read back: the disk or the memory of this machine may be faulty. "
            "No part of it is left behind."
        ) from error


def _delete_left(folder: Path) -> None:
    for left in folder.glob(f"{UNFINISHED}*"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > LEFT_AFTER_S:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _digest(file: BinaryIO) -> bytes:
    """The checksum of a file without its last bytes, where it is kept; the file then stands before these."""
    left = max(0, file.seek(0, os.SEEK_END) - DIGEST_CHARACTERS)
    file.seek(0)
    digest = hashlib.sha256()
    while left > 0 and (piece := file.read(min(PIECE, left))):
        digest.update(piece)
        left -= len(piece)
    return digest.hexdigest().encode()


class ArchiveReader:
    """Reads a backup that was found to be whole.

    Attributes:
        path: The file.
        manifest: What it holds.
        digest: Identifies the backup.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile, manifest: Manifest, digest: str) -> None:
        self.path = path
        self.manifest = manifest
        self.digest = digest
        self._archive = archive

    def content(self, entry: str) -> bytes:
        """The content of a small part."""
        return self._archive.read(entry)

    def chunks(self, entry: str) -> Iterator[bytes]:
        """The content of a part, piece by piece."""
        with self._archive.open(entry) as source:
            while piece := source.read(PIECE):
                yield piece

    def documents(self, entry: str) -> Iterator[bytes]:
        """The BSON documents of a collection, one by one."""
        with self._archive.open(entry) as source:
            while head := source.read(LENGTH_BYTES):
                yield head + source.read(int.from_bytes(head, "little") - LENGTH_BYTES)

    def verify(self) -> None:
        """Read every part and compare it with the manifest.

        Raises:
            BackupError: a part differs.
        """
        for part in self.manifest.parts:
            counted = isinstance(part, StoredCollection)
            digest, size, documents = hashlib.sha256(), 0, 0
            for each in self.documents(part.entry) if counted else self.chunks(part.entry):
                digest.update(each)
                size += len(each)
                documents += 1
            same = (digest.hexdigest(), size) == (part.sha256, part.size)
            if not same or (isinstance(part, StoredCollection) and documents != part.documents):
                raise _damaged(self.path)


@contextmanager
def open_archive(path: Path) -> Iterator[ArchiveReader]:
    """Open a backup, once it is certain that nothing in it has changed since it was written.

    Raises:
        BackupError: the file cannot be read, is no backup, was cut or changed, or is newer than this version.
    """
    with ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("rb"))
            digest = _checked(file, path)
            archive = stack.enter_context(zipfile.ZipFile(file))
            manifest = _manifest(archive.read(MANIFEST))
        except OSError as error:
            raise BackupError(f"{path} cannot be read: {error.strerror or error}. Nothing was restored.") from error
        yield ArchiveReader(path, archive, manifest, digest)


def _checked(file: BinaryIO, path: Path) -> str:
    """The checksum at the end of a file, if it is that of the file."""
    # The name of the first entry follows its header.
    if file.read(HEADER_BYTES + len(NOTE))[HEADER_BYTES:] != NOTE.encode():
        raise BackupError(f"{path} is not a backup of echostats; nothing was restored.")
    digest = _digest(file)
    if file.read() != digest:
        raise _damaged(path)
    return digest.decode()


def _manifest(content: bytes) -> Manifest:
    found = json.loads(content)
    refuse_newer(found["format"], found["made_by"], __version__)
    return Manifest.model_validate(found)


def _damaged(path: Path) -> BackupError:
    return BackupError(
        f"{path} is a backup that was cut or changed after it was written. Nothing was restored; use another copy."
    )
