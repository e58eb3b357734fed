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
        is the last attempt at a partition stays complete, because its events make the partition red. The database
        decides on each event by its indexes: an installation has millions of partitions, and none of them is read here.

        Returns:
            The runs whose records can be deleted.
        """
        events, checks = SqlEventLogStorageTable.c, AssetCheckExecutionsTable.c
        newer_check = AssetCheckExecutionsTable.alias("newer").c
        with self.index_transaction() as connection:
            failed = sa.and_(
                events.run_id.in_(run_ids),
                events.asset_key.is_not(None),
                events.dagster_event_type == PLANNED,
                ~_built_after(events),
            )
            red = set(connection.scalars(sa.select(events.run_id).distinct().where(failed)))
            gone = [run_id for run_id in run_ids if run_id not in red]
            shows_nothing = sa.or_(events.dagster_event_type.is_distinct_from(BUILT), _built_after(events))
            _delete(connection, sa.and_(events.run_id.in_(gone), shows_nothing))
            evaluated_again = sa.exists().where(
                newer_check.asset_key == checks.asset_key,
                newer_check.check_name == checks.check_name,
                newer_check.id > checks.id,
            )
            connection.execute(AssetCheckExecutionsTable.delete().where(checks.run_id.in_(gone), evaluated_again))
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
        stale = sa.and_(events.dagster_event_type == BUILT, is_old, _built_after(events), ~is_known)
        with self.index_transaction() as connection:
            _delete(connection, stale)

    def delete_files(self, run_ids: Sequence[str]) -> None:
        """Delete what the event log keeps of these runs outside its tables; by default, that is nothing."""


def _built_after(event: Any) -> Any:
    """Whether a partition, or an asset without partitions, was built after an event of it."""
    built = SqlEventLogStorageTable.alias("built").c
    of_asset = (built.asset_key == event.asset_key, built.dagster_event_type == BUILT, built.id > event.id)
    # Two questions in place of one that also compares NULL: so both are answered by an index.
    return sa.or_(
        sa.and_(event.partition.is_not(None), sa.exists().where(*of_asset, built.partition == event.partition)),
        sa.and_(event.partition.is_(None), sa.exists().where(*of_asset, built.partition.is_(None))),
    )


def _delete(connection: Connection, stale: Any) -> None:
    """Delete events with their tags."""
    ids, tags = sa.select(SqlEventLogStorageTable.c.id).where(stale), AssetEventTagsTable
    connection.execute(tags.delete().where(tags.c.event_id.in_(ids)))
    connection.execute(SqlEventLogStorageTable.delete().where(stale))
