"""Stores frames as bytes in documents: Arrow's IPC format, compressed."""

from io import BytesIO

import polars as pl
from bson import Binary


def packed(frame: pl.DataFrame) -> Binary:
    """The frame as a value of a document."""
    buffer = BytesIO()
    frame.write_ipc(buffer, compression="lz4")
    return Binary(buffer.getvalue())


def unpacked(value: bytes) -> pl.DataFrame:
    """The frame that was `packed`."""
    return pl.read_ipc(value)


def scanned(value: bytes) -> pl.LazyFrame:
    """The frame that was `packed`, lazily: only the columns in use are decompressed."""
    return pl.scan_ipc(value)
