"""Reads rollups as frames, cached as columns so that only changed days are read again.

A document of ``statistics_years`` holds the rollups of one user and calendar year in columns. It is correct except for
the dates with marks (`storage.change_marks`) that the columns have not read. The number of rollups must also match, so
that rollups removed or added by other programs are noticed. If the collection is dropped, all rollups are read again.

A mark counts as read only if its change is in the columns for good, whatever other readers do. So a reader replaces
only the document that it began with. The first columns of a year count only if nothing was marked since their reader
began: another reader may have read such a mark, and the columns of that reader may have been dropped.
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
from pymongo.errors import DuplicateKeyError

from echostats_pipeline.model.collections import index_on
from echostats_pipeline.storage.change_marks import ChangeMarks, UnreadChanges
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.frame_cache.columns import packed, unpacked
from echostats_pipeline.storage.garbage_collection import paused_collection
from echostats_pipeline.storage.indexes import index_hint
from echostats_pipeline.transforms.statistics.frames import (
    DAYS_SCHEMA,
    DOCUMENT_SCHEMAS,
    ROLLUP_SCHEMAS,
    RollupFrames,
)
from echostats_pipeline.transforms.statistics.plays import UTC_MS

BY_DATE = index_on("daily_rollups", "user_id", "date")
LAYOUT = 8
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
    "contexts": Array("contexts", {"uri": "uri", "plays": "count", "ms": "ms"}),
    "excluded_by": Array("exclusions", {"rule_id": "rule_id", "plays": "plays"}),
}
INSTANTS = ("started_at", "ended_at")
TOTALS = ("total_plays", "total_ms", "total_skips", "total_skips_known", "excluded_plays")


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
    "whole": {"$isArray": "$contexts"},
    "session_tracks": {"$map": {"input": {"$ifNull": ["$sessions", []]}, "in": {"$ifNull": ["$$this.tracks", []]}}},
}
"""The server builds columns, so that field names are transferred once a day."""


class RollupFrameStore:
    """Collections ``statistics_years`` and, where it is read completely, ``daily_rollups``."""

    def __init__(self, db: Db, marks: ChangeMarks) -> None:
        self._rollups = db["daily_rollups"]
        self._years = db["statistics_years"]
        self._marks = marks

    def read(self, user_id: str) -> RollupFrames:
        """All rollups of one user."""
        rollups = self._rollups_by_year(user_id)
        changes = self._marks.unread(user_id, "statistics_years")
        with ThreadPoolExecutor(READERS) as readers:  # one year is converted here while the server reads another
            years = list(readers.map(lambda year: self._year(year, changes, rollups[year]), sorted(rollups)))
        self._years.delete_many({"user_id": user_id, "year": {"$nin": list(rollups)}})
        behind = {year for year, (_, settled) in zip(sorted(rollups), years, strict=True) if not settled}
        dates = (day for day in changes.marks.keys() - changes.open if int(day[:4]) not in behind)
        self._marks.take_for_read(changes, dates)
        return RollupFrames.joined([frames for frames, _ in years])

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

    def _year(self, year: int, changes: UnreadChanges, rollups: int) -> tuple[RollupFrames, bool]:
        """The rollups of a year, cached ones and stale ones read again; and whether its marks are settled."""
        place = {"user_id": changes.user_id, "year": year}
        stale = sorted(day for day in changes.marks if int(day[:4]) == year)
        found = self._years.find_one(place)
        frames = self._kept(found, stale)
        if frames is not None and stale:
            changed = self._taken_apart(changes.user_id, {"$in": stale})
            frames = RollupFrames.joined([frames, changed]).compact()
        if frames is None or frames.days.height != rollups:
            frames = self._taken_apart(changes.user_id, {"$gte": f"{year}-01-01", "$lte": f"{year}-12-31"})
        elif not stale:
            return frames, True
        if not changes.open.isdisjoint(stale):  # it may be read before it is written
            return frames, False
        return frames, self._keep(place, changes, found, frames)

    def _kept(self, found: Document | None, stale: list[str]) -> RollupFrames | None:
        """The cached rollups of a year without stale dates; None if no valid ones are cached."""
        if found is None or found["layout"] != LAYOUT or not found["vouched"]:
            return None
        columns = found["columns"]
        dated = {name: unpacked(columns[name]) for name in ROLLUP_SCHEMAS}
        frames = RollupFrames(**dated, track_ids=unpacked(columns["track_ids"]))
        gone = [date.fromisoformat(day) for day in stale]
        return frames.of_dates(~pl.col("date").is_in(gone)) if gone else frames

    def _keep(self, place: Document, changes: UnreadChanges, found: Document | None, frames: RollupFrames) -> bool:
        """Cache what was read instead of `found`; False if another reader was faster."""
        columns = {name: packed(frame) for name, frame in {**frames.dated(), "track_ids": frames.track_ids}.items()}
        if sum(map(len, columns.values())) > MOST_BYTES:
            self._years.delete_many(place)
            return True
        token = secrets.token_hex(8)
        document = {**place, "layout": LAYOUT, "token": token, "vouched": found is not None, "columns": columns}
        if found is not None:
            return self._years.replace_one({**place, "token": found.get("token")}, document).matched_count == 1
        try:
            self._years.insert_one(document)
        except DuplicateKeyError:
            return False
        if self._marks.has_moved(changes):
            return False
        vouched = self._years.update_one({**place, "token": token}, {"$set": {"vouched": True}})
        return vouched.matched_count == 1

    def _taken_apart(self, user_id: str, dates: Document) -> RollupFrames:
        """The rollups of some dates, from their documents."""
        # EchoStats' own rollups lack fields; they are ignored until they are replaced.
        match: Document = {"user_id": user_id, "date": dates, "total_rows": {"$exists": True}}
        pipeline: list[Document] = [{"$match": match}, {"$sort": {"date": 1}}, {"$project": PROJECTION}]
        parts = [_columns([])]
        with paused_collection(), self._rollups.aggregate(pipeline, batchSize=DAYS_AT_ONCE) as found:
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
        pl.Series("whole", list(map(itemgetter("whole"), found)), dtype=pl.Boolean),
    ]
    for array, (frame, fields) in ARRAYS.items():
        lengths = map(len, map(itemgetter(f"{array}_{next(iter(fields.values()))}"), found))
        columns.append(pl.Series(array, list(lengths), dtype=pl.Int64))
        for column, field in fields.items():
            dtype = DOCUMENT_SCHEMAS[frame][column]
            values = chain.from_iterable(map(itemgetter(f"{array}_{field}"), found))
            column_type = pl.Int64() if dtype == UTC_MS else dtype
            columns.append(pl.Series(f"{array}_{field}", list(values), dtype=column_type))
    in_sessions = list(chain.from_iterable(map(itemgetter("session_tracks"), found)))
    columns += [
        pl.Series("tracks_of_sessions", list(map(len, in_sessions)), dtype=pl.Int64),
        pl.Series("places", list(chain.from_iterable(in_sessions)), dtype=pl.Int64),
    ]
    return {column.name: column for column in columns}


def _frames(columns: Mapping[str, pl.Series]) -> Iterator[tuple[str, pl.DataFrame]]:
    """The frames of `DOCUMENT_SCHEMAS` from columns of rollups; ``tracks`` comes in two parts."""
    yield "days", pl.DataFrame([columns[name] for name in ("date", *TOTALS, "whole")], schema=DAYS_SCHEMA)
    for array, (frame, fields) in ARRAYS.items():
        dates = _repeated(columns["date"], columns[array]).alias("date")
        values = (pl.lit(columns[f"{array}_{field}"]).alias(column) for column, field in fields.items())
        yield frame, pl.select(dates, *values).cast(DOCUMENT_SCHEMAS[frame])
    tracks, of_session = DOCUMENT_SCHEMAS["session_tracks"], columns["tracks_of_sessions"]
    dates = _repeated(pl.select(_repeated(columns["date"], columns["sessions"])).to_series(), of_session)
    ends = _repeated(columns["sessions_ended_at"], of_session)
    places = pl.select(date=dates, ended_at=ends, place=pl.lit(columns["places"])).cast(tracks)
    yield "session_tracks", places


def _repeated(values: pl.Series, times: pl.Series) -> pl.Expr:
    return pl.lit(values).repeat_by(pl.lit(times)).explode(empty_as_null=False)
