"""Dagster's storage in PostgreSQL, adapted to many days and many runs; named by the ``dagster.yaml`` of a deployment.

- The stock storage stores the planned events of a run one by one: 21 ms for each day of a backfill. This one stores
  them in batches, as it does materializations, in every process that opens it.
- It can delete old runs and keep shown what they built (`forgotten_runs`).
- SQLAlchemy 2.1 takes psycopg 3 for ``postgresql://``. The stock storage is written for psycopg2 and installs that one.
  So this one names it.

The classes rely on internals of Dagster 1.13 (hence the pinned minor version), and use the stock code for everything
else. They need the extra ``postgres``.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.storage.event_log import SqlEventLogStorageTable
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from dagster_postgres.utils import get_token_provider_from_config, pg_url_from_config

from echostats_pipeline.orchestration.dagster_patches.forgotten_runs import ForgetsRuns
from echostats_pipeline.orchestration.dagster_patches.sqlite_event_log import (
    BATCH_SIZE,
    BATCH_SIZE_VARIABLE,
    is_stored_in_batches,
    store_in_assets,
)
from echostats_pipeline.settings import default_environment

_NO_DRIVER = re.compile(r"^postgres(ql)?://")


class BatchingPostgresEventLogStorage(ForgetsRuns, PostgresEventLogStorage):
    """`PostgresEventLogStorage` with a `store_event_batch` for planned events too."""

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store asset events by one statement, what they change of assets by one transaction, and others singly."""
        batch = []
        for event in events:
            if event.get_dagster_event().is_asset_failed_to_materialize:
                continue  # the stock storage keeps none either
            if is_stored_in_batches(event):
                batch.append(event)
            else:
                self.store_event(event)
        if not batch:
            return
        insert = self.prepare_insert_event_batch(batch).returning(SqlEventLogStorageTable.c.id)
        with self.run_connection() as connection:
            ids = list(connection.scalars(insert))
        with self.index_transaction() as connection:
            store_in_assets(self, connection, batch, ids)


class BatchingPostgresStorage(DagsterPostgresStorage):
    """`DagsterPostgresStorage` with the event log above; same configuration, same schema."""

    def __init__(self, postgres_url: str, should_autocreate_tables: bool = True, **more: Any) -> None:
        super().__init__(with_driver(postgres_url), should_autocreate_tables, **more)
        default_environment({BATCH_SIZE_VARIABLE: str(BATCH_SIZE)})
        self._event_log_storage = BatchingPostgresEventLogStorage(
            self.postgres_url, should_autocreate_tables, token_provider=more.get("token_provider")
        )

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "BatchingPostgresStorage":
        """Build the storage from ``dagster.yaml``."""
        return cls(
            pg_url_from_config(config_value),
            config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
            token_provider=get_token_provider_from_config(config_value),
        )


def with_driver(url: str) -> str:
    """The address of a database with the driver that the stock storage is written for, unless it names one."""
    return _NO_DRIVER.sub("postgresql+psycopg2://", url)
