"""Turns JSON objects into typed columns, and classified rows into the common form; shared by all readers."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from operator import itemgetter
from types import NoneType
from typing import Any

import polars as pl

from echostats_pipeline.importers.arrays import ObjectChunk
from echostats_pipeline.importers.occurrences import Occurrences
from echostats_pipeline.importers.rows import ExportChunk, RejectedRow
from echostats_pipeline.model.base import storable_text
from echostats_pipeline.transforms.history.identity import IdPrefix, stable_id

LONGEST_NAME = 2_000
"""Bytes. The longest titles have some hundreds, and a day's document holds artist and album of all its plays."""
LONGEST_SHOWN = 500
"""Characters kept of each text in a rejected row."""
NO_NAMES = ("", "Unknown", "Unknown Track", "Unknown Artist", "Unknown Album")
"""Placeholders for a name that Spotify no longer knows."""
EARLIEST = datetime(2006, 1, 1, tzinfo=UTC)
"""Start of the year in which Spotify was founded; no play is older."""
AHEAD = timedelta(days=1)
"""How far a clock may be wrong before an instant counts as in the future."""
LONGEST_MS = 24 * 60 * 60 * 1000
"""No track is played for more than a day without a break."""
PYTHON_TYPES: Mapping[pl.DataType, type] = {pl.String(): str, pl.Int64(): int, pl.Boolean(): bool}


@dataclass(frozen=True)
class ClassifiedRow:
    """Rows sorted by what they are.

    Attributes:
        plays: `EXPORT_SCHEMA`; ``import_key`` still lacks the occurrence number (`Occurrences.numbered`).
        rejected: ``row_number`` and ``reason``.
        not_music: The number of rows of podcasts and audiobooks.
    """

    plays: pl.DataFrame
    rejected: pl.DataFrame
    not_music: int


def sorted_out(rows: pl.DataFrame, plays: Callable[[pl.DataFrame], pl.DataFrame], not_music: int) -> ClassifiedRow:
    """Split rows of music: those with a ``reason`` are rejected, the others become plays by `plays`."""
    return ClassifiedRow(
        plays=plays(rows.filter(pl.col("reason").is_null())),
        rejected=rows.filter(pl.col("reason").is_not_null()).select("row_number", "reason"),
        not_music=not_music,
    )


def typed_frame(chunk: ObjectChunk, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The objects as ``row_number`` and one column per key of `schema`; a value of another type becomes null."""
    values = _columns(chunk.objects, tuple(schema))
    columns = [pl.Series("row_number", chunk.numbers, dtype=pl.UInt32)]
    columns += [_series(key, column, schema[key]) for key, column in values.items()]
    return pl.DataFrame(columns)


def _columns(objects: list[dict[str, Any]], keys: tuple[str, ...]) -> dict[str, Sequence[Any]]:
    try:
        # By far the fastest way, but it needs every key in every object, and at least one object.
        return dict(zip(keys, zip(*map(itemgetter(*keys), objects), strict=True), strict=True))
    except (KeyError, ValueError):
        return {key: [row.get(key) for row in objects] for key in keys}


def _series(key: str, values: Sequence[Any], dtype: pl.DataType) -> pl.Series:
    expected = PYTHON_TYPES[dtype]
    if set(map(type, values)) <= {expected, NoneType}:
        try:
            return pl.Series(key, values, dtype=dtype)
        except (TypeError, OverflowError, UnicodeEncodeError):
            pass  # a number beyond 64 bits, a lone surrogate
    return pl.Series(key, [_fitting(value, expected) for value in values], dtype=dtype)


def _fitting(value: Any, expected: type) -> Any:
    if expected is int and type(value) is float and value.is_integer():
        value = int(value)
    return storable(value) if type(value) is expected else None


def storable_columns(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame without NUL characters in its texts, which MongoDB does not allow in keys."""
    return frame.with_columns(pl.col(pl.String).str.replace_all("\0", "", literal=True))


def storable(value: Any) -> Any:
    """A JSON value as polars and MongoDB can hold it: None for numbers beyond 64 bits, type names for containers."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else None
    if isinstance(value, float):
        return value if isfinite(value) else None
    return None if value is None else type(value).__name__


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a rejected row that is kept: values as MongoDB can hold them, and the beginnings of long texts."""
    kept = {key: storable(value) for key, value in row.items()}
    return {key: value[:LONGEST_SHOWN] if isinstance(value, str) else value for key, value in kept.items()}


def export_chunk(
    chunk: ObjectChunk, found: ClassifiedRow, occurrences: Occurrences, kept_keys: Iterable[str]
) -> ExportChunk:
    """The chunk in its common form; a rejected row shows only `kept_keys`."""
    rejects = list(chunk.rejects)
    if not found.rejected.is_empty():
        by_number = dict(zip(chunk.numbers, chunk.objects, strict=True))
        rejects += [
            RejectedRow(number, reason, shown({key: by_number[number].get(key) for key in kept_keys}))
            for number, reason in found.rejected.iter_rows()
        ]
    return ExportChunk(
        rows=chunk.rows,
        plays=occurrences.numbered(found.plays),
        not_music=found.not_music,
        rejects=sorted(rejects, key=lambda reject: reject.row_number),
        bytes_read=chunk.bytes_read,
    )


def impossible(now: datetime) -> list[pl.Expr]:
    """Reasons why ``import_ts`` (not null) or ``ms_played`` cannot be those of a play; each is null if all is well."""
    ts, ms = pl.col("import_ts"), pl.col("ms_played")
    return [
        fault(ts > now + AHEAD, "the play lies in the future"),
        fault(ts < EARLIEST, f"the play is older than Spotify (before {EARLIEST:%Y-%m-%d})"),
        fault(ms < 0, "the play has a negative length"),
        fault(ms > LONGEST_MS, "the play lasted longer than a day"),
        fault(
            pl.any_horizontal(pl.col("^(artist|track|album)_name$").str.len_bytes() > LONGEST_NAME),
            f"a name has more than {LONGEST_NAME} bytes",
        ),
    ]


def fault(condition: pl.Expr, reason: str) -> pl.Expr:
    """The reason if the condition holds, else null."""
    return pl.when(condition).then(pl.lit(reason))


def known_name(column: str) -> pl.Expr:
    """The name; null if the text is a placeholder for no name."""
    text = pl.col(column)
    return pl.when(~text.is_in(NO_NAMES)).then(text)


def stable_ids(prefix: IdPrefix, names: pl.DataFrame) -> pl.Series:
    """The `stable_id` of every row, computed once per pair.

    Args:
        prefix: The kind of id.
        names: Two columns: artist, title.
    """
    made: dict[tuple[str, str], str] = {}
    for pair in names.unique().iter_rows():
        made[pair] = stable_id(prefix, *pair)
    return pl.Series([made[pair] for pair in names.iter_rows()], dtype=pl.String)
