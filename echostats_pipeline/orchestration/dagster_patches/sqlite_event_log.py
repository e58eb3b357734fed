"""Dagster's SQLite event log, adapted to many days and many runs.

- The stock storage opens, writes and commits once per event: 7 ms for each day of a backfill, twice. This one stores a
  whole batch in one transaction. Dagster passes batches if ``DAGSTER_EVENT_BATCH_SIZE`` is set, as under `echostats
  up`.
- The stock storage gives each run a file of 28 nearly empty pages of 4 KiB. Files of this one have pages of 1 KiB.
- It can delete old runs and keep shown what they built (`forgotten_runs`).

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
from dagster._core.events import ASSET_EVENTS, BATCH_WRITABLE_EVENTS
from dagster._core.storage.event_log import SqlEventLogStorage, SqlEventLogStorageTable, SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy.engine import Connection

from echostats_pipeline.orchestration.dagster_patches.forgotten_runs import ForgetsRuns
from echostats_pipeline.orchestration.dagster_patches.migration_cache import read_migrations_once

BATCH_SIZE_VARIABLE = "DAGSTER_EVENT_BATCH_SIZE"
BATCH_SIZE = 1000
PAGE_BYTES = 1024
FILE_SUFFIXES = ("", "-wal", "-shm", "-journal")
"""Endings of the files that SQLite may leave beside a database. The folder holds thousands, so it is not searched."""


class BatchingSqliteEventLogStorage(ForgetsRuns, SqliteEventLogStorage):
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
            if is_stored_in_batches(event):
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
            store_in_assets(self, connection, events, ids)

    def delete_files(self, run_ids: Sequence[str]) -> None:
        """Delete the files of these runs."""
        for run_id in run_ids:
            for suffix in FILE_SUFFIXES:
                Path(f"{self.path_for_shard(run_id)}{suffix}").unlink(missing_ok=True)


def is_stored_in_batches(event: dg.EventLogEntry) -> bool:
    """Whether an event is of assets alone. One of a check, even if planned, also has a row in the table of checks."""
    kind = event.dagster_event_type
    return kind in ASSET_EVENTS and kind in BATCH_WRITABLE_EVENTS


def store_in_assets(
    log: SqlEventLogStorage, connection: Connection, events: Sequence[dg.EventLogEntry], ids: Sequence[int]
) -> None:
    """Store what events, whose ids are known, change of their assets."""
    log._store_asset_event_tags(connection, events, ids)  # noqa: SLF001 - of the class that is extended
    # The table of assets keeps only the newest event of each kind.
    newest = {
        (event.get_dagster_event().asset_key, event.dagster_event_type): (event, event_id)
        for event, event_id in zip(events, ids, strict=True)
    }
    for event, event_id in newest.values():
        log._store_asset_event(connection, event, event_id)  # noqa: SLF001 - of the class that is extended
