"""Records which rollups have changed since they were read for snapshots, and which cached columns are still valid.

A document of ``rollup_changes`` is about one user and calendar year. It is small, because it is written with every
rollup; the cached columns are stored elsewhere (`rollup_frames`), under a token that this document confirms. These
rules keep it correct without a lock:

- A process that writes rollups marks their dates as stale before and after the writes, and is listed as a writer in
  between.
- A process that reads takes stale dates from the rollups themselves. Its result is confirmed only if no other process
  is writing, and only if no date has become stale meanwhile. A writer that was killed is ignored after `OPEN_FOR`, like
  the marks of `storage.change_marks`.
"""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pymongo import UpdateOne

from echostats_pipeline.model.statistics import RollupChanges
from echostats_pipeline.storage.change_marks import OPEN_FOR
from echostats_pipeline.storage.database import Db, Document

NOBODY_WRITES: Document = {
    "$allElementsTrue": {
        "$map": {
            "input": "$writers",
            "in": {"$lt": ["$$this.since", {"$subtract": ["$$NOW", int(OPEN_FOR.total_seconds() * 1000)]}]},
        }
    }
}


class RollupChangeStore:
    """Collection ``rollup_changes``."""

    def __init__(self, db: Db) -> None:
        self._changes = db["rollup_changes"]

    @contextmanager
    def changing(self, user_id: str, dates: Iterable[str]) -> Iterator[None]:
        """Mark dates as stale before and after the block that writes their rollups."""
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
        self._changes.bulk_write(
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
        """Whether any date has become stale since the rollups were last read."""
        return self._changes.find_one({"user_id": user_id, "stale.0": {"$exists": True}}, {"_id": 1}) is not None

    def of(self, user_id: str, years: Iterable[int]) -> dict[int, RollupChanges]:
        """The records of all years of a user; years without a record get a new one."""
        found = self._read(user_id)
        if new := set(years) - found.keys():
            nothing = {"stale": [], "writers": [], "revision": secrets.token_hex(8)}
            for year in new:
                self._changes.update_one({"user_id": user_id, "year": year}, {"$setOnInsert": nothing}, upsert=True)
            found = self._read(user_id)
        return found

    def _read(self, user_id: str) -> dict[int, RollupChanges]:
        found = map(RollupChanges.model_validate, self._changes.find({"user_id": user_id}))
        return {each.year: each for each in found}

    def may_keep(self, seen: RollupChanges) -> bool:
        """Whether `keep` would confirm what was read since `seen`."""
        return self._changes.find_one(self._unchanged(seen), {"_id": 1}) is not None

    def keep(self, seen: RollupChanges, token: str) -> None:
        """Confirm what was read since `seen`, unless another process is writing, or has written since."""
        self._changes.update_one(self._unchanged(seen), {"$set": {"kept": token, "stale": [], "writers": []}})

    def _unchanged(self, seen: RollupChanges) -> Document:
        return {"user_id": seen.user_id, "year": seen.year, "revision": seen.revision, "$expr": NOBODY_WRITES}

    def forget(self, seen: RollupChanges) -> None:
        """Forget a year without rollups, unless another process is writing, or has written since."""
        self._changes.delete_one(self._unchanged(seen))
