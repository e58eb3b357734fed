"""A fake process that dies while it rebuilds statistics, before any single write."""

from typing import Any

from pymongo.collection import Collection

from echostats_pipeline.storage.database import Db
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.stages.merge_steps import DyingCollection, WritesLeft

WRITES = ("update_many", "update_one", "replace_one", "delete_one", "find_one_and_update")


class DyingStatistics(DyingCollection):
    """A collection whose writer may die before any write, of any kind."""

    def __getattr__(self, name: str) -> Any:
        write = super().__getattr__(name)
        if name not in WRITES:
            return write

        def once(*arguments: Any, **options: Any) -> Any:
            self.lives.spend()
            return write(*arguments, **options)

        return once


def dying_statistics(db: Db, lives: int) -> Store:
    """The store of a process that dies after `lives` writes to statistics and change marks."""
    store, left = Store.of(db), WritesLeft(lives)
    parts: list[Any] = [store.statistics, store.marks]
    parts += [part for part in vars(store.statistics).values() if not isinstance(part, Collection)]
    for part in parts:
        for name, value in vars(part).items():
            if isinstance(value, Collection):
                setattr(part, name, DyingStatistics(value, left))
    return store
