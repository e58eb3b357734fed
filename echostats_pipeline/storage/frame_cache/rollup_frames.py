"""Reads rollups as frames, cached as columns so that only changed days are read again.

A document of ``statistics_years`` holds the rollups of one user and calendar year in columns. It is valid only as far
as `rollup_changes` confirms it. The number of rollups must also match, so that rollups removed or added by other
programs are noticed. If the collection is dropped, all rollups are read once more.
"""

import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from itertools import chain, islice
from operator import itemgetter
from typing import NamedTuple

import polars as pl

from echostats_pipeline.model.collections import index_on
from echostats_pipeline.model.statistics import RollupChanges
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.frame_cache.columns import packed, unpacked
from echostats_pipeline.storage.frame_cache.decoding import bulk_decoding
from echostats_pipeline.storage.frame_cache.rollup_changes import RollupChangeStore
from echostats_pipeline.storage.indexes import index_hint
from echostats_pipeline.transforms.statistics.frames import (
    DAYS_SCHEMA,
    DOCUMENT_SCHEMAS,
    ROLLUP_SCHEMAS,
    RollupFrames,
)
from echostats_pipeline.transforms.statistics.plays import UTC_MS

BY_DATE = index_on("daily_rollups", "user_id", "date")
LAYOUT = 5
"""Version of the cached columns; those of another version are read again. Change it with `frames.ROLLUP_SCHEMAS`."""
READERS = 2
DAYS_AT_ONCE = 183
"""Rollups held as Python objects at a time: a year of many plays takes ten times the memory of its columns."""
MOST_BYTES = 15 * 2**20
"""The most bytes of a cached year; a larger one would not fit into a document and is read from rollups each time."""


class Array(NamedTuple):
    """An array in rollups: the frame that gets its elements as rows, and its fields by the frame's columns."""

    frame: str
    fields: Mapping[str, str]


TRACK_FIELDS = {"track_id": "spotify_id", "plays": "count", "ms": "ms"}
ARRAYS = {
    "hourly": Array("hours", {"hour": "hour", "plays": "count", "ms": "ms"}),
    "track_plays": Array("tracks", TRACK_FIELDS),
    "uncounted_tracks": Array("tracks", TRACK_FIELDS),
    "named_tracks": Array(
        "named", {**TRACK_FIELDS, "name": "name", "artist_name": "artist_name", "album_name": "album_name"}
    ),
    "sessions": Array("sessions", {"started_at": "started_at", "ended_at": "ended_at", "continues": "continues"}),
    "repeats": Array(
        "repeats", {"track_id": "spotify_id", "plays": "count", "ended_at": "ended_at", "continues": "continues"}
    ),
}
INSTANTS = ("started_at", "ended_at")
TOTALS = ("total_plays", "total_ms", "total_skips", "total_skips_known")


def _values(array: str, field: str) -> Document:
    """The values of one field of an array; instants as whole milliseconds, which are cheaper to decode."""
    if field not in INSTANTS:
        return {"$ifNull": [f"${array}.{field}", []]}
    return {"$map": {"input": {"$ifNull": [f"${array}", []]}, "in": {"$toLong": f"$$this.{field}"}}}


PROJECTION: Document = {
    "_id": 0,
    "date": 1,
    **{total: {"$ifNull": [f"${total}", 0]} for total in TOTALS},
    **{f"{array}_{field}": _values(array, field) for array, (_, fields) in ARRAYS.items() for field in fields.values()},
}
"""The server builds columns, so that field names are transferred once a day."""


