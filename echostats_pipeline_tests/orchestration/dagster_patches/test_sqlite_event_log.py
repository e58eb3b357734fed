"""The batching event log: the same events as Dagster's own storage, in fewer transactions."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.events.log import EventLogEntry

from echostats_pipeline.orchestration.dagster_patches.sqlite_event_log import (
    BATCH_SIZE_VARIABLE,
    BatchingSqliteEventLogStorage,
)
from echostats_pipeline.orchestration.partitions import RANGE_END, RANGE_START
from echostats_pipeline_tests.orchestration.instance_factories import OURS, STOCK, instance_with

DAYS = dg.DailyPartitionsDefinition("2025-01-01")
LAST = "2025-02-09"


warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def first(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    for number, key in enumerate(context.partition_keys):
        context.add_asset_metadata({"number": number}, partition_key=key)
    return dg.MaterializeResult(metadata={"rows": 1})


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run(), deps=[first])
def second(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    context.log_event(dg.AssetMaterialization("second", partition="2025-03-01"))
    return dg.MaterializeResult()


def described(event: dg.AssetMaterialization | None) -> tuple[Any, ...]:
    """A materialization without the values of its tags, which differ from run to run."""
    assert event is not None
    return event.asset_key, event.partition, dict(event.metadata), sorted(event.tags or {})


def run(opened: dg.DagsterInstance, *, days: str = LAST) -> tuple[list[Any], dict[str, Any]]:
    """The events of a run over a range, and the state of the assets in the instance afterwards."""
    with opened as instance:
        tags = {RANGE_START: "2025-01-01", RANGE_END: days}
        result = dg.materialize([first, second], instance=instance, tags=tags)
        assert result.success
        events = [
            (
                entry.dagster_event_type,
                entry.dagster_event and entry.dagster_event.asset_key,
                entry.dagster_event and entry.dagster_event.partition,
            )
            for entry in instance.all_logs(result.run_id)
        ]
        said: dict[str, Any] = {}
        for name in ("first", "second"):
            key = dg.AssetKey(name)
            latest = instance.get_latest_materialization_event(key)
            assert latest is not None
            records = instance.fetch_materializations(key, limit=100).records
            said[name] = {
                "materialized": instance.get_materialized_partitions(key),
                "latest": described(latest.asset_materialization),
                "partitions": [record.partition_key for record in records],
                "metadata": [
                    record.asset_materialization and record.asset_materialization.metadata for record in records
                ],
                "by tag": len(instance.event_log_storage.get_event_tags_for_asset(key)),
                "wiped": instance.wipe_assets([key]) or instance.get_materialized_partitions(key),
            }
        return events, said


@pytest.mark.parametrize("days", [LAST, "2025-01-01"])
def test_the_events_are_those_of_the_stock_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: str) -> None:
    monkeypatch.setenv(BATCH_SIZE_VARIABLE, "1000")
    batches: list[int] = []
    store = BatchingSqliteEventLogStorage.store_event_batch

    def counted(self: BatchingSqliteEventLogStorage, events: Sequence[EventLogEntry]) -> None:
        batches.append(len(events))
        store(self, events)

    monkeypatch.setattr(BatchingSqliteEventLogStorage, "store_event_batch", counted)
    events, said = run(instance_with(OURS, tmp_path / "ours"), days=days)
    assert max(batches) >= (40 if days == LAST else 1)
    stock_events, stock_said = run(instance_with(STOCK, tmp_path / "stock"), days=days)
    assert sorted(map(repr, events)) == sorted(map(repr, stock_events))
    assert said == stock_said
    count = 40 if days == LAST else 1
    assert len(said["first"]["materialized"]) == count
    assert len(said["second"]["materialized"]) == count + 1


def test_without_a_batch_size_it_behaves_as_the_stock_storage(tmp_path: Path) -> None:
    ours, stock = (run(instance_with(each, tmp_path / each["class"]), days="2025-01-03") for each in (OURS, STOCK))
    assert sorted(map(repr, ours[0])) == sorted(map(repr, stock[0]))
    assert ours[1] == stock[1]
