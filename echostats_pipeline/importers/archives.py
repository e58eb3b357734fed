"""Reads files in untrusted zips: refuses dangerous ones, and never unpacks to disk."""

import gzip
import io
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, cast

from echostats_pipeline.errors import ExportError

RATIO_FROM = 10 << 20
"""Size in bytes below which a file may have any compression ratio."""
STEP = 1 << 14
"""Bytes unpacked at once. If the zip is damaged, at most this much before the damage is lost."""
OUTSIDE = re.compile(r"^[/\\]|^[A-Za-z]:|\0|(^|[/\\])\.\.([/\\]|$)")
"""Names that point outside the folder; some Windows tools separate folders by backslashes."""
ENCRYPTED = 0x1 | 0x40
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
FAILURES = (OSError, EOFError, RuntimeError, ValueError, struct.error, zlib.error, zipfile.BadZipFile)
"""Errors that `zipfile` raises for damaged zips."""
ZIP_START = b"PK\x03\x04"


@dataclass(frozen=True)
class ArchiveLimits:
    """How large a zip may be.

    Attributes:
        entries: Number of its files and folders.
        total_bytes: Unpacked size of all files.
        ratio: Unpacked size divided by packed size, for a file larger than `RATIO_FROM`; real exports reach 20.
    """

    entries: int = 10_000
    total_bytes: int = 4 << 30
    ratio: int = 200


@dataclass(frozen=True)
class ArchiveMember:
    """A file on disk or in a zip; `open` returns its content, `size` is the length in bytes."""

    name: str
    size: int
    open: Callable[[], BinaryIO]


def archive_files(path: Path, limits: ArchiveLimits) -> list[ArchiveMember]:
    """The files in a zip.

    Raises:
        ExportError: the zip cannot be read, or it is not safe to read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except OSError as error:
        raise ExportError(f"{path} cannot be read ({error}). Nothing of it was imported.") from error
    except FAILURES as error:
        with path.open("rb") as stream:
            cut_off = stream.read(len(ZIP_START)) == ZIP_START
        why = "is damaged or was cut off in the download" if cut_off else "is not a zip"
        raise ExportError(f"{path} {why} ({error}). Nothing of it was imported; download it again.") from error
    why_not = _danger(entries, limits)
    if why_not:
        raise ExportError(
            f"{path} {why_not}. Exports do not look like that, so nothing of it was imported: "
            "give the zip as it was downloaded, or a folder with its files."
        )
    named = [(_name(entry), entry) for entry in entries]
    return [
        ArchiveMember(name, entry.file_size, partial(_open_member, path, entry))
        for name, entry in named
        if not name.endswith("/")
    ]


def _name(entry: zipfile.ZipInfo) -> str:
    return entry.filename.replace("\\", "/")


def _danger(entries: list[zipfile.ZipInfo], limits: ArchiveLimits) -> str | None:
    """Why the zip must not be read; None if it may.

    The sizes in its directory can be trusted: `zipfile` returns no more bytes of a file than that, so a false size
    leads to a wrong checksum.
    """
    if len(entries) > limits.entries:
        return f"has {len(entries)} entries, more than {limits.entries}"
    total = sum(entry.file_size for entry in entries)
    if total > limits.total_bytes:
        return f"would unpack to {total} bytes, more than {limits.total_bytes}"
    name, times = Counter(map(_name, entries)).most_common(1)[0] if entries else ("", 1)
    if times > 1:
        return f"holds {name} {times} times"
    reasons = ((entry, _member_danger(entry, limits)) for entry in entries)
    return next((f"{reason}: {entry.orig_filename!r}" for entry, reason in reasons if reason), None)


def _member_danger(entry: zipfile.ZipInfo, limits: ArchiveLimits) -> str | None:
    if OUTSIDE.search(entry.orig_filename):
        return "has a file with a path outside the zip"
    if entry.flag_bits & ENCRYPTED:
        return "has a file with a password"
    if entry.filename.lower().endswith(".zip"):
        return "holds another zip"
    if entry.compress_type not in COMPRESSIONS:
        return "has a file with an unknown compression method"
    if entry.file_size > max(RATIO_FROM, limits.ratio * entry.compress_size):
        return f"has a file that is packed to less than 1/{limits.ratio}"
    return None


def _open_member(path: Path, entry: zipfile.ZipInfo) -> BinaryIO:
    # Readers use only read, tell and seek(0), which a raw stream has.
    return cast(BinaryIO, _Member(path, entry))


def open_gzip(opened: Callable[[], BinaryIO], most: int) -> BinaryIO:
    """The unpacked content of a gzip file, at most `most` bytes."""
    return cast(BinaryIO, _Gzip(opened(), most))


class _Gzip(gzip.GzipFile):
    """Stops at a size limit, because a few kilobytes may unpack to any size."""

    def __init__(self, packed: BinaryIO, most: int) -> None:
        super().__init__(fileobj=packed, mode="rb")
        self._packed, self._most = packed, most

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes.

        Raises:
            OSError: the file is damaged, or larger than the limit.
        """
        block = super().read(size)
        if self.tell() > self._most:
            raise OSError(f"it unpacks to more than {self._most} bytes")
        return block

    def close(self) -> None:
        super().close()
        self._packed.close()


class _Member(io.RawIOBase):
    """A file in a zip as a stream that returns all it can before it fails; `zipfile` itself does not.

    Reading raises `zipfile.BadZipFile` for every kind of damage.
    """

    def __init__(self, path: Path, entry: zipfile.ZipInfo) -> None:
        super().__init__()
        self._path = path
        self._checksum = entry.CRC
        self._unchecked = copy(entry)
        # Without this attribute zipfile leaves the checksum to us. Otherwise it would withhold the end of the file.
        del self._unchecked.CRC
        self._source: IO[bytes] | None = None
        self._failure: Exception | None = None
        self._position = 0
        self._running_checksum = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        """Only to the beginning."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go back to the beginning.

        Raises:
            io.UnsupportedOperation: any other position was requested.
        """
        if offset or whence != io.SEEK_SET:
            raise io.UnsupportedOperation("a file in a zip can only be read from its beginning")
        if self._source:
            self._source.close()
        self._source = self._failure = None
        self._position = self._running_checksum = 0
        return 0

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer, with fewer bytes at the end or before damage."""
        filled = 0
        while filled < len(buffer) and not self._failure and (block := self._step(len(buffer) - filled)):
            buffer[filled : filled + len(block)] = block
            filled += len(block)
        if self._failure and not filled and len(buffer):
            raise self._failure
        self._position += filled
        return filled

    def close(self) -> None:
        if self._source:
            self._source.close()
        super().close()

    def _step(self, size: int) -> bytes:
        try:
            if not self._source:
                with zipfile.ZipFile(self._path) as archive:
                    self._source = archive.open(self._unchecked)
            block = self._source.read(min(size, STEP))
        except FAILURES as error:
            self._failure = zipfile.BadZipFile(str(error))
            return b""
        self._running_checksum = zlib.crc32(block, self._running_checksum)
        if not block and self._running_checksum != self._checksum:
            self._failure = zipfile.BadZipFile("its checksum is wrong")
        return block
