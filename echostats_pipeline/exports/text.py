"""Lines and CSV rows of files that people have saved, edited and cut off. What a row means belongs to the readers."""

import codecs
import csv
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import BinaryIO, TypeVar

from echostats_pipeline.errors import BrokenExportError, ExportError

T = TypeVar("T")

BLOCK_BYTES = 1 << 18
LONGEST_LINE = 1 << 20
"""Characters; the longest real row has some thousands. A file without line breaks would be held whole."""


def text_start(stream: BinaryIO, name: str) -> str:
    """The first characters of a seekable stream, without byte-order mark and leading whitespace; none is consumed.

    Raises:
        BrokenExportError: the stream cannot be read.
    """
    head = read_block(stream, name)
    stream.seek(0)
    return _decoder(head).decode(head).lstrip()


def text_lines(stream: BinaryIO, name: str) -> Iterator[str]:
    r"""The lines of a text with their ``\n``; UTF-8, or UTF-16 where a byte-order mark says so.

    A byte that is no UTF-8 becomes a lone surrogate, by which `is_damaged` knows its line.

    Raises:
        BrokenExportError: the stream cannot be read on, or has no line break for more than `LONGEST_LINE`.
    """
    decoder, rest = None, ""
    while block := read_block(stream, name):
        decoder = decoder or _decoder(block)
        *lines, rest = (rest + decoder.decode(block)).split("\n")
        for line in lines:
            yield line + "\n"
        if len(rest) > LONGEST_LINE:
            raise BrokenExportError(
                f"{name} has no line break in the {len(rest)} characters before byte {stream.tell()}. What was "
                "imported before stays; export the file again and repeat the import.",
                position=stream.tell(),
            )
    if rest:
        yield rest


def csv_rows(stream: BinaryIO, name: str) -> Iterator[list[str] | str]:
    """The rows of a CSV, blank lines left out: its values, or in place of a row that has none, why.

    The first row gives the width that every other must have.

    Raises:
        BrokenExportError: as `text_lines`.
    """
    reader = csv.reader(text_lines(stream, name))
    width = 0
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            # The reader begins a new row with the next line, so one stray quote costs one row.
            yield f"the row is not valid CSV ({error})"
            continue
        if row is None:
            return
        width = width or len(row)
        if is_damaged("".join(row)):
            yield "the row is not UTF-8: save the file as UTF-8 and import it again"
        elif len(row) == width:
            yield row
        elif row:
            yield f"the row has {len(row)} columns, the first one {width}"


def chunked(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of at most `size` items.

    Raises:
        ExportError: what `items` raises, after the items before it were given.
    """
    broken: list[ExportError] = []
    remaining = _until_broken(items, broken)
    while chunk := list(islice(remaining, size)):
        yield chunk
    if broken:
        raise broken[0]


def _until_broken(items: Iterable[T], broken: list[ExportError]) -> Iterator[T]:
    try:
        yield from items
    except ExportError as error:
        broken.append(error)


def is_damaged(text: str) -> bool:
    """Whether the text holds bytes that could not be decoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def read_block(stream: BinaryIO, name: str, size: int = BLOCK_BYTES) -> bytes:
    """The next bytes of the stream, at most `size`.

    Raises:
        BrokenExportError: the stream cannot be read on.
    """
    try:
        return stream.read(size)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise BrokenExportError(
            f"{name} cannot be read beyond byte {stream.tell()} ({error}). What was imported before stays; "
            "export the file again and repeat the import.",
            position=stream.tell(),
        ) from error


def _decoder(head: bytes) -> codecs.IncrementalDecoder:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return codecs.getincrementaldecoder("utf-16")("replace")
    return codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
