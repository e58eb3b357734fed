"""Stores rollups, snapshots and reviews; they are replaced in place, so that readers never see a gap."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import InsertOne, ReplaceOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from echostats_pipeline.errors import NotFoundError
from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.model.statistics import AnalyticsSnapshot, Period
from echostats_pipeline.storage.change_marks import ChangeMarks
from echostats_pipeline.storage.conformity import stored_as
from echostats_pipeline.storage.database import Db, Document, duplicates
from echostats_pipeline.storage.frame_cache.rollup_frames import RollupFrameStore
from echostats_pipeline.transforms.days import DayWindow
from echostats_pipeline.transforms.statistics.frames import RollupFrames

BATCH = 1_000
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class _Encoded(RawBSONDocument):
    """An encoded document to be written. pymongo asks whether a replacement is empty, and would decode it for that."""

    def __bool__(self) -> bool:
        return True


class StatisticsStore:
    """Collections ``daily_rollups``, ``analytics_snapshots``, ``calendar_snapshots`` and ``yearly_reviews``."""

    def __init__(self, db: Db, marks: ChangeMarks) -> None:
        self._rollups = db["daily_rollups"]
        self._snapshots = db["analytics_snapshots"]
        self._calendar = db["calendar_snapshots"]
        self._reviews = db["yearly_reviews"]
        self._marks = marks
        self._frames = RollupFrameStore(db, marks)

    def replace_rollups(self, user_id: str, days: Iterable[date], documents: Sequence[Document]) -> int:
        """Replace the rollups of `days` by `documents`: write those that differ, delete those that no longer exist.

        Returns:
            The number of documents written or deleted; 0 if nothing had changed.
        """
        dates = {day.isoformat() for day in days}
        span = {"user_id": user_id, "date": {"$gte": min(dates, default=""), "$lte": max(dates, default="")}}
        new, old = _compared(self._rollups, span, documents, "date")
        gone = sorted(old & dates - new.keys())
        if new or gone:
            with self._marks.changing(user_id, [*new, *gone], "daily_rollups"):
                self._write(user_id, new, old)
                if gone:
                    self._rollups.delete_many({"user_id": user_id, "date": {"$in": gone}})
        return len(new) + len(gone)

    def _write(self, user_id: str, new: Mapping[str, bytes], stored: Container[str]) -> None:
        """Replace rollups that are stored, and insert the others, for which the server does a third of the work."""
        coming = iter(new.items())
        while some := list(islice(coming, BATCH)):
            replaced: list[Any] = [
                ReplaceOne({"user_id": user_id, "date": day}, _Encoded(raw), upsert=True) for day, raw in some
            ]
            writes: list[Any] = [
                replacement if day in stored else InsertOne(_Encoded(raw))
                for (day, raw), replacement in zip(some, replaced, strict=True)
            ]
            try:
                self._rollups.bulk_write(writes, ordered=False)
            except BulkWriteError as error:  # another process has inserted some meanwhile
                self._rollups.bulk_write([replaced[position] for position in duplicates(error)], ordered=False)

    def rollup_days(self, user_id: str, window: DayWindow) -> set[date]:
        """The days of a window that have a rollup."""
        within = {"user_id": user_id, "date": {"$gte": str(window.first), "$lte": str(window.last)}}
        return {date.fromisoformat(each["date"]) for each in self._rollups.find(within, {"_id": 0, "date": 1})}

    def rollup_frames(self, user_id: str) -> RollupFrames:
        """All rollups of one user as frames for the snapshots; only changed rollups are read again."""
        return self._frames.read(user_id)

    def has_changed_rollups(self, user_id: str) -> bool:
        """Whether rollups have changed since they were last read for snapshots."""
        return self._marks.has_unread(user_id, "statistics_years")

    def replace_snapshots(self, documents: Sequence[Document], computed_at: datetime) -> int:
        """Replace snapshots of periods, each in one write; `computed_at` changes even if nothing else does.

        They are written in order, and the one of the week, which `period_ends` reads, is the last.
        """
        return _replace(
            self._snapshots, "period", sorted(documents, key=lambda each: each["period"] == "week"), computed_at
        )

    def replace_calendar(self, documents: Sequence[Document], computed_at: datetime) -> int:
        """Replace snapshots of calendar periods, each in one write."""
        return _replace(self._calendar, "period", documents, computed_at)

    def replace_reviews(self, user_id: str, documents: Sequence[Document], computed_at: datetime) -> int:
        """Replace the reviews of a user by `documents`; unchanged ones are left alone.

        Returns:
            The number of reviews written or deleted.
        """
        new, old = _compared(self._reviews, {"user_id": user_id}, documents, "year", computed_at=0)
        changed = [document for document in documents if document["year"] in new]
        if gone := sorted(old - new.keys()):
            self._reviews.delete_many({"user_id": user_id, "year": {"$in": gone}})
        return len(gone) + _replace(self._reviews, "year", changed, computed_at)

    def snapshot(self, user_id: str, period: Period) -> AnalyticsSnapshot:
        """The snapshot of one user and period.

        Raises:
            NotFoundError: it was never built.
        """
        found = self._snapshots.find_one({"user_id": user_id, "period": period})
        if found is None:
            raise NotFoundError(f"There is no snapshot {period} of user {user_id} yet.")
        return stored_as(AnalyticsSnapshot, "analytics_snapshots", found)

    def period_ends(self, *, counting_songs: bool | None = None) -> dict[str, datetime]:
        """The end of each user's current periods, by user id; from then on the snapshots are outdated.

        Args:
            counting_songs: Whether snapshots should count songs, or ids of tracks; those that count otherwise ended
                long ago. None accepts both.
        """
        found = self._snapshots.find(
            {"period": "week", "period_end": {"$type": "date"}}, {"user_id": 1, "period_end": 1, "counts_songs": 1}
        )
        return {
            snapshot["user_id"]: snapshot["period_end"]
            if counting_songs in (None, snapshot.get("counts_songs", False))
            else LONG_AGO
            for snapshot in found
        }


def _replace(collection: Collection[Document], key: str, documents: Sequence[Document], computed_at: datetime) -> int:
    """Replace documents of a user and `key`, each in one write; return how many there were."""
    mine = {"user_id": {"$in": sorted({document["user_id"] for document in documents})}}
    kept = {"user_id", key}
    ours = {name: 0 for name in COLLECTIONS[collection.name].document.model_fields if name not in {*kept, "id"}}
    foreign = {
        (each["user_id"], each[key]): _foreign(collection, each)
        for each in (collection.find(mine, {"_id": 0, **ours}) if documents else ())
    }
    writes = [
        ReplaceOne(
            (of := {"user_id": document["user_id"], key: document[key]}),
            {**document, "computed_at": computed_at, **foreign.get(tuple(of.values()), {})},
            upsert=True,
        )
        for document in documents
    ]
    if writes:
        collection.bulk_write(writes)
    return len(writes)


def _compared(
    collection: Collection[Document], query: Document, documents: Iterable[Document], key: str, **projection: int
) -> tuple[dict[Any, bytes], set[Any]]:
    """The differences between documents and stored ones, without ``_id`` and excluded fields.

    They are compared as bytes: an unchanged document is never decoded, and a changed one is encoded once.

    Returns:
        Encoded documents that are new or differ, by `key`; and the keys of stored documents that are no longer wanted.
    """
    wanted = {bson.encode(document): document[key] for document in documents}
    others: dict[Any, RawBSONDocument] = {}
    for raw in _each(collection.find_raw_batches(query, {"_id": 0, **projection})):
        if wanted.pop(raw, None) is None:
            stored = RawBSONDocument(raw)
            others[stored[key]] = stored
    new = {of: raw for raw, of in wanted.items()}
    for of in new.keys() & others.keys():
        if foreign := _foreign(collection, others[of]):
            new[of] = bson.encode({**RawBSONDocument(new[of]), **foreign})
            if new[of] == others[of].raw:
                del new[of], others[of]
    return new, set(others)


def _foreign(collection: Collection[Document], stored: Mapping[str, Any]) -> Document:
    """Fields that other programs have added to a document; they are kept when the document is replaced."""
    known = COLLECTIONS[collection.name].document.model_fields
    return {name: value for name, value in stored.items() if name not in known and name != "_id"}


def _each(batches: Iterable[Any]) -> Iterator[bytes]:
    """Split batches into documents; each begins with its length."""
    for batch in batches:
        at = 0
        while at < len(batch):
            end = at + int.from_bytes(batch[at : at + 4], "little")
            yield batch[at:end]
            at = end
