"""Rows in the format of PostgreSQL's binary ``COPY``, made from columns instead of row by row.

A row is the number of its fields (16 bits), then each field as its length in bytes (32 bits, -1 for null) and its
bytes, all big-endian. Numpy lays out the rows of a frame: first where each field begins, then a column at a time.
"""

from collections.abc import Mapping
from uuid import UUID

import numpy as np
import polars as pl

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""Signature, flags, and the length of an extension that there is not."""
TRAILER = b"\xff\xff"
POSTGRES_EPOCH_DAYS = 10_957
"""Days from 1970-01-01 to 2000-01-01, from which PostgreSQL counts."""
LENGTH_BYTES, COUNT_BYTES, WORD_BYTES = 4, 2, 8
WIDTHS = {"bool": 1, "int2": 2, "int4": 4, "date": 4, "float8": 8, "timestamptz": 8}
"""Bytes of a value by type."""

Words = np.ndarray[tuple[int], np.dtype[np.uint64]]
Lengths = np.ndarray[tuple[int], np.dtype[np.int64]]


def binary_rows(frame: pl.DataFrame, user: UUID, types: Mapping[str, str]) -> memoryview:
    """The rows of a frame, each with the user's id first, without header and trailer.

    Args:
        frame: Columns in order.
        user: The value of the first field.
        types: PostgreSQL's type of each column: ``text`` or one of `WIDTHS`.
    """
    owner = (16).to_bytes(LENGTH_BYTES, "big") + user.bytes
    head = (frame.width + 1).to_bytes(COUNT_BYTES, "big") + owner
    lengths = [_lengths(column, types[column.name]) for column in frame]
    row_sizes = len(head) + frame.width * LENGTH_BYTES + np.sum(lengths, axis=0, dtype=np.int64, initial=0)
    row_sizes = np.broadcast_to(row_sizes, (frame.height,))
    starts = np.cumsum(row_sizes) - row_sizes
    size = int(row_sizes.sum())
    out = np.zeros(size + WORD_BYTES, np.uint8)
    # A word of eight bytes at each place. What it writes beyond its field is overwritten by the field after it, and at
    # the end of a row by the head of the next one: columns are written from the left, heads last.
    words = np.ndarray((size + 1,), ">u8", out, strides=(1,))
    at = starts + len(head)
    for column, each in zip(frame, lengths, strict=True):
        _put(out, words, at, column, types[column.name], each)
        at = at + LENGTH_BYTES + each
    for offset in (*range(0, len(head) - WORD_BYTES, WORD_BYTES), len(head) - WORD_BYTES):
        words[starts + offset] = int.from_bytes(head[offset : offset + WORD_BYTES], "big")
    return out[:size].data


def _lengths(column: pl.Series, kind: str) -> Lengths:
    """The length of each value in bytes; 0 for null."""
    if kind == "text":
        return column.str.len_bytes().fill_null(0).cast(pl.Int64).to_numpy()
    return column.is_not_null().cast(pl.Int64).to_numpy() * WIDTHS[kind]


def _put(
    out: "np.ndarray[tuple[int], np.dtype[np.uint8]]",
    words: Words,
    at: Lengths,
    column: pl.Series,
    kind: str,
    lengths: Lengths,
) -> None:
    """Write the fields of a column: the lengths, and the values after them."""
    told = np.where(column.is_null().to_numpy(), -1, lengths).astype(np.uint64) << np.uint64(32)
    if kind == "text":
        words[at] = told
        content = np.frombuffer(column.fill_null("").str.join("").cast(pl.Binary).item(), np.uint8)
        first = at + LENGTH_BYTES - (np.cumsum(lengths) - lengths)
        out[np.repeat(first, lengths) + np.arange(content.size)] = content
    elif WIDTHS[kind] == WORD_BYTES:
        words[at] = told
        words[at + LENGTH_BYTES] = _values(column, kind)
    else:  # length and value are one word
        bits = np.uint64(8 * WIDTHS[kind])
        low = _values(column, kind) & ((np.uint64(1) << bits) - np.uint64(1))
        words[at] = told | (low << (np.uint64(32) - bits))


def _values(column: pl.Series, kind: str) -> Words:
    """Values as whole numbers, or the bits of floating ones; 0 for null."""
    if kind == "float8":
        return column.fill_null(0.0).to_numpy().astype(np.float64).view(np.uint64)
    if kind == "timestamptz":
        column = column.dt.timestamp("us") - POSTGRES_EPOCH_DAYS * 86_400_000_000
    elif kind == "date":
        column = column.cast(pl.Int32) - POSTGRES_EPOCH_DAYS
    return column.cast(pl.Int64).fill_null(0).to_numpy().view(np.uint64)
