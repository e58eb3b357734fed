"""A JSON array of objects out of a stream, some thousand rows at a time. What the objects mean is not known here.

Most of a file is parsed in blocks that end between two objects. Where a block does not parse, its rows are taken one by
one, so that a damaged row costs only itself.
"""

import codecs
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from echostats_pipeline.errors import BrokenExportError, ExportError
from echostats_pipeline.exports.rows import RejectedRow
from echostats_pipeline.exports.text import chunked

CHUNK_ROWS = 20_000
BLOCK_BYTES = 1 << 18
LONGEST_ROW = 8 << 20
"""Characters; a row of an export has about a thousand, and a longer one would have to be held whole."""
UNDECIDED = 16
r"""So many characters before the end of what was read, what follows may mend a failure: ``Infinity``, ``\u00e9``."""

SEARCHED = 1 << 16
"""How far before the end of a block a place between two objects is looked for, in characters."""
INDENT = 64
"""So many characters of white space may stand before an object there."""

NEXT_ROW = re.compile(r"(?P<end>,)\s*\{\s*[\"}]")
LAST_ROW = re.compile(r"\}\s*(?P<end>\])\s*\Z")
# NaN and the infinities are no JSON; what stands there is unknown.
DECODER = json.JSONDecoder(parse_constant=lambda _: None)
READ_FAILURES = (OSError, EOFError, zlib.error, zipfile.BadZipFile)

NO_ARRAYS = {
    "": "is empty",
    "{": "holds one JSON object, not an array of plays",
    "<": "is a web page or XML, not JSON",
    **dict.fromkeys('"-0123456789tfn', "holds no array of plays"),
}


@dataclass(frozen=True)
class ObjectChunk:
    """Consecutive rows of an array: its objects with their numbers, and what is none. 0 is the first row of the file.

    `bytes_read` is how far the file was parsed.
    """

    rows: int
    numbers: list[int]
    objects: list[dict[str, Any]]
    rejects: list[RejectedRow]
    bytes_read: int


@dataclass(frozen=True)
class _Damaged:
    """In the place of a row that cannot be parsed: why."""

    reason: str


def read_objects(
    stream: BinaryIO, name: str, chunk_rows: int = CHUNK_ROWS, block_bytes: int = BLOCK_BYTES
) -> Iterator[ObjectChunk]:
    """The rows of a JSON array in chunks; UTF-8 or UTF-16, with or without a byte-order mark.

    Args:
        stream: The bytes of the file.
        name: What to call it in messages.
        chunk_rows: Rows per chunk, at least 1; only the last has fewer.
        block_bytes: How much is read at once.

    Raises:
        ExportError: it is no JSON array.
        BrokenExportError: it cannot be read to its end, or goes on after the array; the rows before that were given.
    """
    text = _Text(stream, name, block_bytes)
    first = 0
    for rows in chunked(_rows(text), chunk_rows):
        yield _chunk(first, rows, text.position)
        first += len(rows)


def _chunk(first: int, rows: list[Any], position: int) -> ObjectChunk:
    rejects = []
    for number, row in enumerate(rows, first):
        if isinstance(row, _Damaged):
            rejects.append(RejectedRow(number, row.reason, {}))
        elif not isinstance(row, dict):
            rejects.append(RejectedRow(number, "the row is not an object", {"type": type(row).__name__}))
    return ObjectChunk(
        rows=len(rows),
        numbers=[number for number, row in enumerate(rows, first) if isinstance(row, dict)],
        objects=[row for row in rows if isinstance(row, dict)],
        rejects=rejects,
        bytes_read=position,
    )


def _rows(text: "_Text") -> Iterator[Any]:
    text.open_array()
    while not text.closed:
        position = text.position
        yield from text.whole_block() or text.one_by_one()
        if text.position == position and not text.closed:
            text.read_on()
    text.expect_nothing()


