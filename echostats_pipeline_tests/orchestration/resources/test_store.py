"""Which runs make the indexes exist: those that write."""

from typing import Any

import dagster as dg
import pytest

from echostats_pipeline.orchestration.resources.store import READS_ONLY, _writes

ASSETS = {"asset_selection": {dg.AssetKey("daily_rollups")}}
CHECKS = {"asset_check_selection": {dg.AssetCheckKey(dg.AssetKey("daily_rollups"), "no_day_is_overlong")}}


@pytest.mark.parametrize(
    ("selection", "writes"),
    [
        ({}, True),
        (ASSETS, True),
        ({**ASSETS, **CHECKS}, True),
        (CHECKS, False),
        ({**CHECKS, "asset_selection": set()}, False),
        ({"tags": READS_ONLY}, False),
    ],
)
def test_a_run_of_nothing_but_checks_writes_nothing(selection: dict[str, Any], writes: bool) -> None:
    assert _writes(dg.DagsterRun(job_name="job", **selection)) is writes


def test_a_tick_writes_nothing() -> None:
    assert not _writes(None)
