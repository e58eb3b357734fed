"""Reads lines of text files that users may have edited or truncated. The meaning of a line is left to the readers."""

import codecs
import io
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from echostats_pipeline.errors import BrokenExportError, ExportError

T = TypeVar("T")

BLOCK_BYTES = 1 << 18
CHUNK_BYTES = 32 << 20
"""How many bytes of a file's rows are held at once; 20,000 rows of an export have some 20 MB."""
LONGEST_LINE = 1 << 20
"""Characters; the longest real row has some thousands. Longer lines are skipped, because a line is held in memory."""


@dataclass(frozen=True)
class UnreadText:
    """Stands in place of a row that could not be read: the reason, and the byte at which it begins, if known."""

    reason: str
    position: int | None = None


def text_start(stream: BinaryIO, name: str) -> str:
    """The first characters of a seekable stream, without byte-order mark and leading whitespace; none is consumed.

    Raises:
        BrokenExportError: the stream cannot be read.
    """
    head = read_block(stream, name)
    stream.seek(0)
    return _Decoder(head).decode(head).lstrip()


def text_lines(stream: BinaryIO, name: str) -> Iterator[str | UnreadText]:
    r"""Yield the lines of a text with their ``\n``, which replaces ``\r\n`` and ``\r``.

    The encoding is detected by `text_encoding`. Bytes that it cannot decode become lone surrogates, by which
    `is_damaged` finds their line.

    Raises:
        BrokenExportError: the stream cannot be read further.
    """
    decoder, rest, passed_over = None, "", False
    while block := read_block(stream, name):
        decoder = decoder or _Decoder(block)
        *lines, rest = (rest + decoder.decode(block)).split("\n")
        for line in lines:
            if passed_over or len(line) > LONGEST_LINE:
                passed_over = False
                yield UnreadText(f"the line is longer than {LONGEST_LINE} characters")
            else:
                yield line + "\n"
        if len(rest) > LONGEST_LINE:
            rest, passed_over = "", True
    rest += decoder.end() if decoder else ""
    if passed_over:
        yield UnreadText(f"the line is longer than {LONGEST_LINE} characters")
    elif rest:
        yield rest


def chunked(items: Iterable[T], size: int, position: Callable[[], int]) -> Iterator[list[T]]:
    """Yield lists of at most `size` items, or of fewer that took `CHUNK_BYTES` of the file or of memory.

    Args:
        items: Rows of a file.
        size: The most items in a list, at least 1.
        position: Returns how far into the file the items have come, or how much memory they take, in bytes.

    Raises:
        ExportError: an error raised by `items`, after the items before it were yielded.
    """
    chunk: list[T] = []
    start, broken = position(), None
    try:
        for item in items:
            chunk.append(item)
            if len(chunk) == size or position() - start >= CHUNK_BYTES:
                yield chunk
                chunk, start = [], position()
    except ExportError as error:
        broken = error
    if chunk:
        yield chunk
    if broken:
        raise broken


def is_damaged(text: str) -> bool:
    """Whether the text contains bytes that could not be decoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def read_block(stream: BinaryIO, name: str, size: int = BLOCK_BYTES) -> bytes:
    """The next bytes of the stream, at most `size`.

    Raises:
        BrokenExportError: the stream cannot be read further.
    """
    try:
        return stream.read(size)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise BrokenExportError(
            f"{name} cannot be read beyond byte {stream.tell()} ({error}). What was imported before stays; "
            "export the file again and repeat the import.",
            position=stream.tell(),
        ) from error


def text_encoding(head: bytes) -> tuple[str, bytes]:
    """The encoding of a file with this beginning, and its byte-order mark; exports begin with ASCII characters."""
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8", codecs.BOM_UTF8
    if head.startswith(codecs.BOM_UTF16_LE) or (head[1:2] == b"\0" and head[:1] != b"\0"):
        return "utf-16-le", codecs.BOM_UTF16_LE
    if head.startswith(codecs.BOM_UTF16_BE) or (head[:1] == b"\0" and head[1:2] != b"\0"):
        return "utf-16-be", codecs.BOM_UTF16_BE
    return "utf-8", b""


class _Decoder:
    """Decodes consecutive blocks of a file that begins with `head`."""

    def __init__(self, head: bytes) -> None:
        encoding, self._mark = text_encoding(head)
        errors = "surrogateescape" if encoding == "utf-8" else "surrogatepass"
        self._decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(errors), translate=True)

    def decode(self, block: bytes) -> str:
        text = self._decoder.decode(block.removeprefix(self._mark))
        self._mark = b""
        return text

    def end(self) -> str:
        """The rest at the end of the file; a character without its last bytes becomes a lone surrogate."""
        try:
            return self._decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "\udcff"