class RollupFrameStore:
    """Collections ``statistics_years`` and, where it is read completely, ``daily_rollups``."""

    def __init__(self, db: Db, changes: RollupChangeStore) -> None:
        self._rollups = db["daily_rollups"]
        self._years = db["statistics_years"]
        self._changes = changes

    def read(self, user_id: str) -> RollupFrames:
        """All rollups of one user."""
        rollups = self._rollups_by_year(user_id)
        changes = self._changes.of(user_id, rollups)
        with ThreadPoolExecutor(READERS) as readers:  # one year is converted here while the server reads another
            years = list(readers.map(lambda year: self._year(changes[year], rollups[year]), sorted(rollups)))
        if gone := changes.keys() - rollups.keys():
            for year in gone:
                self._changes.forget(changes[year])
            self._years.delete_many({"user_id": user_id, "year": {"$in": list(gone)}})
        return RollupFrames.joined(years)

    def _rollups_by_year(self, user_id: str) -> dict[int, int]:
        """The number of rollups of each year."""
        by_year = {"_id": {"$substrBytes": ["$date", 0, 4]}, "rollups": {"$sum": 1}}
        found = self._rollups.aggregate(
            [
                {"$match": {"user_id": user_id}},
                {"$group": by_year},
                {"$group": {"_id": None, "years": {"$push": "$$ROOT"}}},
            ],
            **index_hint(self._rollups, BY_DATE),
        )
        return {int(each["_id"]): each["rollups"] for every in found for each in every["years"]}

    def _year(self, changes: RollupChanges, rollups: int) -> RollupFrames:
        """The rollups of a year: cached ones, and stale ones read again."""
        frames = self._kept(changes)
        if frames is not None and changes.stale:
            changed = self._taken_apart(changes.user_id, {"$in": changes.stale})
            frames = RollupFrames.joined([frames, changed]).compact()
        if frames is None or frames.days.height != rollups:
            dates = {"$gte": f"{changes.year}-01-01", "$lte": f"{changes.year}-12-31"}
            frames = self._taken_apart(changes.user_id, dates)
        elif not changes.stale:
            return frames
        self._keep(changes, frames)
        return frames

    def _kept(self, changes: RollupChanges) -> RollupFrames | None:
        """The cached rollups of a year without stale dates; None if no valid ones are cached."""
        query = {"user_id": changes.user_id, "year": changes.year, "layout": LAYOUT, "token": changes.kept}
        found = self._years.find_one(query) if changes.kept else None
        if found is None:
            return None
        columns = found["columns"]
        dated = {name: unpacked(columns[name]) for name in ROLLUP_SCHEMAS}
        frames = RollupFrames(**dated, track_ids=unpacked(columns["track_ids"]))
        stale = [date.fromisoformat(day) for day in changes.stale]
        return frames.of_dates(~pl.col("date").is_in(stale)) if stale else frames

    def _keep(self, changes: RollupChanges, frames: RollupFrames) -> None:
        """Cache what was read, unless another process is writing, or has written since."""
        columns = {name: packed(frame) for name, frame in {**frames.dated(), "track_ids": frames.track_ids}.items()}
        if sum(map(len, columns.values())) > MOST_BYTES or not self._changes.may_keep(changes):
            return
        place = {"user_id": changes.user_id, "year": changes.year}
        token = secrets.token_hex(8)
        self._years.replace_one(place, {**place, "layout": LAYOUT, "token": token, "columns": columns}, upsert=True)
        self._changes.keep(changes, token)

    def _taken_apart(self, user_id: str, dates: Document) -> RollupFrames:
        """The rollups of some dates, from their documents."""
        # EchoStats' own rollups lack fields; they are ignored until they are replaced.
        match: Document = {"user_id": user_id, "date": dates, "total_rows": {"$exists": True}}
        pipeline: list[Document] = [{"$match": match}, {"$sort": {"date": 1}}, {"$project": PROJECTION}]
        parts = [_columns([])]
        with bulk_decoding(), self._rollups.aggregate(pipeline, batchSize=DAYS_AT_ONCE) as found:
            while some := list(islice(found, DAYS_AT_ONCE)):
                parts.append(_columns(some))
        columns = {name: pl.concat([part[name] for part in parts]) for name in parts[0]}
        frames: dict[str, list[pl.DataFrame]] = defaultdict(list)
        for name, frame in _frames(columns):
            frames[name].append(frame)
        return RollupFrames.of_documents({name: pl.concat(each) for name, each in frames.items()})


def _columns(found: list[Document]) -> dict[str, pl.Series]:
    """Rollups in the form of `PROJECTION` as columns: for arrays their lengths, and all values in one column."""
    columns = [
        pl.Series("date", [date.fromisoformat(each["date"]) for each in found], dtype=pl.Date),
        *(pl.Series(total, list(map(itemgetter(total), found)), dtype=pl.Int64) for total in TOTALS),
    ]
    for array, (frame, fields) in ARRAYS.items():
        lengths = map(len, map(itemgetter(f"{array}_{next(iter(fields.values()))}"), found))
        columns.append(pl.Series(array, list(lengths), dtype=pl.Int64))
        for column, field in fields.items():
            dtype = DOCUMENT_SCHEMAS[frame][column]
            values = chain.from_iterable(map(itemgetter(f"{array}_{field}"), found))
            column_type = pl.Int64() if dtype == UTC_MS else dtype
            columns.append(pl.Series(f"{array}_{field}", list(values), dtype=column_type))
    return {column.name: column for column in columns}


def _frames(columns: Mapping[str, pl.Series]) -> Iterator[tuple[str, pl.DataFrame]]:
    """The frames of `DOCUMENT_SCHEMAS` from columns of rollups; ``tracks`` comes in two parts."""
    yield "days", pl.DataFrame([columns[name] for name in ("date", *TOTALS)], schema=DAYS_SCHEMA)
    for array, (frame, fields) in ARRAYS.items():
        dates = pl.lit(columns["date"]).repeat_by(pl.lit(columns[array])).explode(empty_as_null=False).alias("date")
        values = (pl.lit(columns[f"{array}_{field}"]).alias(column) for column, field in fields.items())
        yield frame, pl.select(dates, *values).cast(DOCUMENT_SCHEMAS[frame])
