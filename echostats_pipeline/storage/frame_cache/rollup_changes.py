"""Which rollups have changed since they were last read for snapshots, and which of what was read then still holds.

A document of ``rollup_changes`` tells of one user and calendar year. It is small, for it is written with every rollup:
what was read is kept elsewhere (`rollup_frames`), under a token that this document vouches for. Rules that keep
it true without a lock:

- Whoever writes rollups names their dates as stale before and after the writes, and is listed as a writer in between.
- Whoever reads takes stale dates from the rollups themselves. What was read so is vouched for only if nobody is
  writing, and only if no date has become stale meanwhile. A writer that was killed counts as gone after `OPEN_FOR`,
  like the marks of `storage.rebuilds`.
"""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pymongo import UpdateOne

from echostats_pipeline.model.statistics import RollupChanges
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.rebuilds import OPEN_FOR

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
        """Whether a date has become stale since it was last read."""
        return self._changes.find_one({"user_id": user_id, "stale.0": {"$exists": True}}, {"_id": 1}) is not None

    def of(self, user_id: str, years: Iterable[int]) -> dict[int, RollupChanges]:
        """What is known of all years of a user; `years`, which may be new, are among them."""
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
        """Whether what was read since `seen` would be vouched for."""
        return self._changes.find_one(self._unchanged(seen), {"_id": 1}) is not None

    def keep(self, seen: RollupChanges, token: str) -> None:
        """Vouch for what was read since `seen`, unless somebody writes, or has written since."""
        self._changes.update_one(self._unchanged(seen), {"$set": {"kept": token, "stale": [], "writers": []}})

    def _unchanged(self, seen: RollupChanges) -> Document:
        return {"user_id": seen.user_id, "year": seen.year, "revision": seen.revision, "$expr": NOBODY_WRITES}

    def forget(self, seen: RollupChanges) -> None:
        """Forget a year that has no rollup, unless somebody writes, or has written since."""
        self._changes.delete_one(self._unchanged(seen))