class _Text:
    """What was read of a file and is not parsed yet.

    Attributes:
        position: The byte at which it begins.
        closed: Whether the array has ended.
    """

    def __init__(self, stream: BinaryIO, name: str, block_bytes: int) -> None:
        self.closed = False
        self._stream, self._name, self._block_bytes = stream, name, block_bytes
        self._rest = ""
        self._ended = False
        self._failure = ""
        head = self._read()
        while len(head) < len(codecs.BOM_UTF8) and not self._ended:
            head += self._read()
        self._encoding, mark = text_encoding(head)
        head, self.position = head.removeprefix(mark), len(mark) if head.startswith(mark) else 0
        # What is no UTF-8 becomes lone surrogates: they find their way back to bytes, and strict encoding finds them.
        self._errors = "surrogateescape" if self._encoding == "utf-8" else "surrogatepass"
        self._decoder = codecs.getincrementaldecoder(self._encoding)(self._errors)
        self._take(head)

    def open_array(self) -> None:
        """Pass over the bracket at the beginning.

        Raises:
            ExportError: it is not there.
        """
        while not self._rest.strip() and not self._ended:
            self._drop(len(self._rest))
            self.read_on()
        start = _skip_space(self._rest, 0)
        found = self._rest[start : start + 1]
        if found != "[":
            if not found and self._failure:
                raise self._broken(self._failure)
            raise ExportError(f"{self._name} {NO_ARRAYS.get(found, 'is not JSON')}. Nothing of it was imported.")
        self._drop(start + 1)

    def read_on(self) -> None:
        """Read a further block.

        Raises:
            BrokenExportError: there is none, or what was read is too long for a row.
        """
        if self._ended:
            raise self._broken(self._failure or "breaks off")
        if len(self._rest) > LONGEST_ROW:
            raise self._broken(f"has a row of more than {LONGEST_ROW} characters")
        self._take(self._read())

    def whole_block(self) -> list[Any]:
        """The rows up to the last comma between two objects, if all of them can be parsed; else none."""
        end = _last_boundary(self._rest)
        if end < 0:
            return []
        block = self._rest[:end]
        try:
            size = len(block.encode(self._encoding))
            rows: list[Any] = DECODER.decode(f"[{block}]")
        except (ValueError, RecursionError):
            return []
        self.position += size + self._size(",")
        self._rest = self._rest[end + 1 :]
        return rows

    def one_by_one(self) -> Iterator[Any]:
        """The rows that end in what was read, `_Damaged` for one that cannot be parsed."""
        at = 0
        while not self.closed:
            start = end = _skip_space(self._rest, at)
            self.position += self._size(self._rest[at:start])
            at = start
            if not self._rest.startswith("]", start):
                found = self._row(start)
                if found is None:
                    break
                row, end = found
                yield row
            self.closed = self._rest.startswith("]", end)
            self.position += self._size(self._rest[at : end + 1])
            at = end + 1
        self._rest = self._rest[at:]

    def expect_nothing(self) -> None:
        """Read to the end of the file, behind the array.

        Raises:
            BrokenExportError: something is there, or the end cannot be read.
        """
        while not self._rest.strip() and not self._ended:
            self._drop(len(self._rest))
            self._take(self._read())
        self._drop(_skip_space(self._rest, 0))
        if self._rest:
            raise self._broken("goes on after the end of its array")
        if self._failure:
            raise self._broken(self._failure)

    def _row(self, start: int) -> tuple[Any, int] | None:
        """The row at `start` and where the comma or bracket behind it stands; None if it does not end in `_rest`."""
        try:
            row, end = DECODER.raw_decode(self._rest, start)
            self._rest[start:end].encode(self._encoding)
            end = _skip_space(self._rest, end)
            if self._rest[end : end + 1] in (",", "]") or (self._ended and end == len(self._rest)):
                return row, end
            reason, failed = "Expecting ',' delimiter", end
        except json.JSONDecodeError as error:
            reason, failed = error.msg, error.pos
        except UnicodeEncodeError:
            reason, failed = f"it holds bytes that are no {self._encoding.upper()}", start
        except (ValueError, RecursionError) as error:
            reason, failed = str(error), start
        incomplete = reason.startswith("Unterminated") or failed > len(self._rest) - UNDECIDED
        if incomplete and not self._ended:
            return None
        behind = NEXT_ROW.search(self._rest, start + 1)
        if not behind and self._ended:
            behind = LAST_ROW.search(self._rest, start)
        damaged = _Damaged(f"the row at byte {self.position} is not valid JSON: {reason}")
        return (damaged, behind.start("end")) if behind else None

    def _read(self) -> bytes:
        try:
            block = self._stream.read(self._block_bytes)
        except READ_FAILURES as error:
            self._failure, self._ended = f"cannot be read on ({error})", True
            return b""
        self._ended = not block
        return block

    def _take(self, block: bytes) -> None:
        self._rest += self._decoder.decode(block)

    def _drop(self, characters: int) -> None:
        self.position += self._size(self._rest[:characters])
        self._rest = self._rest[characters:]

    def _size(self, text: str) -> int:
        return len(text.encode(self._encoding, self._errors))

    def _broken(self, what: str) -> BrokenExportError:
        return BrokenExportError(
            f"{self._name} {what} at byte {self.position}. The rows before that are imported; get the file again and "
            "repeat the import, which adds no play twice.",
            position=self.position,
        )


def text_encoding(head: bytes) -> tuple[str, bytes]:
    """The encoding of a file that begins so, and its byte-order mark; JSON begins with characters of ASCII."""
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8", codecs.BOM_UTF8
    if head.startswith(codecs.BOM_UTF16_LE) or (head[1:2] == b"\0" and head[:1] != b"\0"):
        return "utf-16-le", codecs.BOM_UTF16_LE
    if head.startswith(codecs.BOM_UTF16_BE) or (head[:1] == b"\0" and head[1:2] != b"\0"):
        return "utf-16-be", codecs.BOM_UTF16_BE
    return "utf-8", b""


def _skip_space(text: str, at: int) -> int:
    while text[at : at + 1].isspace():
        at += 1
    return at


def _last_boundary(text: str) -> int:
    """Where the last comma between two objects stands, or -1."""
    brace = len(text)
    while (brace := text.rfind("{", max(0, len(text) - SEARCHED), brace)) > 0:
        before = text[max(0, brace - INDENT) : brace].rstrip()
        if before.endswith(",") and before[:-1].rstrip().endswith("}"):
            return text.rfind(",", 0, brace)
    return -1
