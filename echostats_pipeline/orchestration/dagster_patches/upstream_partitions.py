"""Keeps Dagster from listing every day of every user before a step that is not built by day.

Before a step, Dagster lists the partitions of each upstream asset that the step's own partitions are mapped to. If
there are a hundred or more, Dagster then uses the version of the newest event, and discards the list. The days of 50
users are 331,700 keys: 9 s and 280 MiB. For a step without partitions these are the days of all users.
"""

from dagster._core.execution.context.system import StepExecutionContext

from echostats_pipeline.orchestration.partitions import is_by_day

_has_partitions = StepExecutionContext.has_asset_partitions_for_input


def list_no_days_above_steps() -> None:
    """Make every step of this process use the version of the newest event at once for upstream assets by user and day.

    This relies on internals of Dagster 1.13, hence the pinned minor version.
    """
    StepExecutionContext.has_asset_partitions_for_input = _has_partitions_to_list  # type: ignore[assignment, method-assign]


def _has_partitions_to_list(step: StepExecutionContext, input_name: str) -> bool:
    assets = step.job_def.asset_layer
    above = assets.get_asset_key_for_node_input(step.node_handle, input_name)
    if above is not None and assets.has(above) and is_by_day(assets.get(above).partitions_def):
        return is_by_day(step.entity_partitions_def)
    return bool(_has_partitions(step, input_name))
