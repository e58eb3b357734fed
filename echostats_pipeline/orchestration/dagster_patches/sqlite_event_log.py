"""Dagster's SQLite event log, adapted to many days and many runs.

- The stock storage opens, writes and commits once per event: 7 ms for each day of a backfill, twice. This one stores a
  whole batch in one transaction. Dagster passes batches if ``DAGSTER_EVENT_BATCH_SIZE`` is set, as under `echostats
  up`.
- The stock storage gives each run a file of 28 nearly empty pages of 4 KiB. Files of this one have pages of 1 KiB.
- When the stock storage deletes a run, it also deletes the record that the run has built something. This one can keep
  that record.

The class relies on internals of Dagster 1.13 (hence the pinned minor version), and uses the stock code for everything
else.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.events import ASSET_EVENTS, BATCH_WRITABLE_EVENTS
from dagster._core.storage.event_log import SqlEventLogStorageTable, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    ConcurrencySlotsTable,
    PendingStepsTable,
)
from dagster._serdes import ConfigurableClassData
from sqlalchemy.engine import Connection

from echostats_pipeline.orchestration.dagster_patches.migration_cache import read_migrations_once

BATCH_SIZE_VARIABLE = "DAGSTER_EVENT_BATCH_SIZE"
BATCH_SIZE = 1000
PAGE_BYTES = 1024
FILE_SUFFIXES = ("", "-wal", "-shm", "-journal")
"""Endings of the files that SQLite may leave beside a database. The folder holds thousands, so it is not searched."""
BUILT, PLANNED = "ASSET_MATERIALIZATION", "ASSET_MATERIALIZATION_PLANNED"


class BatchingSqliteEventLogStorage(SqliteEventLogStorage):
    """`SqliteEventLogStorage` with a real `store_event_batch` and smaller files; same names, same schema."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "BatchingSqliteEventLogStorage":
        """Build the storage from ``dagster.yaml``."""
        read_migrations_once()
        return cls(inst_data=inst_data, **config_value)

    def run_connection(self, run_id: str | None = None) -> AbstractContextManager[Connection]:
        """A connection to the file of a run. A new file gets small pages."""
        if run_id is not None and not (path := Path(self.path_for_shard(run_id))).exists():
            # The page size holds from the first page on. Another process that creates the file at this moment uses the
            # usual size.
            with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as new:
                new.execute(f"PRAGMA page_size = {PAGE_BYTES}")
                new.execute("VACUUM")
        return super().run_connection(run_id)  # type: ignore[no-any-return]

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store asset events of a run in one transaction per file, and other events one by one."""
        by_run: dict[str, list[dg.EventLogEntry]] = defaultdict(list)
        for event in events:
            kind = event.dagster_event_type
            if kind in ASSET_EVENTS and kind in BATCH_WRITABLE_EVENTS:
                by_run[event.run_id].append(event)
            else:
                self.store_event(event)
        for run_id, run_events in by_run.items():
            self._store_asset_events(run_id, run_events)

    def _store_asset_events(self, run_id: str, events: list[dg.EventLogEntry]) -> None:
        rows = [self._event_to_row(event) for event in events]
        with self.run_connection(run_id) as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
        with self.index_transaction() as connection:
            # SQLite has one writer at a time, so the ids of one transaction follow each other.
            result = connection.execute(SqlEventLogStorageTable.insert().values(**rows[0]))
            (first_id,) = result.inserted_primary_key  # type: ignore[misc]
            if len(rows) > 1:
                connection.execute(SqlEventLogStorageTable.insert(), rows[1:])
            ids = range(first_id, first_id + len(rows))
            self._store_asset_event_tags(connection, events, ids)
            # The table of assets keeps only the newest event of each kind.
            newest = {
                (event.get_dagster_event().asset_key, event.dagster_event_type): (event, event_id)
                for event, event_id in zip(events, ids, strict=True)
            }
            for event, event_id in newest.values():
                self._store_asset_event(connection, event, event_id)

    def forget_runs(self, run_ids: Sequence[str]) -> list[str]:
        """Delete the events of ended runs, except those that show the present state of a partition or a check.

        The newest materialization of a partition stays, and so does the newest evaluation of a check. A failed run that
        is the
        last attempt at a partition stays complete, because its events make the partition red.

        Returns:
            The runs whose records can be deleted.
        """
        events, checks = SqlEventLogStorageTable.c, AssetCheckExecutionsTable.c
        with self.index_transaction() as connection:
            built = _newest(events.id, events.asset_key, events.partition).where(events.dagster_event_type == BUILT)
            newest = {(key, part): newest_id for key, part, newest_id in connection.execute(built)}
            of_runs = sa.and_(events.run_id.in_(run_ids), events.asset_key.is_not(None))
            planned = connection.execute(
                sa.select(events.run_id, events.asset_key, events.partition, events.id).where(
                    of_runs, events.dagster_event_type == PLANNED
                )
            )
            red = {run_id for run_id, key, part, plan_id in planned if newest.get((key, part), 0) < plan_id}
            gone = [run_id for run_id in run_ids if run_id not in red]
            stale = sa.and_(events.run_id.in_(gone), events.id.not_in(sa.select(built.subquery().c.newest)))
            connection.execute(
                AssetEventTagsTable.delete().where(
                    AssetEventTagsTable.c.event_id.in_(sa.select(events.id).where(stale))
                )
            )
            connection.execute(SqlEventLogStorageTable.delete().where(stale))
            evaluated = _newest(checks.id, checks.asset_key, checks.check_name)
            connection.execute(
                AssetCheckExecutionsTable.delete().where(
                    checks.run_id.in_(gone), checks.id.not_in(sa.select(evaluated.subquery().c.newest))
                )
            )
            held, awaited = ConcurrencySlotsTable.c.run_id, PendingStepsTable.c.run_id
            holders = set(
                connection.scalars(
                    sa.union(
                        sa.select(held).where(held.in_(gone)),
                        sa.select(awaited).where(awaited.in_(gone)),
                    )
                )
            )
        for run_id in holders:
            self.free_concurrency_slots_for_run(run_id)
        for run_id in gone:
            for suffix in FILE_SUFFIXES:
                Path(f"{self.path_for_shard(run_id)}{suffix}").unlink(missing_ok=True)
        return gone


def _newest(number: Any, *of: Any) -> Any:
    """The greatest number of each group, as ``newest``."""
    return sa.select(*of, sa.func.max(number).label("newest")).group_by(*of)
