"""Rollups read back as frames, and kept as columns so that only days that have changed are read again.

A document of ``statistics_years`` holds the rollups of one user and calendar year in columns. Rules that keep it true
without a lock:

- Whoever writes rollups names their dates as stale before and after the writes, and is listed as a writer in between.
- Whoever reads takes stale dates from the rollups themselves. What was read so replaces what was kept only if nobody
  was writing, and only if no date has become stale meanwhile. A writer that was killed counts as gone after
  `OPEN_FOR`, like the marks of `storage.rebuilds`.
- The number of rollups must agree, so that rollups that others have removed or added are noticed too.

Dropping the collection costs reading all rollups once.
"""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import chain
from operator import itemgetter
from typing import Any

import polars as pl
from pymongo import UpdateOne

from echostats_pipeline.storage.columns import packed, unpacked
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.rebuilds import OPEN_FOR
from echostats_pipeline.transforms.frames import ROLLUP_SCHEMAS, RollupFrames
from echostats_pipeline.transforms.plays import UTC_MS

LAYOUT = 1
"""Of the columns kept; what was kept in another one is read anew. Change it with `frames.ROLLUP_SCHEMAS`."""
READERS = 2
MOST_BYTES = 15 * 2**20
"""A year that would not fit into a document is read from its rollups each time."""


def _columns(*arrays: str, **names: str) -> Document:
    """Arrays of documents as arrays of their values, one after the other, under other names."""
    return {
        name: {"$concatArrays": [{"$ifNull": [f"${array}.{field}", []]} for array in arrays]}
        for name, field in names.items()
    }


def _instants(array: str, **names: str) -> Document:
    """As `_columns` for instants, as whole milliseconds: cheaper to decode, and to put into a frame."""
    return {
        name: {"$map": {"input": {"$ifNull": [f"${array}", []]}, "in": {"$toLong": f"$$this.{field}"}}}
        for name, field in names.items()
    }


TAKEN_APART: dict[str, Document] = {
    "hours": _columns("hourly", hour="hour", plays="count", ms="ms"),
    "tracks": _columns(
        "track_plays",
        "uncounted_tracks",
        track_id="spotify_id",
        name="name",
        artist_name="artist_name",
        album_name="album_name",
        plays="count",
        ms="ms",
    ),
    "sessions": {
        **_instants("sessions", started_at="started_at", ended_at="ended_at"),
        **_columns("sessions", plays="plays", continues="continues"),
    },
    "repeats": {
        **_columns("repeats", track_id="spotify_id", plays="count"),
        **_instants("repeats", ended_at="ended_at"),
        **_columns("repeats", continues="continues"),
    },
}
"""By frame of `frames.ROLLUP_SCHEMAS`, how the server makes its columns: names of fields travel once a day."""
TOTALS = ("total_plays", "total_ms", "total_skips", "total_skips_known")
PROJECTION: Document = {
    "_id": 0,
    "date": 1,
    **{total: {"$ifNull": [f"${total}", 0]} for total in TOTALS},
    **{f"{frame}_{name}": value for frame, columns in TAKEN_APART.items() for name, value in columns.items()},
}


@dataclass(frozen=True)
class KeptYear:
    """What is kept of a year, as far as it is still true.

    Attributes:
        frames: Without the rows of stale dates.
        stale: Dates to be read again.
        revision: Changes with every change of what is stale; None if nothing is kept.
    """

    frames: RollupFrames
    stale: Sequence[str]
    revision: str | None


