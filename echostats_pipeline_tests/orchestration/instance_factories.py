"""Factories for Dagster instances on real files."""

from pathlib import Path

import dagster as dg
import yaml

STOCK = {"module": "dagster._core.storage.event_log", "class": "SqliteEventLogStorage"}
POSTGRES = "echostats_pipeline.orchestration.dagster_patches.postgres_storage"
OURS = {
    "module": "echostats_pipeline.orchestration.dagster_patches.sqlite_event_log",
    "class": "BatchingSqliteEventLogStorage",
}


def postgres_instance(url: str, folder: Path) -> dg.DagsterInstance:
    """An instance in a PostgreSQL database, as of a deployment."""
    folder.mkdir(exist_ok=True)
    storage = {"module": POSTGRES, "class": "BatchingPostgresStorage", "config": {"postgres_url": url}}
    config = {"storage": {"custom": storage}, "telemetry": {"enabled": False}}
    (folder / "dagster.yaml").write_text(yaml.safe_dump(config))
    return dg.DagsterInstance.from_config(str(folder))


def instance_with(event_log: dict[str, str], folder: Path) -> dg.DagsterInstance:
    """An instance with one of the two event logs, in a folder that is made if it does not exist."""
    folder.mkdir(exist_ok=True)
    config = {
        "event_log_storage": {**event_log, "config": {"base_dir": str(folder / "events")}},
        "run_storage": {
            "module": "dagster._core.storage.runs",
            "class": "SqliteRunStorage",
            "config": {"base_dir": str(folder / "runs")},
        },
        "telemetry": {"enabled": False},
    }
    (folder / "dagster.yaml").write_text(yaml.safe_dump(config))
    return dg.DagsterInstance.from_config(str(folder))
