"""Reads JSON objects line by line, as written by tools that append to a file."""

from collections.abc import Iterator
from typing import Any, BinaryIO

from echostats_pipeline.errors import BrokenExportError
from echostats_pipeline.importers.arrays import DECODER, ObjectChunk, object_chunk
from echostats_pipeline.importers.named_plays import Rejected
from echostats_pipeline.importers.text import UnreadText, chunked, is_damaged, text_lines


def json_lines(stream: BinaryIO, name: str) -> Iterator[Any]:
    """Yield the values of the lines, or why a line is rejected; several objects may share a line.

    Args:
        stream: The file, from its beginning.
        name: The file's name for messages.

    Raises:
        BrokenExportError: the file cannot be read further, or its last line breaks off and was yielded as rejected.
    """
    for line in text_lines(stream, name):
        if isinstance(line, UnreadText):
            yield Rejected(line.reason, {})
        elif line.strip():
            values = _values(line)
            yield from values
            if isinstance(values[-1], Rejected) and not line.endswith("\n"):
                position = stream.tell() - len(line.encode(errors="replace"))
                raise BrokenExportError(
                    f"{name} breaks off in its last line, after byte {position}. What was imported before stays; "
                    "export it again and repeat the import.",
                    position=position,
                )


def read_object_lines(stream: BinaryIO, name: str, chunk_rows: int) -> Iterator[ObjectChunk]:
    """Yield the objects of the lines in chunks, like `arrays.read_objects` for an array; errors as `json_lines`."""
    values = (UnreadText(value.reason) if isinstance(value, Rejected) else value for value in json_lines(stream, name))
    first = 0
    for rows in chunked(values, chunk_rows, stream.tell):
        yield object_chunk(first, rows, stream.tell())
        first += len(rows)


def _values(line: str) -> list[Any]:
    """The objects of a line, the last one rejected if it cannot be parsed; or the single other value of the line."""
    if is_damaged(line):
        return [Rejected("the line is not UTF-8", {})]
    values: list[Any] = []
    rest = line.strip()
    while rest and (not values or rest.startswith("{")):
        try:
            value, end = DECODER.raw_decode(rest)
        except (ValueError, RecursionError):
            break
        values.append(value)
        rest = rest[end:].lstrip()
    if not rest:
        return values
    whole = values if rest.startswith("{") else []
    return [*whole, Rejected("the line is not valid JSON", {})]