class RollupFrameStore:
    """Collections ``daily_rollups``, as far as it is read whole, and ``statistics_years``."""

    def __init__(self, db: Db) -> None:
        self._rollups = db["daily_rollups"]
        self._years = db["statistics_years"]

    @contextmanager
    def changing(self, user_id: str, dates: Iterable[str]) -> Iterator[None]:
        """Name dates as stale before and after the block that writes their rollups."""
        by_year: dict[int, list[str]] = {}
        for day in sorted(dates):
            by_year.setdefault(int(day[:4]), []).append(day)
        writer = secrets.token_hex(8)
        entered = {"$concatArrays": [{"$ifNull": ["$writers", []]}, [{"token": writer, "since": "$$NOW"}]]}
        self._mark(user_id, by_year, entered)
        try:
            yield
        finally:
            left = {"$filter": {"input": "$writers", "cond": {"$ne": ["$$this.token", writer]}}}
            self._mark(user_id, by_year, left)

    def _mark(self, user_id: str, by_year: dict[int, list[str]], writers: Document) -> None:
        revision = secrets.token_hex(8)
        self._years.bulk_write(
            [
                UpdateOne(
                    {"user_id": user_id, "year": year},
                    [
                        {
                            "$set": {
                                "stale": {"$setUnion": [{"$ifNull": ["$stale", []]}, dates]},
                                "writers": writers,
                                "revision": revision,
                            }
                        }
                    ],
                    upsert=True,
                )
                for year, dates in by_year.items()
            ],
            ordered=False,
        )

    def has_stale(self, user_id: str) -> bool:
        """Whether a date has become stale since it was last read."""
        return self._years.find_one({"user_id": user_id, "stale.0": {"$exists": True}}, {"_id": 1}) is not None

    def read(self, user_id: str) -> RollupFrames:
        """All rollups of one user."""
        kept = {found["year"]: found for found in self._years.find({"user_id": user_id})}
        counts = sorted(self._rollups_by_year(user_id).items())

        def year_of(each: tuple[int, int]) -> RollupFrames:
            year, rollups = each
            return self._year(user_id, year, rollups, kept.pop(year, None))

        with ThreadPoolExecutor(READERS) as readers:  # one year is taken apart here while the server reads another
            years = list(readers.map(year_of, counts))
        # What is left has no rollup any more.
        self._years.delete_many(
            {"_id": {"$in": [gone["_id"] for gone in kept.values() if not gone["writers"]]}, "writers": []}
        )
        return _in_order(years)

    def _rollups_by_year(self, user_id: str) -> dict[int, int]:
        """How many rollups each year has."""
        by_year = {"_id": {"$substrBytes": ["$date", 0, 4]}, "rollups": {"$sum": 1}}
        found = self._rollups.aggregate(
            [
                {"$match": {"user_id": user_id}},
                {"$group": by_year},
                {"$group": {"_id": None, "years": {"$push": "$$ROOT"}}},
            ],
            hint="user_id_1_date_1",
        )
        return {int(each["_id"]): each["rollups"] for every in found for each in every["years"]}

    def _year(self, user_id: str, year: int, rollups: int, found: Document | None) -> RollupFrames:
        """The rollups of a year: what is kept, with what is stale read anew."""
        kept = _kept(found)
        frames = kept.frames
        if kept.stale:
            frames = _in_order([frames, self._taken_apart(user_id, {"$in": list(kept.stale)})])
        if kept.revision is not None and frames.days.height == rollups:
            if kept.stale:
                self._keep(user_id, year, kept.revision, frames)
            return frames
        # A document to compare revisions with has to be there before the rollups are read.
        revision = self._revision(user_id, year)
        frames = self._taken_apart(user_id, {"$gte": f"{year}-01-01", "$lte": f"{year}-12-31"})
        self._keep(user_id, year, revision, frames)
        return frames

    def _revision(self, user_id: str, year: int) -> str:
        new = {"stale": [], "writers": [], "revision": secrets.token_hex(8)}
        self._years.update_one({"user_id": user_id, "year": year}, {"$setOnInsert": new}, upsert=True)
        return str(self._years.find_one({"user_id": user_id, "year": year}, {"revision": 1})["revision"])  # type: ignore[index]

    def _keep(self, user_id: str, year: int, revision: str, frames: RollupFrames) -> None:
        """Keep what was read, unless somebody writes, or has written since the revision."""
        columns = {name: packed(frame) for name, frame in frames}
        if sum(map(len, columns.values())) > MOST_BYTES:
            return
        gone = {"$subtract": ["$$NOW", int(OPEN_FOR.total_seconds() * 1000)]}
        nobody_writes = {"$allElementsTrue": {"$map": {"input": "$writers", "in": {"$lt": ["$$this.since", gone]}}}}
        self._years.update_one(
            {"user_id": user_id, "year": year, "revision": revision, "$expr": nobody_writes},
            {"$set": {"layout": LAYOUT, "columns": columns, "stale": [], "writers": []}},
        )

    def _taken_apart(self, user_id: str, dates: Document) -> RollupFrames:
        """The rollups of some dates of one year, from their documents."""
        match: Document = {"user_id": user_id, "date": dates}
        pipeline: list[Document] = [{"$match": match}, {"$sort": {"date": 1}}, {"$project": PROJECTION}]
        found = self._rollups.aggregate(pipeline).to_list()
        days = pl.Series("date", [date.fromisoformat(each["date"]) for each in found], dtype=pl.Date)

        def column(name: str, dtype: pl.DataType, cells: Iterable[Any]) -> pl.Series:
            return pl.Series(name, list(cells), dtype=pl.Int64() if dtype == UTC_MS else dtype)

        def frame(name: str, columns: Iterable[str]) -> pl.DataFrame:
            schema = ROLLUP_SCHEMAS[name]
            values = {each: list(map(itemgetter(f"{name}_{each}"), found)) for each in columns}
            lengths = pl.Series(map(len, next(iter(values.values()))), dtype=pl.Int64)
            dates = pl.select(days.repeat_by(lengths).explode(empty_as_null=False).alias("date"))
            rest = (column(each, schema[each], chain.from_iterable(values[each])) for each in values)
            return dates.with_columns(*rest).cast(schema)

        totals = (column(total, pl.Int64(), map(itemgetter(total), found)) for total in TOTALS)
        return RollupFrames(
            days=pl.DataFrame([days, *totals], schema=ROLLUP_SCHEMAS["days"]),
            **{name: frame(name, columns) for name, columns in TAKEN_APART.items()},
        )


def _kept(found: Document | None) -> KeptYear:
    if found is None or found.get("layout") != LAYOUT:
        return KeptYear(_in_order([]), (), None)
    stale = found["stale"]
    dates = [date.fromisoformat(day) for day in stale]
    frames = {name: unpacked(found["columns"][name]) for name in ROLLUP_SCHEMAS}
    if dates:
        frames = {name: frame.filter(~pl.col("date").is_in(dates)) for name, frame in frames.items()}
    return KeptYear(RollupFrames(**frames), stale, found["revision"])


def _in_order(parts: Sequence[RollupFrames]) -> RollupFrames:
    """Frames one after the other, in order of date, or of time where that is another one."""
    frames = {
        name: pl.concat([schema.to_frame(), *(getattr(part, name) for part in parts)], rechunk=False)
        for name, schema in ROLLUP_SCHEMAS.items()
    }
    in_time = {name: frames[name].sort("ended_at", maintain_order=True) for name in ("sessions", "repeats")}
    return RollupFrames(**{name: frame.sort("date", maintain_order=True) for name, frame in frames.items()} | in_time)
