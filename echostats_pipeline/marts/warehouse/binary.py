"""Rows in the format of PostgreSQL's binary ``COPY``, made from columns instead of row by row.

A row is the number of its fields (16 bits), then each field as its length in bytes (32 bits, -1 for null) and its
bytes, all big-endian. Numpy lays out the rows of a frame: first where each field begins, then the bytes of each column.
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
LENGTH_BYTES, COUNT_BYTES = 4, 2
FIXED = {"bool": "u1", "int2": ">i2", "int4": ">i4", "float8": ">f8", "date": ">i4", "timestamptz": ">i8"}

Bytes = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def binary_rows(frame: pl.DataFrame, user: UUID, types: Mapping[str, str]) -> bytes:
    """The rows of a frame, each with the user's id first, without header and trailer.

    Args:
        frame: Columns in order.
        user: The value of the first field.
        types: PostgreSQL's type of each column: ``text`` or one of `FIXED`.
    """
    count = frame.height
    owner = np.frombuffer((16).to_bytes(LENGTH_BYTES, "big") + user.bytes, np.uint8)
    fields = [_field(frame[name], types[name]) for name in frame.columns]
    sizes = [LENGTH_BYTES + lengths for lengths, _ in fields]
    row_sizes = COUNT_BYTES + owner.size + np.sum(sizes, axis=0, dtype=np.int64, initial=0)
    row_sizes = np.broadcast_to(row_sizes, (count,))
    starts = np.cumsum(row_sizes) - row_sizes
    out = np.zeros(int(row_sizes.sum()), np.uint8)
    _put(out, starts, np.frombuffer((len(fields) + 1).to_bytes(COUNT_BYTES, "big"), np.uint8))
    _put(out, starts + COUNT_BYTES, owner)
    at = starts + COUNT_BYTES + owner.size
    for (lengths, content), size, name in zip(fields, sizes, frame.columns, strict=True):
        nulls = frame[name].is_null().to_numpy()
        told = np.where(nulls, -1, lengths).astype(">i4").view(np.uint8).reshape(count, LENGTH_BYTES)
        _put(out, at, told)
        if types[name] == "text":
            within = np.arange(content.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            out[np.repeat(at + LENGTH_BYTES, lengths) + within] = content
        else:
            _put(out, (at + LENGTH_BYTES)[~nulls], content[~nulls])
        at = at + size
    return out.tobytes()


def _field(column: pl.Series, kind: str) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Bytes]:
    """The length of each value in bytes (0 for null), and the bytes: one row each, or those of all texts in one."""
    if kind == "text":
        known = column.fill_null("")
        lengths = known.str.len_bytes().cast(pl.Int64).to_numpy()
        return lengths, np.frombuffer(known.str.join("").item().encode(), np.uint8)
    if kind == "timestamptz":
        column = column.dt.timestamp("us") - POSTGRES_EPOCH_DAYS * 86_400_000_000
    elif kind == "date":
        column = column.cast(pl.Int32) - POSTGRES_EPOCH_DAYS
    elif kind == "bool":
        column = column.cast(pl.UInt8)
    values = column.fill_null(0).to_numpy().astype(FIXED[kind])
    content = np.ascontiguousarray(values).view(np.uint8).reshape(column.len(), values.dtype.itemsize)
    return np.where(column.is_null().to_numpy(), 0, values.dtype.itemsize).astype(np.int64), content


def _put(out: Bytes, at: np.ndarray[tuple[int], np.dtype[np.int64]], content: Bytes) -> None:
    """Write the same bytes, or one row of bytes, at each of some places."""
    width = content.shape[-1]
    for offset in range(width):
        out[at + offset] = content[..., offset]
