"""Runs that write create the indexes; and only some processes may use the embedded server."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from echostats_pipeline.errors import SettingsError
from echostats_pipeline.orchestration.resources.store import StoreResource, _writes
from echostats_pipeline.orchestration.tags import READS_ONLY
from echostats_pipeline.settings import EMBEDDED_MONGO

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


def test_without_a_database_of_their_own_only_echostats_commands_start_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ECHOSTATS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(EMBEDDED_MONGO, raising=False)  # a command in this process may have set it
    with pytest.raises(dg.DagsterError) as failed, dg.build_resources({"store": StoreResource()}):
        pass
    assert isinstance(failed.value.__cause__, SettingsError)
    assert "echostats up" in str(failed.value.__cause__)
    assert not (tmp_path / "home").exists()
