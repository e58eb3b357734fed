"""Deletes the events of old runs from an event log in SQL, but keeps what shows the present state of a partition.

Both event logs of this project share it. Dagster's own `delete_run` also deletes the record that the run has built
something, and partitions that only this run has built turn grey.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from dagster._core.storage.event_log import SqlEventLogStorage, SqlEventLogStorageTable
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    ConcurrencySlotsTable,
    PendingStepsTable,
)
from sqlalchemy.engine import Connection

BUILT, PLANNED = "ASSET_MATERIALIZATION", "ASSET_MATERIALIZATION_PLANNED"


class ForgetsRuns(SqlEventLogStorage):
    """An event log that deletes runs and keeps what they built shown."""

    def forget_runs(self, run_ids: Sequence[str]) -> list[str]:
        """Delete the events of ended runs, except those that show the present state of a partition or a check.

        The newest materialization of a partition stays, and so does the newest evaluation of a check. A failed run that
        is the last attempt at a partition stays complete, because its events make the partition red.

        Returns:
            The runs whose records can be deleted.
        """
        events, checks = SqlEventLogStorageTable.c, AssetCheckExecutionsTable.c
        with self.index_transaction() as connection:
            built = _newest_built()
            newest = {(key, part): newest_id for key, part, newest_id in connection.execute(built)}
            of_runs = sa.and_(events.run_id.in_(run_ids), events.asset_key.is_not(None))
            planned = connection.execute(
                sa.select(events.run_id, events.asset_key, events.partition, events.id).where(
                    of_runs, events.dagster_event_type == PLANNED
                )
            )
            red = {run_id for run_id, key, part, plan_id in planned if newest.get((key, part), 0) < plan_id}
            gone = [run_id for run_id in run_ids if run_id not in red]
            stale = sa.and_(events.run_id.in_(gone), self.is_none_of(events.id, built))
            _delete(connection, stale)
            evaluated = _newest(checks.id, checks.asset_key, checks.check_name)
            connection.execute(
                AssetCheckExecutionsTable.delete().where(checks.run_id.in_(gone), self.is_none_of(checks.id, evaluated))
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
        self.delete_files(gone)
        return gone

    def forget_superseded(self, before: datetime) -> None:
        """Delete old materializations that `forget_runs` has kept, where a newer one of the same partition has come."""
        events, planned = SqlEventLogStorageTable.c, SqlEventLogStorageTable.alias("planned").c
        is_known = sa.exists().where(planned.run_id == events.run_id, planned.dagster_event_type == PLANNED)
        is_old = events.timestamp < before.astimezone(UTC).replace(tzinfo=None)
        stale = sa.and_(
            events.dagster_event_type == BUILT, is_old, self.is_none_of(events.id, _newest_built()), ~is_known
        )
        with self.index_transaction() as connection:
            _delete(connection, stale)

    def delete_files(self, run_ids: Sequence[str]) -> None:
        """Delete what the event log keeps of these runs outside its tables; by default, that is nothing."""

    def is_none_of(self, number: Any, newest: Any) -> Any:
        """Whether a number is none of a query's column ``newest``, in the form at which the database is fast."""
        return number.not_in(sa.select(newest.subquery().c.newest))


def _newest_built() -> Any:
    """The newest materialization of each partition."""
    events = SqlEventLogStorageTable.c
    return _newest(events.id, events.asset_key, events.partition).where(events.dagster_event_type == BUILT)


def _delete(connection: Connection, stale: Any) -> None:
    """Delete events with their tags."""
    ids, tags = sa.select(SqlEventLogStorageTable.c.id).where(stale), AssetEventTagsTable
    connection.execute(tags.delete().where(tags.c.event_id.in_(ids)))
    connection.execute(SqlEventLogStorageTable.delete().where(stale))


def _newest(number: Any, *of: Any) -> Any:
    """The greatest number of each group, as ``newest``."""
    return sa.select(*of, sa.func.max(number).label("newest")).group_by(*of)
