"""Reads JSON arrays of objects from a stream, some thousand rows at a time. What the objects mean is not known here.

The array is the whole file, or one or several arrays inside objects. Most of a file is parsed in blocks that end
between two objects. If a block cannot be parsed, its rows are parsed one by one, so that only damaged rows are lost.
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
from echostats_pipeline.importers.rows import RejectedRow
from echostats_pipeline.importers.text import UnreadText, chunked, text_encoding

CHUNK_ROWS = 20_000
BLOCK_BYTES = 1 << 18
LONGEST_ROW = 8 << 20
"""Characters; an export row has about a thousand. Longer rows are skipped, because a row is held in memory."""
LONGEST_ENVELOPE = 1 << 12
"""Characters around the arrays of rows, which are usually some hundreds. If there are more, they may contain rows."""
UNDECIDED = 16
r"""A parse error this close to the end of the buffer may be a truncated token: ``Infinity``, ``\u00e9``."""

SEARCHED = 1 << 16
"""How far before the end of a block to look for a boundary between two objects, in characters."""
INDENT = 64
"""How many white-space characters may precede an object at that boundary."""

NEXT_ROW = re.compile(r"(?P<end>[,}])\s*\{\s*[\"}]")
FIRST_KEY = re.compile(r"\s*\{\s*(?P<key>\"[^\"\\]{1,60}\")")
FIRST_KEYS = 8
"""How many different first keys of rows are remembered. Objects that begin otherwise lie inside a damaged row."""
STRAY = re.compile(r"[^\s{}\]]?\s*(?=\{\s*\")")
"""A stray character, or none, in place of the comma between two objects; neither object is lost by it."""
STRAY_BEFORE = re.compile(r"\S\s*(?=\{\s*\")")
"""A stray character before an object, which prevents parsing."""
EARLY_END = re.compile(r"\s*,?\s*(?=\{\s*\")")
"""The text after a bracket that does not end the array, because another object follows."""
LAST_ROW = re.compile(r"\}\s*(?P<end>\])\s*\Z")
# NaN and the infinities are not JSON; such a value is unknown.
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
    """Consecutive rows of an array: objects with their numbers, and rejected rows. The first row is number 0.

    `bytes_read` is how far the file has been parsed.
    """

    rows: int
    numbers: list[int]
    objects: list[dict[str, Any]]
    rejects: list[RejectedRow]
    bytes_read: int


def read_objects(
    stream: BinaryIO,
    name: str,
    chunk_rows: int = CHUNK_ROWS,
    block_bytes: int = BLOCK_BYTES,
    opening: re.Pattern[str] | None = None,
) -> Iterator[ObjectChunk]:
    """Yield the rows of JSON arrays in chunks; the file is UTF-8 or UTF-16, with or without a byte-order mark.

    Args:
        stream: The bytes of the file.
        name: The file's name for messages.
        chunk_rows: Rows per chunk, at least 1; only the last chunk has fewer.
        block_bytes: How many bytes to read at once.
        opening: Matches the text before arrays of rows, up to the bracket, in a file that holds them inside other
            values. If a match does not end with a bracket, a single object follows, which is the only row. None if the
            whole file is the array.

    Raises:
        ExportError: the file is not a JSON array, or contains none.
        BrokenExportError: the file cannot be read to its end, or continues after the array; earlier rows were yielded.
    """
    text = _Text(stream, name, block_bytes, opening)
    first = 0
    for rows in chunked(_rows(text), chunk_rows, lambda: text.weight):
        yield object_chunk(first, rows, text.position)
        first += len(rows)


def object_chunk(first: int, rows: list[Any], position: int) -> ObjectChunk:
    """The chunk of consecutive values, possibly with `UnreadText` among them; `first` is the number of the first."""
    rejects = []
    for number, row in enumerate(rows, first):
        if isinstance(row, UnreadText):
            place = {} if row.position is None else {"byte": row.position}
            rejects.append(RejectedRow(number, row.reason, place))
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
    while not text.ended():
        position = text.position
        yield from text.unread
        text.unread.clear()
        yield from text.whole_block() or text.one_by_one()
        if text.position == position and not text.closed:
            text.read_on()
    yield from text.unread
    text.expect_nothing()


class _Text:
    """The part of a file that has been read and is not parsed yet.

    Attributes:
        position: The byte at which the part begins.
        closed: Whether the array has ended.
        unread: The reasons why rows were skipped.
        weight: The approximate size of all returned rows, in bytes of memory.
    """

    def __init__(self, stream: BinaryIO, name: str, block_bytes: int, opening: re.Pattern[str] | None) -> None:
        self.closed = False
        self.weight = 0
        self.unread: list[UnreadText] = []
        self._stream, self._name, self._block_bytes, self._opening = stream, name, block_bytes, opening
        self._single = False
        self._first_keys: set[str] = set()
        self._known_row = NEXT_ROW
        self._rest = ""
        self._ended = False
        self._failure = ""
        head = self._read()
        while len(head) < len(codecs.BOM_UTF8) and not self._ended:
            head += self._read()
        self._encoding, mark = text_encoding(head)
        head, self.position = head.removeprefix(mark), len(mark) if head.startswith(mark) else 0
        # Bytes that are no UTF-8 become lone surrogates: they can be turned back into bytes, and strict encoding finds
        # them.
        self._errors = "surrogateescape" if self._encoding == "utf-8" else "surrogatepass"
        self._decoder = codecs.getincrementaldecoder(self._encoding)(self._errors)
        self._take(head)

    def open_array(self) -> None:
        """Skip the opening bracket, or everything before the first array.

        Raises:
            ExportError: there is no array.
        """
        if self._opening:
            if not self._opened(self._opening):
                self._expect_whole_envelope()
                raise ExportError(f"{self._name} holds no list of plays. Nothing of it was imported.")
            return
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
        self._learn_row(0)

    def ended(self) -> bool:
        """Whether no rows follow: the array has ended, and no other array begins after it."""
        if not self.closed:
            return False
        while len(self._rest.lstrip()) < INDENT and not self._ended:
            self._drop(len(self._rest) - len(self._rest.lstrip()))
            self._take(self._read())
        early = EARLY_END.match(self._rest)
        if early:
            self._drop(early.end())
            self.closed = False
        return not early and not (self._opening and self._opened(self._opening))

    def read_on(self) -> None:
        """Read another block, or skip a row that is too long.

        Raises:
            BrokenExportError: the file has already ended.
        """
        if self._ended:
            raise self._broken(self._failure or "breaks off")
        if len(self._rest) > LONGEST_ROW:
            self._pass_over()
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
        self._learn_row(0)
        self.weight += _weight(block)
        self._rest = self._rest[end + 1 :]
        return rows

    def one_by_one(self) -> Iterator[Any]:
        """The rows that end in the buffer; `UnreadText` for a row that cannot be parsed."""
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
                self.weight += _weight(self._rest[start:end])
                yield row
            if self._single:
                self.closed = True
                end -= 1
            else:
                self.closed = self._rest.startswith("]", end)
            self.position += self._size(self._rest[at : end + 1])
            at = end + 1
        self._rest = self._rest[at:]

    def expect_nothing(self) -> None:
        """Read to the end of the file after the array.

        Raises:
            BrokenExportError: there is more content, or the end cannot be read.
        """
        if self._opening:
            self._expect_whole_envelope()
            return
        while not self._rest.strip() and not self._ended:
            self._drop(len(self._rest))
            self._take(self._read())
        self._drop(_skip_space(self._rest, 0))
        if self._rest:
            raise self._broken("continues after the end of its array")
        if self._failure:
            raise self._broken(self._failure)

    def _row(self, start: int) -> tuple[Any, int] | None:
        """The row at `start` and the position of the comma or bracket after it; None if it ends after the buffer."""
        try:
            row, end = DECODER.raw_decode(self._rest, start)
            self._learn_row(start)
            self._rest[start:end].encode(self._encoding)
            end = _skip_space(self._rest, end)
            behind = self._rest[end : end + 1]
            if behind in (",", "]") or (self._ended and not behind) or (self._single and behind == "}"):
                return row, end
            if isinstance(row, dict) and STRAY.match(self._rest, end):
                return row, end - 1 if behind == "{" else end
            reason, failed = "Expecting ',' delimiter", end
        except json.JSONDecodeError as error:
            reason, failed = error.msg, error.pos
        except UnicodeEncodeError:
            reason, failed = f"it has bytes that are not {self._encoding.upper()}", start
        except (ValueError, RecursionError) as error:
            deep = isinstance(error, RecursionError)
            reason, failed = "it is nested too deeply" if deep else "a number is too long", start
        incomplete = reason.startswith("Unterminated") or failed > len(self._rest) - UNDECIDED
        if incomplete and not self._ended:
            return None
        if stray := STRAY_BEFORE.match(self._rest, start):
            return self._row(stray.end())
        next_row = self._known_row.search(self._rest, start + 1)
        if not next_row and (self._ended or len(self._rest) - start > SEARCHED):
            next_row = NEXT_ROW.search(self._rest, start + 1)
        if not next_row and self._ended:
            next_row = LAST_ROW.search(self._rest, start)
        damaged = UnreadText(f"the row is not valid JSON: {reason}", self.position)
        return (damaged, next_row.start("end")) if next_row else None

    def _learn_row(self, at: int) -> None:
        """Remember the first key of the row at this position."""
        found = FIRST_KEY.match(self._rest, at)
        if found and found["key"] not in self._first_keys and len(self._first_keys) < FIRST_KEYS:
            self._first_keys.add(found["key"])
            keys = "|".join(map(re.escape, sorted(self._first_keys)))
            self._known_row = re.compile(rf"(?P<end>[,}}])\s*\{{\s*(?:{keys})")

    def _opened(self, opening: re.Pattern[str]) -> bool:
        """Skip everything up to the next array of rows; False if there is none."""
        position, passed = self.position, 0
        while not (found := opening.search(self._rest)) and not self._ended:
            passed += self._drop(len(self._rest) - INDENT)
            self._take(self._read())
        passed += found.start() if found else len(self._rest)
        if passed > LONGEST_ENVELOPE:
            self.unread.append(UnreadText("the text between the plays is not a list of plays", position))
        if found:
            self._single = not found[0].endswith("[")
            self._drop(found.end())
            self.closed = False
            self._learn_row(0)
        return found is not None

    def _expect_whole_envelope(self) -> None:
        if self._failure:
            raise self._broken(self._failure)
        if not self._rest.rstrip().endswith(("}", "]")):
            raise self._broken("breaks off")
        self._drop(len(self._rest))

    def _pass_over(self) -> None:
        """Skip the row at the beginning of the buffer, which is too long.

        Raises:
            BrokenExportError: the row does not end.
        """
        start, passed = self._broken(f"has a row of more than {LONGEST_ROW} characters"), 0
        while not (found := self._known_row.search(self._rest, 0 if passed else 1)):
            if self._ended:
                raise start
            passed += self._drop(len(self._rest) - INDENT)
            self._take(self._read())
        self.unread.append(UnreadText(f"the row is longer than {LONGEST_ROW} characters", start.position))
        self._drop(found.start("end") + 1)

    def _read(self) -> bytes:
        try:
            block = self._stream.read(self._block_bytes)
        except READ_FAILURES as error:
            self._failure, self._ended = f"cannot be read further ({error})", True
            return b""
        self._ended = not block
        return block

    def _take(self, block: bytes) -> None:
        self._rest += self._decoder.decode(block)

    def _drop(self, characters: int) -> int:
        """Skip this number of characters, or fewer if there are fewer; return how many were skipped."""
        passed, self._rest = self._rest[: max(characters, 0)], self._rest[max(characters, 0) :]
        self.position += self._size(passed)
        return len(passed)

    def _size(self, text: str) -> int:
        return len(text.encode(self._encoding, self._errors))

    def _broken(self, what: str) -> BrokenExportError:
        return BrokenExportError(
            f"{self._name} {what} at byte {self.position}. The rows before that are imported; get the file again and "
            "repeat the import, which adds no play twice.",
            position=self.position,
        )


def _weight(text: str) -> int:
    """The approximate memory of parsed JSON in bytes: three bytes of ``[],`` become 72."""
    return len(text) + 16 * text.count(",") + 64 * (text.count("{") + text.count("["))


def _skip_space(text: str, at: int) -> int:
    while text[at : at + 1].isspace():
        at += 1
    return at


def _last_boundary(text: str) -> int:
    """The position of the last comma between two objects, or -1."""
    brace = len(text)
    while (brace := text.rfind("{", max(0, len(text) - SEARCHED), brace)) > 0:
        before = text[max(0, brace - INDENT) : brace].rstrip()
        if before.endswith(",") and before[:-1].rstrip().endswith("}"):
            return text.rfind(",", 0, brace)
    return -1
