"""Turns plays into flat rows for tables: one column of a plain type for every field, nested fields included."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import polars as pl
from bson import ObjectId
from pydantic import BaseModel

from echostats_pipeline.model.glossary import meaning
from echostats_pipeline.model.plays import Play
from echostats_pipeline.transforms.statistics.plays import UTC_MS

DTYPES: Mapping[Any, pl.DataType] = {
    str: pl.String(),
    ObjectId: pl.String(),
    bool: pl.Boolean(),
    int: pl.Int64(),
    float: pl.Float64(),
    datetime: UTC_MS,
    list[str]: pl.List(pl.String()),
}


@dataclass(frozen=True)
class Column:
    """One column: the place of its value in a document, its type and its meaning.

    The name is the place joined by ``_``: `track.name` is ``track_name``.
    """

    place: tuple[str, ...]
    dtype: pl.DataType
    meaning: str

    @property
    def name(self) -> str:
        """The name of the column."""
        return "_".join(self.place)

    def values(self, documents: Sequence[Mapping[str, Any]]) -> pl.Series:
        """The values in some documents; null where a document has none, or one of another type."""
        *outer, last = self.place
        for name in outer:
            documents = [inner if isinstance(inner := each.get(name), dict) else {} for each in documents]
        found = [each.get(last) for each in documents]
        if self.dtype == UTC_MS:
            instants = [round(each.timestamp() * 1000) if isinstance(each, datetime) else None for each in found]
            return pl.Series(self.name, instants, dtype=pl.Int64).cast(UTC_MS)
        texts = [str(each) if isinstance(each, ObjectId) else each for each in found]
        return pl.Series(self.name, texts, dtype=self.dtype, strict=False)


def _columns(model: type[BaseModel], outer: tuple[str, ...] = ()) -> Iterator[Column]:
    for field, info in model.model_fields.items():
        place, kind = (*outer, info.alias or field), _kind(info.annotation)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _columns(kind, place)
        else:
            yield Column(place, DTYPES[kind], meaning(model, field))


def _kind(annotation: Any) -> Any:
    """The one type that an annotation allows besides None."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0])
    if origin in {Union, UnionType}:
        (kind,) = (each for each in inner if each is not NoneType)
        return _kind(kind)
    return str if origin is Literal else annotation


PLAY_COLUMNS = tuple(_columns(Play))
"""Every field of a play, in the order of the model."""


DERIVED_COLUMNS = (
    Column(("counts",), pl.Boolean(), "Whether it counts as a play: it lasted long enough, or its length is unknown."),
    Column(
        ("listened_ms",),
        pl.Int64(),
        "Listening time: ms_played, else the track's length, but never more than has passed since the previous play.",
    ),
    Column(("local_date",), pl.Date(), "The date of its end in the user's time zone: the day it belongs to."),
    Column(("artist_id",), pl.String(), "The Spotify id of the track's first artist, as far as the catalogue has it."),
    Column(("album_id",), pl.String(), "The Spotify id of its album, as far as the catalogue has it."),
)
"""Columns computed from plays, which are not stored. Statistics are sums of the first two."""


def flat_plays(documents: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Plays as stored, one row each, with the columns of `PLAY_COLUMNS`."""
    return pl.DataFrame([column.values(documents) for column in PLAY_COLUMNS])


def with_derived(
    plays: pl.DataFrame, ids: pl.DataFrame, *, previous: datetime | None, min_play_ms: int, timezone: str
) -> pl.DataFrame:
    """Add `DERIVED_COLUMNS` to flat plays.

    Args:
        plays: As `flat_plays` returns them, in the order they were played.
        ids: ``track_spotify_id``, ``artist_id`` and ``album_id`` of the known tracks, one row each.
        previous: When the play before the first one ended.
        min_play_ms: Plays known to be shorter do not count.
        timezone: Where the user's days begin.
    """
    first = pl.lit(None if previous is None else round(previous.timestamp() * 1000), pl.Int64).cast(UTC_MS)
    since = pl.col("played_at") - pl.col("played_at").shift().fill_null(first)
    known = pl.col("ms_played")
    length = pl.min_horizontal("track_duration_ms", since.dt.total_milliseconds())
    derived = plays.with_columns(
        counts=known.is_null() | (known >= min_play_ms),
        listened_ms=pl.coalesce(known, length).cast(pl.Int64),
        local_date=pl.col("played_at").dt.convert_time_zone(timezone).dt.date(),
    )
    return derived.join(ids, on="track_spotify_id", how="left", maintain_order="left")
