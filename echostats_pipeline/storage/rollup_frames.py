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
from typing import Any

import polars as pl
from pymongo import UpdateOne

from echostats_pipeline.storage.columns import packed, unpacked
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.rebuilds import OPEN_FOR
from echostats_pipeline.transforms.frames import ROLLUP_SCHEMAS, RollupFrames

LAYOUT = 1
"""Of the columns kept; what was kept in another one is read anew. Change it with `frames.ROLLUP_SCHEMAS`."""
READERS = 2
MOST_BYTES = 15 * 2**20
"""A year that would not fit into a document is read from its rollups each time."""


def _columns(array: str, *names: str) -> Document:
    return {f"{array}_{name}": f"${array}.{name}" for name in names}


def _instants(array: str, *names: str) -> Document:
    """Instants as whole milliseconds: cheaper to decode, and to put into a frame."""
    return {f"{array}_{name}": {"$map": {"input": f"${array}", "in": {"$toLong": f"$$this.{name}"}}} for name in names}


TRACK_FIELDS = ("spotify_id", "name", "artist_name", "album_name", "count", "ms")
TAKEN_APART: Document = {
    "_id": 0,
    "date": 1,
    "total_plays": 1,
    "total_ms": 1,
    "total_skips": 1,
    "total_skips_known": 1,
    **_columns("hourly", "hour", "count", "ms"),
    **_columns("track_plays", *TRACK_FIELDS),
    **_columns("uncounted_tracks", *TRACK_FIELDS),
    **_columns("sessions", "plays", "continues"),
    **_instants("sessions", "started_at", "ended_at"),
    **_columns("repeats", "spotify_id", "count", "continues"),
    **_instants("repeats", "ended_at"),
}
"""Arrays of documents turned into arrays of values by the server: each name of a field travels once a day."""


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
        year = {"$substrBytes": ["$date", 0, 4]}
        found = self._rollups.aggregate(
            [{"$match": {"user_id": user_id}}, {"$group": {"_id": year, "rollups": {"$sum": 1}}}],
            hint="user_id_1_date_1",
        )
        return {int(each["_id"]): each["rollups"] for each in found}

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
        match = {"user_id": user_id, "date": dates}
        found = list(self._rollups.aggregate([{"$match": match}, {"$sort": {"date": 1}}, {"$project": TAKEN_APART}]))
        days = pl.Series("date", [date.fromisoformat(each["date"]) for each in found], dtype=pl.Date)

        def values(*fields: str) -> list[Any]:
            return list(chain.from_iterable(each.get(field, ()) for each in found for field in fields))

        def frame(name: str, length: Sequence[str], *columns: list[Any]) -> pl.DataFrame:
            lengths = pl.Series([sum(len(each.get(field, ())) for field in length) for each in found], dtype=pl.Int64)
            schema = ROLLUP_SCHEMAS[name]
            dates = pl.select(days.repeat_by(lengths).explode(empty_as_null=False).alias("date"))
            named = zip(schema.names()[1:], columns, strict=True)
            integers = {column: pl.Int64 if dtype.is_temporal() else dtype for column, dtype in schema.items()}
            rest = {column: pl.Series(column, cells, dtype=integers[column]) for column, cells in named}
            return dates.with_columns(**rest).cast(schema)

        tracks = ("track_plays", "uncounted_tracks")
        totals = ("total_plays", "total_ms", "total_skips", "total_skips_known")
        return RollupFrames(
            days=pl.DataFrame(
                [days, *(pl.Series([each.get(total, 0) for each in found], dtype=pl.Int64) for total in totals)],
                schema=ROLLUP_SCHEMAS["days"],
            ),
            hours=frame("hours", ["hourly_hour"], *(values(f"hourly_{name}") for name in ("hour", "count", "ms"))),
            tracks=frame(
                "tracks",
                [f"{array}_spotify_id" for array in tracks],
                *(values(*(f"{array}_{name}" for array in tracks)) for name in TRACK_FIELDS),
            ),
            sessions=frame(
                "sessions",
                ["sessions_plays"],
                *(values(f"sessions_{name}") for name in ("started_at", "ended_at", "plays", "continues")),
            ),
            repeats=frame(
                "repeats",
                ["repeats_count"],
                *(values(f"repeats_{name}") for name in ("spotify_id", "count", "ended_at", "continues")),
            ),
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
